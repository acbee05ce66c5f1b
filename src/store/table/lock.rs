//! The mark that a staged change sets on its group. While it is set, no other write but
//! a deletion changes the group.

use crate::store::dynamo::client::{Applied, Table, Written};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, number, read, value};
use crate::store::error::Error;
use crate::store::limits::LEASE;
use crate::store::table::resource_item::{ResourceItem, SEEN};
use crate::store::table::visibility::{Staged, Visibility};
use crate::store::table::write_context::Writer;

/// Holds for a group that no staged change has locked.
pub(crate) const UNLOCKED: &str = "attribute_not_exists(roster.staged)";

/// Holds for a group that is locked by the staged change with this write id.
pub(crate) const LOCKED_BY_US: &str = "roster.staged.write_id = :write_id";

impl Writer<'_> {
    /// Locks an observed group. Returns its visibility under the lock; `None` if the
    /// group has changed since it was observed.
    pub(crate) async fn lock(
        self,
        observed: &ResourceItem,
        write_id: &str,
    ) -> Result<Option<Visibility>, Error> {
        let mut visibility = observed.visibility.clone().unwrap_or_default();
        // From the time of the request, not from now: the request ends before the lease does.
        let staged = Staged { write_id: write_id.to_owned(), until: self.context.now + LEASE };
        let lock = Expression::when(SEEN)
            .and(UNLOCKED)
            // A change that was staged and aborted since then has left the version as it was.
            .and("roster.epoch = :epoch")
            .set("roster.epoch = :next")
            .set("roster.staged = :staged")
            .value(":seen", number(observed.version))
            .value(":epoch", number(visibility.epoch))
            .value(":next", number(visibility.epoch + 1))
            .value(":staged", value(&staged)?);
        visibility.epoch += 1;
        visibility.staged = Some(staged);
        match self.table().update(observed.key(), lock).await? {
            Written::Applied(_) => Ok(Some(visibility)),
            Written::Conflict(current) => {
                let current = current.map(read::<ResourceItem>).transpose()?;
                // An attempt whose answer was lost has set the lock.
                let ours = current.and_then(|current| current.visibility);
                Ok(ours.filter(|current| current.staged == visibility.staged))
            }
        }
    }
}

impl Table {
    /// Ends a staged change without its effect: its memberships are void, including those
    /// that a dead process has still to write. Conflicts if the change has ended
    /// since `visibility` was read.
    pub(crate) async fn abort(&self, group: Key, visibility: &Visibility) -> Result<Applied, Error> {
        let mut aborted = visibility.aborted.clone();
        aborted.push(visibility.epoch);
        let abort = Expression::when("roster.epoch = :epoch")
            .and("attribute_exists(roster.staged)")
            // The version stays: no reader has seen a member come or go, so no ETag expires.
            .set("roster.aborted = :aborted")
            .remove("roster.staged")
            .value(":epoch", number(visibility.epoch))
            .value(":aborted", value(&aborted)?);
        Ok(self.update(group, abort).await?.into())
    }
}
