//! What a staged change has left in its group: memberships that it has removed, and those
//! that it has added without being committed.

use super::{Cleanup, delete_memberships};
use crate::store::dynamo::client::{Applied, Written};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{number, read, value};
use crate::store::error::Error;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::job::{Job, JobState, Work};
use crate::store::table::lock::UNLOCKED;
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Visibility;

impl Cleanup<'_> {
    /// Does the jobs of the staged changes of a group, one after the other: they would meet each
    /// other in the group's item.
    pub(crate) async fn clean_all(self, jobs: Vec<Job>) -> Vec<(Job, Result<JobState, Error>)> {
        let mut states = Vec::with_capacity(jobs.len());
        for job in jobs {
            let state = Box::pin(self.clean_staged(&job)).await;
            states.push((job, state));
        }
        states
    }

    /// Does the job of a staged change.
    async fn clean_staged(self, job: &Job) -> Result<JobState, Error> {
        match (self.groups_of_type(&job.kind), Work::parse(&job.sk)) {
            (Some(groups), Some(Work::Staged(id, epoch))) => self.clean(groups, id, epoch, job).await,
            _ => Ok(JobState::Done),
        }
    }

    /// Deletes the memberships that staged changes of a group have left behind, and forgets
    /// this change and those before it.
    async fn clean(self, groups: Collection<'_>, id: &str, epoch: u64, job: &Job) -> Result<JobState, Error> {
        let Directory { table, .. } = self.directory;
        let Some(group) = groups.observe(id).await? else {
            // A creation that is still in progress finds its job claimed, and fails.
            self.claim(job).await?;
            delete_memberships(groups, id).await?;
            return Ok(JobState::Done);
        };
        let mut visibility = group.visibility.clone().unwrap_or_default();
        // The job of a later change has done the work, or there was none.
        if epoch <= visibility.cleaned {
            return Ok(JobState::Done);
        }
        if visibility.staged.is_some() {
            // A change that has ended since the group was read is left to a later sweep, too: the
            // group as it was read no longer decides what counts.
            if !visibility.is_overdue(self.now)
                || table.abort(group.key(), &visibility).await? == Applied::Conflict
            {
                return Ok(JobState::Left);
            }
            // As the abort wrote it: `settle` compares the list.
            visibility.aborted.push(visibility.epoch);
            visibility.staged = None;
        }
        let memberships = groups.all_memberships(id).await?;
        let statements = memberships.into_iter().filter_map(|membership| {
            let tags = membership.tags();
            // A change that began after the group was read is not the work of this job.
            if !visibility.knows(tags) {
                return None;
            }
            match (visibility.shows(tags), tags.removed_by) {
                (false, _) => Some(table.delete_tagged_statement(membership.key(), tags)),
                // Once the number of its change is forgotten, the tag of an aborted removal would
                // count as a removal.
                (true, Some(_)) => Some(table.untag_statement(membership.key(), tags)),
                (true, None) => None,
            }
        });
        // A statement that fails has met a later change of the membership, which has replaced the
        // tags or deleted the item.
        table.execute(statements.collect()).await?;
        self.settle(&group, &visibility, epoch).await
    }

    /// Marks the job, so that a creation which has put it can no longer complete.
    async fn claim(self, job: &Job) -> Result<(), Error> {
        let claim = job.is_unchanged()?.set("claimed = :true").value(":true", value(&true)?);
        match self.directory.table.update(job.key(), claim).await? {
            Written::Applied(_) => Ok(()),
            // The job was put again: another creation or change is in progress.
            Written::Conflict(_) => Err(Error::Busy { operation: "UpdateItem" }),
        }
    }

    /// Removes the numbers of aborted changes up to this one from a group, after their
    /// memberships are gone. Every process that worked for them has ended, because the job of
    /// the last of them is due. Changes after it are left to their own jobs.
    async fn settle(
        self,
        group: &ResourceItem,
        visibility: &Visibility,
        epoch: u64,
    ) -> Result<JobState, Error> {
        let aborted = visibility.aborted.as_slice();
        let rest: Vec<u64> = aborted.iter().copied().filter(|aborted| *aborted > epoch).collect();
        // A staged change commits on the condition that this list is the one that it has seen, so
        // the list is kept while one is in progress.
        let mut settle =
            Expression::when(UNLOCKED).and("roster.epoch = :epoch").value(":epoch", number(visibility.epoch));
        settle = if aborted.is_empty() {
            settle.and("attribute_not_exists(roster.aborted)")
        } else {
            settle.and("roster.aborted = :aborted").value(":aborted", value(&aborted)?)
        };
        settle = if rest.is_empty() {
            settle.remove("roster.aborted").set("roster.cleaned = :epoch")
        } else if rest.len() < aborted.len() {
            settle.set("roster.aborted = :rest").value(":rest", value(&rest)?)
        } else {
            return Ok(JobState::Done);
        };
        match self.directory.table.update(group.key(), settle).await? {
            Written::Applied(_) => Ok(JobState::Done),
            // Another change has begun since the group was read, or another sweep has done the
            // same.
            Written::Conflict(current) => {
                let current = current.map(read::<ResourceItem>).transpose()?;
                let visibility = current.as_ref().map(ResourceItem::visibility);
                let is_done = visibility.is_none_or(|visibility| epoch <= visibility.cleaned);
                Ok(if is_done { JobState::Done } else { JobState::Left })
            }
        }
    }
}
