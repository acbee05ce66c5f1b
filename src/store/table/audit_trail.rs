//! What a request has changed, for the audit log: noted where a write is known to
//! have happened, also if the request fails, or is cut off, later.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::scim::resource::Attributes;
use crate::store::resource::Write;
use crate::store::table::resource_item::ResourceItem;

#[derive(Debug, Default)]
pub struct AuditTrail(Mutex<Vec<Changed>>);

/// One change of one resource. It has no values: those are the directory's alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub action: Action,
    pub resource_type: String,
    pub id: String,
    /// Neither is known of a member who was added or removed without a look at the
    /// group; a resource that is made has none before, one that is deleted none after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_after: Option<u64>,
    /// Names of the attributes that have other values than before; `None` if the answer
    /// to the write was lost and it was found to have happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    Create,
    Change,
    Delete,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

impl AuditTrail {
    pub fn take(&self) -> Vec<Changed> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Changed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write<'_> {
    pub(crate) fn note_created(&self, id: &str, attributes: BTreeSet<String>) {
        self.note(Action::Create, id, (None, Some(1)), Some(attributes));
    }

    /// `seen` is the version before.
    pub(crate) fn note_changed(&self, id: &str, seen: Option<u64>, attributes: BTreeSet<String>) {
        self.note(Action::Change, id, (seen, seen.map(|seen| seen + 1)), Some(attributes));
    }

    pub(crate) fn note_deleted(&self, id: &str, seen: Option<u64>) {
        self.note(Action::Delete, id, (seen, None), None);
    }

    /// Of a write whose answer was lost, and which is found here.
    pub(crate) fn note_found(&self, there: &ResourceItem, write_id: &str) {
        let after = if there.write_id == write_id { there.version } else { there.version - 1 };
        match after {
            1 => self.note(Action::Create, &there.sk, (None, Some(1)), None),
            _ => self.note(Action::Change, &there.sk, (Some(after - 1), Some(after)), None),
        }
    }

    fn note(
        &self,
        action: Action,
        id: &str,
        (version_before, version_after): (Option<u64>, Option<u64>),
        attributes: Option<BTreeSet<String>>,
    ) {
        self.trail.lock().push(Changed {
            action,
            resource_type: self.kind.name.clone(),
            id: id.to_owned(),
            version_before,
            version_after,
            attributes,
        });
    }
}

/// The names of the attributes that differ. Those of an extension stand for all in it.
pub(crate) fn differing(before: &Attributes, after: &Attributes) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
