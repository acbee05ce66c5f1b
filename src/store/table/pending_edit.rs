//! The one loop that changes a resource: observe it, attempt a conditional write, and
//! on a conflict observe it again.
//!
//! A failed condition returns the current item, so the first retry needs no read. A
//! second failure means contention: back off, then read. A write that timed out is
//! ambiguous, and is resolved by one more read.

use crate::scim::etag::{Precondition, Version};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;
use crate::store::table::directory::Collection;
use crate::store::table::resource_item::{ResourceItem, is_id, next_version};
use crate::store::table::write_context::Writer;

/// A logical write of one resource, until it is applied or has failed.
pub(crate) struct PendingEdit<'a> {
    pub(crate) writer: Writer<'a>,
    pub(crate) id: &'a str,
    pub(crate) precondition: &'a Precondition,
    pub(crate) write_id: String,
    pub(crate) retry: Retry,
    /// True if a staged change must end before this write.
    waits_for_lock: bool,
}

/// The result of one attempt.
pub(crate) enum Attempt<T> {
    Applied(T),
    /// Another writer was faster; the current item, if the failed condition returned it.
    Conflict(Option<Box<ResourceItem>>),
}

/// A write that the loop attempts: its own part of [`PendingEdit::read_modify_write`].
pub(crate) trait Edit: Sync {
    type Done: Send;

    /// Writes on the condition that `observed` is the current item.
    fn attempt(
        &self,
        edit: &mut PendingEdit<'_>,
        observed: ResourceItem,
    ) -> impl Future<Output = Result<Attempt<Self::Done>, Error>> + Send;

    /// Returns the result of a write that an earlier attempt has applied although its answer
    /// was lost; `None` if the current item does not show it.
    fn resolve(&self, edit: &PendingEdit<'_>, current: Option<ResourceItem>) -> Option<Self::Done>;
}

impl<'a> Writer<'a> {
    /// Begins a change of the resource with this id.
    pub(crate) fn edit(self, id: &'a str, precondition: &'a Precondition) -> Result<PendingEdit<'a>, Error> {
        self.pending(id, precondition, true)
    }

    /// Begins a deletion, which does not wait for a staged change to end.
    pub(crate) fn deletion(
        self,
        id: &'a str,
        precondition: &'a Precondition,
    ) -> Result<PendingEdit<'a>, Error> {
        self.pending(id, precondition, false)
    }

    fn pending(
        self,
        id: &'a str,
        precondition: &'a Precondition,
        is_change: bool,
    ) -> Result<PendingEdit<'a>, Error> {
        // No other text is an id, and DynamoDB refuses some texts as keys.
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let table = self.table();
        // A deletion leaves no item that could hold its write id.
        let write_id = if is_change { table.new_write_id() } else { String::new() };
        // One budget for all attempts of the write.
        let retry = table.retry();
        Ok(PendingEdit { writer: self, id, precondition, write_id, retry, waits_for_lock: is_change })
    }
}

impl PendingEdit<'_> {
    /// Attempts a write until it is applied. `observed` is the item that a failed blind
    /// write returned.
    pub(crate) async fn read_modify_write<E: Edit>(
        &mut self,
        mut observed: Option<Box<ResourceItem>>,
        write: &E,
    ) -> Result<E::Done, Error> {
        loop {
            let was_returned = observed.is_some();
            let item = match observed.take() {
                Some(item) if !(self.waits_for_lock && item.is_locked()) => *item,
                Some(_) | None => self.observe_unlocked().await?,
            };
            // Before the precondition: our own lost write has changed the version that `If-Match`
            // names, and must not answer 412.
            if item.is_by(&self.write_id)
                && let Some(applied) = write.resolve(self, Some(item.clone()))
            {
                return Ok(applied);
            }
            // The attempt demands exactly the observed version, so this comparison is as good as a
            // condition on the versions of `If-Match`.
            if !self.precondition.holds(Version(item.version)) {
                return Err(Error::VersionMismatch);
            }
            match write.attempt(self, item).await {
                Ok(Attempt::Applied(done)) => return Ok(done),
                Ok(Attempt::Conflict(Some(current))) if !was_returned => observed = Some(current),
                // The returned item is dropped: after the pause it would be out of date.
                Ok(Attempt::Conflict(_)) => self.retry.pause("UpdateItem").await?,
                Err(error) => return self.resolve_ambiguous(error, write).await,
            }
        }
    }

    /// Reads the resource once no staged change has it locked. A lock that is past its
    /// lease is broken.
    pub(crate) async fn observe_unlocked(&mut self) -> Result<ResourceItem, Error> {
        let (collection, now) = (self.writer.collection, self.writer.context.now);
        loop {
            let observed = collection.observe(self.id).await?.ok_or(Error::NotFound)?;
            let is_in_the_way = self.waits_for_lock && observed.is_locked();
            let Some(visibility) = observed.visibility.as_ref().filter(|_| is_in_the_way) else {
                return Ok(observed);
            };
            if visibility.is_overdue(now) {
                // Whichever writer ends the lock, the next read shows the result.
                collection.table().abort(observed.key(), visibility).await?;
            } else {
                self.retry.pause("GetItem").await?;
            }
        }
    }

    /// Decides a write that ended without an answer, see
    /// [`Collection::resolve_ambiguous`].
    pub(crate) async fn resolve_ambiguous<E: Edit>(&self, error: Error, write: &E) -> Result<E::Done, Error> {
        self.writer.collection.resolve_ambiguous(self.id, error, |current| write.resolve(self, current)).await
    }

    pub(crate) fn next_version(&self) -> Expression {
        next_version(&self.write_id, self.writer.context.now)
    }
}

impl Collection<'_> {
    /// Decides a write that ended without an answer, or after many conflicts: one of its
    /// attempts may have been applied. The current item tells, if it can be read.
    pub(crate) async fn resolve_ambiguous<T>(
        self,
        id: &str,
        error: Error,
        resolve: impl FnOnce(Option<ResourceItem>) -> Option<T>,
    ) -> Result<T, Error> {
        if !matches!(error, Error::Unavailable { .. } | Error::Busy { .. }) {
            return Err(error);
        }
        match self.observe(id).await {
            Ok(current) => resolve(current).ok_or(error),
            // The error of the write, not that of the read: it says whether the write may have
            // been applied.
            Err(_) => Err(error),
        }
    }
}
