//! Work that a request leaves behind: a resource was deleted and may still be a member
//! somewhere, or a staged change has left memberships that do not count.
//!
//! A job is written with, or before, the write that makes it necessary, and falls due
//! when every request that could still need those memberships has ended. Until then
//! readers hide them. Each job can be done again from any point.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use crate::scim::etag::Precondition;
use crate::scim::member::{MemberChanges, Touched};
use crate::scim::policy::Policy;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::client::{Applied, Written};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{read, value};
use crate::store::error::Error;
use crate::store::group::change::MemberChange;
use crate::store::limits::{GROUPS_AT_ONCE, LEAVE_TIME, ROUND, ROUNDS};
use crate::store::table::audit_trail::AuditTrail;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::job::{DEPARTED, Job, JobState, STAGED};
use crate::store::table::lock::UNLOCKED;
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Visibility;
use crate::store::table::write_context::{WriteContext, Writer};

/// The result of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    pub tenants: usize,
    /// Jobs that are done.
    pub done: usize,
    /// Jobs that a later sweep must take up again.
    pub left: usize,
    /// Tenants and jobs that failed.
    pub errors: usize,
    /// False if jobs may exist that the sweep has not read. `oldest` says nothing then.
    pub complete: bool,
    /// The time at which the oldest job left was, or will be, due.
    #[serde(skip)]
    pub oldest: Option<Timestamp>,
}

impl Default for Swept {
    fn default() -> Self {
        Self { tenants: 0, done: 0, left: 0, errors: 0, complete: true, oldest: None }
    }
}

impl Swept {
    /// Notes a tenant or a job that could not be read.
    pub fn missed(&mut self) {
        self.errors += 1;
        self.complete = false;
    }

    fn left(&mut self, due: Timestamp) {
        self.left += 1;
        self.oldest = self.oldest.into_iter().chain([due]).min();
    }
}

/// The cleanup of one tenant, whose types that have members are `groups`.
#[derive(Clone, Copy)]
pub struct Cleanup<'a> {
    directory: Directory<'a>,
    groups: &'a [&'a ResourceType],
    now: Timestamp,
    audit: &'a AuditTrail,
}

