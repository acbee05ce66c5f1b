//! A change of more members than one transaction holds, still all or nothing.
//!
//! 1. A cleanup job is put, so that nothing is forgotten if the process dies.
//! 2. The group is locked: from here on no other writer changes it.
//! 3. The memberships are written in conditional batches, tagged with the number of the
//!    change. Under the lock they do not count.
//! 4. One transaction on the group commits: from here on they do.
//!
//! A writer that finds a lock past its lease aborts the change by one write of the
//! group. All tags of the change are void from then on, including those that a dead
//! process has still to write.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::client::Table;
use crate::store::dynamo::item::{Key, number, read, text};
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{Failure, Outcome};
use crate::store::error::Error;
use crate::store::group::planned_edits::{Edits, difference};
use crate::store::limits::MAX_ABORTED;
use crate::store::table::lock::LOCKED_BY_US;
use crate::store::table::membership::{Membership, ResolvedMember};
use crate::store::table::pending_edit::{Attempt, PendingEdit};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::{Tags, Visibility};

/// A membership still to be written, and the tags that it was found with.
#[derive(Clone)]
enum PendingMembership {
    Add(ResolvedMember, Option<Tags>),
    Remove(String, Tags),
}

/// The memberships that were added and removed.
#[derive(Clone, Copy, Default)]
struct Moved {
    added: usize,
    removed: usize,
}

impl PendingEdit<'_> {
    /// Writes the edits of an observed group as a staged change.
    pub(crate) async fn change_staged(
        &mut self,
        observed: &ResourceItem,
        edits: &mut Edits,
    ) -> Result<Attempt<()>, Error> {
        let table = self.writer.table();
        let before = observed.visibility();
        if before.aborted.len() >= MAX_ABORTED {
            return Err(Error::Busy { operation: "a staged change" });
        }
        let epoch = before.epoch + 1;
        self.writer.put_staged_job(&observed.sk, epoch).await?;
        let Some(visibility) = self.writer.lock(observed, &self.write_id).await? else {
            // The job stays: a faster writer may have put it as well, and a job without work ends
            // when it is due.
            return Ok(Attempt::Conflict(None));
        };
        let committed = match self.stage(&visibility, edits).await {
            Ok(None) => Ok(Attempt::Conflict(None)),
            Ok(Some(Moved { added: 0, removed: 0 })) if edits.attributes.is_none() => {
                // Another writer made the same change first, so this one is a no-op.
                // The job stays, because it must remove the number of the aborted change.
                table.abort(observed.key(), &visibility).await?;
                return Ok(Attempt::Applied(()));
            }
            // The count follows what was written: members that were there already are not new.
            Ok(Some(moved)) => self.commit(observed, edits, difference(moved.added, moved.removed)).await,
            Err(error) => Err(error),
        };
        if let Ok(Attempt::Applied(())) = committed {
            // Removed memberships are only tagged so far, and the job deletes them. If an earlier
            // change has left some, the commit could not say that none is left.
            if edits.removed.is_empty()
                && !before.has_void()
                && let Err(error) = self.writer.drop_staged_job(&observed.sk, epoch).await
            {
                tracing::warn!(%error, "a job without work is left to the sweep");
            }
        // Otherwise every other writer would wait for the lease to end.
        } else if let Err(error) = table.abort(observed.key(), &visibility).await {
            tracing::warn!(%error, "a staged change is left to its lease");
        }
        committed
    }

    async fn commit(
        &self,
        observed: &ResourceItem,
        edits: &mut Edits,
        members: i64,
    ) -> Result<Attempt<()>, Error> {
        loop {
            // If another writer has broken the lock after its lease, this condition fails, and
            // nothing that was staged counts.
            let mut actions = vec![self.group_action(observed, edits, members, LOCKED_BY_US)?];
            if let Some(new) = &edits.attributes {
                actions.extend(new.rows.actions(&observed.sk));
            }
            if let Some(nesting) = edits.nesting {
                actions.push(self.writer.collection.directory.nest_action(nesting));
            }
            // With retries of its own: staging may have taken longer than the budget of `self.retry`,
            // and thousands of memberships would be written in vain.
            match self.writer.table().transact(actions).await? {
                Outcome::Applied => {
                    edits.record(self.writer, observed, true);
                    return Ok(Attempt::Applied(()));
                }
                Outcome::Failed(Failure { action: 0, current: None, .. }) => return Err(Error::NotFound),
                Outcome::Failed(failure) => {
                    let rows = edits.rows();
                    match edits.attributes.as_mut().filter(|_| (1..=rows).contains(&failure.action)) {
                        Some(new) => new.settle(&failure, 1)?,
                        // The lock was broken, or another nesting came first and cycles must be
                        // checked again.
                        None => return Ok(Attempt::Conflict(None)),
                    }
                }
            }
        }
    }

    /// Writes the memberships under the lock; `None` if another writer has broken it.
    async fn stage(&self, visibility: &Visibility, edits: &Edits) -> Result<Option<Moved>, Error> {
        let table = self.writer.table();
        let adds = edits.added.iter().map(|member| PendingMembership::Add(member.clone(), None));
        let removes = edits.removed.iter().map(|(id, tags)| PendingMembership::Remove(id.clone(), *tags));
        let mut moved = Moved::default();
        let mut pending: Vec<PendingMembership> = adds.chain(removes).collect();
        // The retries begin with the first conflict: writing thousands of members takes time
        // that is not spent on waiting.
        let mut retry: Option<Retry> = None;
        loop {
            let statements = pending
                .iter()
                .map(|membership| self.statement(visibility.epoch, membership))
                .collect::<Result<_, _>>()?;
            let held = table.execute(statements).await?;
            let mut failed = Vec::new();
            for (membership, held) in pending.into_iter().zip(held) {
                match (held, &membership) {
                    (false, _) => failed.push(membership),
                    (true, PendingMembership::Add(..)) => moved.added += 1,
                    (true, PendingMembership::Remove(..)) => moved.removed += 1,
                }
            }
            if failed.is_empty() {
                return Ok(Some(moved));
            }
            let Some(rest) = self.still_pending(visibility, failed, &mut moved).await? else {
                return Ok(None);
            };
            pending = rest;
            if !pending.is_empty() {
                retry.get_or_insert_with(|| table.retry()).pause("BatchExecuteStatement").await?;
            }
        }
    }

    /// Reads memberships whose condition did not hold, and returns those that must still be
    /// written; `None` if another writer has broken the lock.
    async fn still_pending(
        &self,
        visibility: &Visibility,
        failed: Vec<PendingMembership>,
        moved: &mut Moved,
    ) -> Result<Option<Vec<PendingMembership>>, Error> {
        use PendingMembership::{Add, Remove};
        let key = |membership: &PendingMembership| self.membership_key(membership.id());
        let mut found = self.writer.table().get_all(failed.iter().map(key).collect()).await?;
        let mut pending = Vec::new();
        for membership in failed {
            let current: Option<Membership> = found.remove(&key(&membership)).map(read).transpose()?;
            let tags = current.as_ref().map(Membership::tags);
            // A later change has begun: what it has written is not ours to take over.
            if tags.is_some_and(|tags| !visibility.knows(tags)) {
                return Ok(None);
            }
            let is_shown = tags.is_some_and(|tags| visibility.shows(tags));
            match (membership, tags) {
                // A cleanup has deleted it since the insertion failed.
                (Add(member, _), None) => pending.push(Add(member, None)),
                // An attempt whose answer was lost has written it.
                (Add(..), Some(tags)) if tags.added_by == Some(visibility.epoch) => moved.added += 1,
                // Already a member, and counted by the change that added it.
                (Add(..), Some(_)) if is_shown => {}
                // A void membership is taken over, whichever change left it.
                (Add(member, _), tags) => pending.push(Add(member, tags)),
                (Remove(..), Some(tags)) if tags.removed_by == Some(visibility.epoch) => moved.removed += 1,
                (Remove(id, _), Some(tags)) if is_shown => pending.push(Remove(id, tags)),
                (Remove(..), _) => {}
            }
        }
        Ok(Some(pending))
    }

    fn statement(&self, epoch: u64, membership: &PendingMembership) -> Result<Statement, Error> {
        let (table, key) = (self.writer.table(), self.membership_key(membership.id()));
        Ok(match membership {
            PendingMembership::Add(member, None) => {
                let membership = Membership::new(self.writer.collection, self.id, member);
                let tagged = Membership { added_by: Some(epoch), ..membership };
                table.insert_statement(tagged.to_item()?)
            }
            PendingMembership::Add(member, Some(tags)) => {
                let change = r#"SET added_by = ? SET "type" = ? REMOVE removed_by"#;
                table.tag_statement(key, change, vec![number(epoch), text(member.kind.as_str())], *tags)
            }
            // Tagged rather than deleted: before the commit the membership still counts, and an
            // abort must leave it.
            PendingMembership::Remove(_, tags) => {
                table.tag_statement(key, "SET removed_by = ?", vec![number(epoch)], *tags)
            }
        })
    }

    fn membership_key(&self, member: &str) -> Key {
        self.writer.collection.membership_key(self.id, member)
    }
}

