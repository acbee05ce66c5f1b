//! The changes to write of a group that was observed.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::scim::resource::Resource;
use crate::store::dynamo::item::{number, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::group::cycles::Nesting;
use crate::store::table::audit_trail::differing;
use crate::store::table::index_rows::NewAttributes;
use crate::store::table::lock::LOCKED_BY_US;
use crate::store::table::membership::ResolvedMember;
use crate::store::table::pending_edit::PendingEdit;
use crate::store::table::resource_item::{ResourceItem, SEEN};
use crate::store::table::visibility::Tags;
use crate::store::table::write_context::Writer;

#[derive(Default)]
pub(crate) struct Edits {
    pub(crate) added: Vec<ResolvedMember>,
    /// The ids of removed members, with the tags of their memberships.
    pub(crate) removed: Vec<(String, Tags)>,
    pub(crate) attributes: Option<NewAttributes>,
    /// True if the edits are right for the observed version alone.
    pub(crate) exact: bool,
    /// All members afterwards, where they are known.
    pub(crate) members: Option<Vec<Value>>,
    pub(crate) nesting: Option<Nesting>,
    /// The room of the members, until the edits are written.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.moves() == 0 && self.attributes.is_none()
    }

    /// Returns the number of memberships to write.
    pub(crate) fn moves(&self) -> usize {
        self.added.len() + self.removed.len()
    }

    /// Returns the number of actions on index rows.
    pub(crate) fn rows(&self) -> usize {
        self.attributes.as_ref().map_or(0, |new| new.rows.len())
    }

    /// Returns the group after the edits, where all of its members are known.
    pub(crate) fn after(&mut self, writer: Writer<'_>, observed: &ResourceItem) -> Option<Resource> {
        let members = self.members.take()?;
        let mut after = observed.clone();
        if let Some(new) = &self.attributes {
            after.resource.clone_from(&new.attributes);
        }
        if !self.is_empty() {
            after.version += 1;
            after.modified = writer.context.now;
        }
        if let Some(name) = writer.collection.kind.members.as_ref().filter(|_| !members.is_empty()) {
            after.resource.insert(name.clone(), members.into());
        }
        Some(after.into_resource())
    }

    /// Records the edits as applied to a group; `exact` if it still had the observed
    /// version.
    pub(crate) fn record(&self, writer: Writer<'_>, observed: &ResourceItem, exact: bool) {
        let new = self.attributes.as_ref();
        let mut names = new.map_or_else(BTreeSet::new, |new| differing(&observed.resource, &new.attributes));
        if self.moves() > 0 {
            names.extend(writer.collection.kind.members.clone());
        }
        writer.record_changed(&observed.sk, exact.then_some(observed.version), names);
    }
}

/// Returns the number of members that a group gains, which is negative if it loses some.
pub(crate) fn difference(added: usize, removed: usize) -> i64 {
    let count = |members: usize| i64::try_from(members).unwrap_or(i64::MAX);
    count(added) - count(removed)
}

impl PendingEdit<'_> {
    /// Makes the action on the group itself: its next version with this many members more,
    /// under the lock of a staged change or under none.
    pub(crate) fn group_action(
        &self,
        observed: &ResourceItem,
        edits: &Edits,
        members: i64,
        lock: &str,
    ) -> Result<Action, Error> {
        let mut next = self
            .next_version()
            .and("attribute_exists(pk)")
            .and(lock)
            // Relative: unless the edits are exact, other members may have come and gone.
            .set("roster.members = roster.members + :members")
            .value(":members", number(members));
        let before = observed.visibility();
        if lock == LOCKED_BY_US {
            next = next.remove("roster.staged");
            // Additions leave nothing behind once they are committed.
            if edits.removed.is_empty() && !before.has_void() {
                next = next.set("roster.cleaned = :number").value(":number", number(before.epoch + 1));
            }
        }
        if !edits.added.is_empty() {
            next = next.set("roster.grown = :now");
        }
        if edits.added.iter().any(|member| member.kind == self.writer.collection.kind.name) {
            next = next.set("roster.nests = :true").value(":true", value(&true)?);
        }
        // The conditions on the memberships depend on which changes were aborted.
        let aborted = before.aborted.as_slice();
        next = if aborted.is_empty() {
            next.and("attribute_not_exists(roster.aborted)")
        } else {
            next.and("roster.aborted = :aborted").value(":aborted", value(&aborted)?)
        };
        if edits.exact {
            next = next.and(SEEN).value(":seen", number(observed.version));
        }
        if let Some(new) = &edits.attributes {
            next = next
                .set("#resource = :resource")
                .set("index_digest = :digest")
                .value(":resource", value(&new.attributes)?)
                .value(":digest", value(&new.index_digest)?);
        }
        Ok(Action::Update(observed.key(), next))
    }
}
