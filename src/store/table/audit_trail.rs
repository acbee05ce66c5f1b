//! The changes that a request made, for the audit log. A change is recorded where its
//! write is known to have been applied, even if the request fails or is interrupted later.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::scim::etag::Version;
use crate::scim::resource::Attributes;
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::write_context::Writer;

#[derive(Debug, Default)]
pub struct AuditTrail(Mutex<Vec<Changed>>);

/// A change of one resource. It holds no values, because the audit log is read by
/// others than the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub action: Action,
    pub resource_type: String,
    pub id: String,
    /// `None` for a creation, and for a member that was added or removed without a read
    /// of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_before: Option<u64>,
    /// `None` for a deletion, and where `version_before` is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_after: Option<u64>,
    /// The names of the attributes that changed; `None` if the answer to the write was
    /// lost and the write was found applied.
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
    /// Removes and returns the changes recorded so far.
    pub fn take(&self) -> Vec<Changed> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Changed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer<'_> {
    pub(crate) fn record_created(self, id: &str, version: u64, attributes: BTreeSet<String>) {
        self.record(Action::Create, id, (None, Some(version)), Some(attributes));
    }

    /// Records a change of the version `observed`.
    pub(crate) fn record_changed(self, id: &str, observed: Option<u64>, attributes: BTreeSet<String>) {
        let after = observed.map(|version| version + 1);
        self.record(Action::Change, id, (observed, after), Some(attributes));
    }

    pub(crate) fn record_deleted(self, id: &str, observed: Option<u64>) {
        self.record(Action::Delete, id, (observed, None), None);
    }

    /// Records a write whose answer was lost, and which `current` shows to be applied.
    pub(crate) fn record_found(self, current: &ResourceItem, write_id: &str) {
        // More writes may have followed ours.
        match current.version_of(write_id) {
            Some(Version(after @ 2..)) => {
                self.record(Action::Change, &current.sk, (Some(after - 1), Some(after)), None);
            }
            _ => self.record(Action::Create, &current.sk, (None, Some(1)), None),
        }
    }

    fn record(
        self,
        action: Action,
        id: &str,
        (version_before, version_after): (Option<u64>, Option<u64>),
        attributes: Option<BTreeSet<String>>,
    ) {
        self.context.audit.lock().push(Changed {
            action,
            resource_type: self.collection.kind.name.clone(),
            id: id.to_owned(),
            version_before,
            version_after,
            attributes,
        });
    }
}

/// Returns the names of the attributes that differ. The URN of an extension stands for
/// all of its attributes.
pub(crate) fn differing(before: &Attributes, after: &Attributes) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}