impl PendingMembership {
    fn id(&self) -> &str {
        match self {
            Self::Add(member, _) => &member.id,
            Self::Remove(id, _) => id,
        }
    }
}

impl Table {
    /// Makes the statement that changes a membership which was found with these tags.
    fn tag_statement(
        &self,
        key: Key,
        change: &str,
        mut parameters: Vec<AttributeValue>,
        tags: Tags,
    ) -> Statement {
        let (condition, values) = found_as(key, tags);
        parameters.extend(values);
        Statement { text: format!(r#"UPDATE "{}" {change} WHERE {condition}"#, self.name), parameters }
    }

    /// Makes the statement that takes the tag of an aborted removal off a membership.
    pub(crate) fn untag_statement(&self, key: Key, tags: Tags) -> Statement {
        self.tag_statement(key, "REMOVE removed_by", Vec::new(), tags)
    }

    /// Makes the statement that deletes a membership if it still has these tags.
    pub(crate) fn delete_tagged_statement(&self, key: Key, tags: Tags) -> Statement {
        let (condition, parameters) = found_as(key, tags);
        Statement { text: format!(r#"DELETE FROM "{}" WHERE {condition}"#, self.name), parameters }
    }
}

/// The condition of a statement on a membership that was found with these tags.
fn found_as(key: Key, tags: Tags) -> (String, Vec<AttributeValue>) {
    // A later writer that takes a membership over replaces its tags, so a late statement of a
    // dead process does not hold.
    let mut condition = "pk = ? AND sk = ?".to_owned();
    let mut parameters = vec![AttributeValue::S(key.pk), AttributeValue::S(key.sk)];
    for (name, tag) in [("added_by", tags.added_by), ("removed_by", tags.removed_by)] {
        match tag {
            Some(epoch) => {
                condition = format!("{condition} AND {name} = ?");
                parameters.push(number(epoch));
            }
            None => condition = format!("{condition} AND {name} IS MISSING"),
        }
    }
    (condition, parameters)
}