impl<'a> Directory<'a> {
    pub fn cleanup<'b>(
        self,
        groups: &'b [&'b ResourceType],
        now: Timestamp,
        audit: &'b AuditTrail,
    ) -> Cleanup<'b>
    where
        'a: 'b,
    {
        Cleanup { directory: self, groups, now, audit }
    }

    /// Counts the jobs of a tenant, and tells when the oldest was, or will be, due.
    pub async fn jobs(self) -> Result<(usize, Option<Timestamp>), Error> {
        let due = self.table.query(self.jobs_partition()).consistent().first_texts("due", usize::MAX).await?;
        Ok((due.len(), due.iter().filter_map(|due| due.parse().ok()).min()))
    }

    /// Does the jobs that are due, where `kinds` are the tenant's types. One that fails is
    /// logged and counted, and the others are done. An error says that the rest of the jobs
    /// could not be read.
    pub async fn sweep(
        self,
        kinds: &[Arc<ResourceType>],
        now: Timestamp,
        audit: &AuditTrail,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        let groups: Vec<&ResourceType> =
            kinds.iter().map(Arc::as_ref).filter(|kind: &&ResourceType| kind.members.is_some()).collect();
        let cleanup = self.cleanup(&groups, now, audit);
        let tenant = self.tenant.as_str();
        swept.tenants += 1;
        let mut jobs = self.table.query(self.jobs_partition()).consistent();
        while let Some(page) = jobs.next_page().await? {
            for item in page {
                let key = item.get("sk").and_then(|key| key.as_s().ok()).cloned();
                let job: Job = match read(item) {
                    Ok(job) => job,
                    Err(error) => {
                        tracing::error!(tenant, job = key, %error, "a cleanup job is invalid: repair or delete the item");
                        swept.missed();
                        continue;
                    }
                };
                match cleanup.do_if_due(&job).await {
                    Ok(JobState::Done) => swept.done += 1,
                    Ok(JobState::Left) => swept.left(job.due),
                    Err(error) => {
                        tracing::warn!(tenant, job = job.sk, %error, "a cleanup job is left to the next sweep");
                        swept.errors += 1;
                        swept.left(job.due);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Cleanup<'_> {
    /// Removes the memberships of a deleted resource, as far as time allows. Failures are
    /// left to the job.
    pub(crate) async fn leave_at_once(self, id: &str) {
        match tokio::time::timeout(LEAVE_TIME, Box::pin(self.leave(id))).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "groups of a deleted resource are left to the sweep"),
            Err(_) => tracing::warn!("groups of a deleted resource are left to the sweep"),
        }
    }

    /// Removes a round of memberships of a deleted resource. It is done once there are none.
    async fn leave(self, id: &str) -> Result<JobState, Error> {
        let Directory { table, .. } = self.directory;
        // The index may lack a membership that was written a moment ago. Only the job, which is
        // due later, concludes that none is left.
        let memberships = table.query_index("members", "member_pk", self.directory.member_partition(id));
        let partitions = memberships.first_texts("pk", ROUND).await?;
        let groups: Vec<(&ResourceType, &str)> = partitions
            .iter()
            .filter_map(|partition| self.directory.group_at(self.groups, partition))
            .collect();
        let state = if groups.is_empty() { JobState::Done } else { JobState::Left };
        let leaving = groups.into_iter().map(|(kind, group)| Box::pin(self.leave_group(kind, group, id)));
        // All of them run to their end before an error of one is returned.
        let left: Vec<Result<(), Error>> =
            stream::iter(leaving.collect::<Vec<_>>()).buffer_unordered(GROUPS_AT_ONCE).collect().await;
        left.into_iter().collect::<Result<(), Error>>()?;
        Ok(state)
    }

    async fn leave_group(self, kind: &ResourceType, group: &str, member: &str) -> Result<(), Error> {
        let mut gone = MemberChanges::default();
        gone.remove(member);
        let change = MemberChange { apply: None, touched: &Touched::Named(gone) };
        // The tenant's limits on changes are for clients: a deletion has happened.
        let policy = Policy::default();
        match self.writer(kind, &policy).change_members(group, &Precondition::Exists, change).await {
            Ok(_) => Ok(()),
            // The group is deleted too, so that no count of members must follow.
            Err(Error::NotFound) => {
                let Directory { table, .. } = self.directory;
                let key = self.directory.collection(kind).membership_key(group, member);
                table.execute(vec![table.delete_statement(key)]).await.map(|_| ())
            }
            Err(error) => Err(error),
        }
    }

    fn writer<'b>(&'b self, kind: &'b ResourceType, policy: &'b Policy) -> Writer<'b> {
        let context = WriteContext { policy, now: self.now, audit: self.audit };
        self.directory.collection(kind).writer(context)
    }

    async fn do_if_due(self, job: &Job) -> Result<JobState, Error> {
        if job.due > self.now {
            return Ok(JobState::Left);
        }
        let state = Box::pin(self.do_job(job)).await?;
        if state == JobState::Done {
            job.end(self.directory).await?;
        }
        Ok(state)
    }

    async fn do_job(self, job: &Job) -> Result<JobState, Error> {
        let Some((work, id)) = job.sk.split_once('#') else {
            return Ok(JobState::Done);
        };
        let group =
            self.groups.iter().find(|kind| kind.name == job.kind).map(|kind| self.directory.collection(kind));
        match (work, group) {
            (DEPARTED, group) => {
                if let Some(groups) = group {
                    delete_memberships(groups, id).await?;
                }
                for _ in 0..ROUNDS {
                    // The index may still show what the round before has removed. Removing it again is
                    // a no-op.
                    if self.leave(id).await? == JobState::Done {
                        return Ok(JobState::Done);
                    }
                }
                Ok(JobState::Left)
            }
            (STAGED, Some(groups)) => self.clean(groups, id, job).await,
            _ => Ok(JobState::Done),
        }
    }

    /// Deletes the memberships that staged changes of a group have left behind: removed
    /// ones, and those added by changes that never happened.
    async fn clean(self, groups: Collection<'_>, id: &str, job: &Job) -> Result<JobState, Error> {
        let Directory { table, .. } = self.directory;
        let Some(group) = groups.observe(id).await? else {
            // A creation that is still in progress finds its job claimed, and fails.
            self.claim(job).await?;
            delete_memberships(groups, id).await?;
            return Ok(JobState::Done);
        };
        let mut visibility = group.visibility.clone().unwrap_or_default();
        if visibility.staged.is_some() {
            // A change that has ended since the group was read is left to a later sweep, too: the
            // group as it was read no longer decides what counts.
            if !visibility.is_overdue(self.now)
                || table.abort(group.key(), &visibility).await? == Applied::Conflict
            {
                return Ok(JobState::Left);
            }
            // As the abort wrote it: `forget_aborted` compares the list.
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
        if !visibility.aborted.is_empty() {
            self.forget_aborted(&group, &visibility).await?;
        }
        Ok(JobState::Done)
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

    /// Removes the numbers of aborted changes from a group, after their memberships are
    /// gone and every process that worked for them has ended.
    async fn forget_aborted(self, group: &ResourceItem, visibility: &Visibility) -> Result<(), Error> {
        // A staged change commits on the condition that this list is the one that it has seen, so
        // the list is kept while one is in progress.
        let forget = Expression::when("roster.aborted = :aborted")
            .and(UNLOCKED)
            .remove("roster.aborted")
            .value(":aborted", value(&visibility.aborted)?);
        self.directory.table.update(group.key(), forget).await?;
        Ok(())
    }
}

/// Deletes every membership of a group that does not exist.
async fn delete_memberships(groups: Collection<'_>, id: &str) -> Result<(), Error> {
    let table = groups.table();
    loop {
        // From the start each time: a strongly consistent read shows no deleted item, but it
        // shows one that a late process has written.
        let query = table.query(groups.members_partition(id)).consistent();
        let members = query.first_texts("sk", ROUND).await?;
        if members.is_empty() {
            return Ok(());
        }
        let statement = |member: &String| table.delete_statement(groups.membership_key(id, member));
        table.execute(members.iter().map(statement).collect()).await?;
    }
}
