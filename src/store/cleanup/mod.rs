//! Work that a request leaves behind: a resource was deleted and may still be a member
//! somewhere, or a staged change has left memberships that do not count.
//!
//! A job is written with, or before, the write that makes it necessary, and falls due
//! when every request that could still need those memberships has ended. Until then
//! readers hide them. Each job can be done again from any point, and by several sweeps
//! at once.
//!
//! * `due`: the jobs of all tenants that are due.
//! * `leave`: deleted resources leave their groups.
//! * `staged`: what a staged change has left in a group.

mod due;
mod leave;
mod staged;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

pub use self::due::DueJobs;
use crate::scim::policy::Policy;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::item::{Item, Key, read, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::{GROUPS_AT_ONCE, MAX_ACTIONS, ROUND};
use crate::store::table::audit_trail::AuditTrail;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::job::{Job, JobState, Work};
use crate::store::table::write_context::{WriteContext, Writer};

/// The result of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Tenants that had jobs.
    pub tenants: usize,
    /// Jobs that are done.
    pub done: usize,
    /// Jobs that a later sweep must take up again.
    pub left: usize,
    /// Tenants and jobs that failed.
    pub errors: usize,
    /// False if jobs may be due that the sweep has not read.
    pub complete: bool,
    /// The time at which the oldest job left was due.
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

    /// Adds the result for a part of the jobs.
    pub fn add(&mut self, part: Self) {
        self.done += part.done;
        self.left += part.left;
        self.errors += part.errors;
        self.complete &= part.complete;
        self.oldest = self.oldest.into_iter().chain(part.oldest).min();
    }

    /// Takes the result of one more pass over all jobs. A pass that has read them all tells what
    /// is left.
    pub fn follow(&mut self, pass: Self) {
        let left = if pass.complete { Self::default() } else { *self };
        self.done += pass.done;
        self.errors = self.errors.max(pass.errors);
        self.left = left.left.max(pass.left);
        self.oldest = left.oldest.into_iter().chain(pass.oldest).min();
        self.complete = pass.complete;
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

    /// Does all jobs of the tenant that are due, where `kinds` are its types. An error says that
    /// the rest of the jobs could not be read.
    pub async fn sweep(
        self,
        kinds: &[Arc<ResourceType>],
        now: Timestamp,
        audit: &AuditTrail,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        swept.tenants += 1;
        let mut jobs = self.table.query(self.jobs_partition()).consistent().page_size(ROUND);
        while let Some(page) = jobs.next_page().await? {
            swept.add(self.do_these(kinds, page, now, audit).await);
        }
        Ok(())
    }

    /// Does those of these jobs that exist and are due. An error says that none could be read.
    pub async fn do_jobs(
        self,
        kinds: &[Arc<ResourceType>],
        keys: Vec<Key>,
        now: Timestamp,
        audit: &AuditTrail,
    ) -> Result<Swept, Error> {
        let jobs = self.table.get_all(keys).await?;
        Ok(self.do_these(kinds, jobs.into_values().collect(), now, audit).await)
    }

    /// Does the jobs of deleted resources, as far as they have any. Returns when the last of them
    /// is due if that is later than `now`.
    #[cfg(feature = "cli")]
    pub async fn settle(
        self,
        kinds: &[Arc<ResourceType>],
        ids: &[&str],
        now: Timestamp,
        audit: &AuditTrail,
    ) -> Result<Option<Timestamp>, Error> {
        let keys = ids.iter().map(|id| self.job_key(Work::Departed(id))).collect();
        let jobs: Vec<Item> = self.table.get_all(keys).await?.into_values().collect();
        let due = |job: &Item| job.get("due")?.as_s().ok()?.parse::<Timestamp>().ok();
        let last = jobs.iter().filter_map(due).max();
        if last.is_some_and(|last| last > now) {
            return Ok(last);
        }
        let swept = self.do_these(kinds, jobs, now, audit).await;
        if swept.left > 0 || swept.errors > 0 {
            return Err(Error::Busy { operation: "a cleanup job" });
        }
        Ok(None)
    }

    /// Does those of these jobs that are due. One that fails is logged and counted, and the
    /// others are done.
    async fn do_these(
        self,
        kinds: &[Arc<ResourceType>],
        items: Vec<Item>,
        now: Timestamp,
        audit: &AuditTrail,
    ) -> Swept {
        let groups: Vec<&ResourceType> =
            kinds.iter().map(Arc::as_ref).filter(|kind: &&ResourceType| kind.members.is_some()).collect();
        let cleanup = self.cleanup(&groups, now, audit);
        let mut swept = Swept::default();
        let (mut departed, mut staged) = (Vec::new(), Vec::new());
        for item in items {
            let key = Key::of(&item);
            let job: Result<Job, Error> = read(item);
            match job {
                Ok(job) if job.due > now => swept.left(job.due),
                Ok(job) if matches!(Work::parse(&job.sk), Some(Work::Departed(_))) => departed.push(job),
                Ok(job) if Work::parse(&job.sk).is_some() => staged.push(job),
                Ok(Job { sk, .. }) => {
                    tracing::error!(tenant = self.tenant.as_str(), job = sk, "a cleanup job is unknown");
                    swept.missed();
                }
                Err(error) => {
                    let (tenant, job) = (self.tenant.as_str(), key.map(|key| key.sk));
                    tracing::error!(tenant, job, %error, "a cleanup job is invalid: repair or delete the item");
                    swept.missed();
                }
            }
        }
        let mut results = Box::pin(cleanup.leave_all(departed)).await;
        let staged: Vec<_> =
            by_group(staged).into_iter().map(|jobs| Box::pin(cleanup.clean_all(jobs))).collect();
        let staged = stream::iter(staged).buffer_unordered(GROUPS_AT_ONCE);
        results.extend(staged.collect::<Vec<_>>().await.into_iter().flatten());
        let mut done = Vec::new();
        for (job, result) in results {
            match result {
                Ok(JobState::Done) => done.push(job),
                Ok(JobState::Left) => swept.left(job.due),
                Err(error) => self.failed(&job, &error, &mut swept),
            }
        }
        let ended = done.iter().map(|job| self.end_statement(job)).collect::<Result<Vec<_>, _>>();
        let ended = match ended {
            Ok(statements) => self.table.execute(statements).await,
            Err(error) => Err(error),
        };
        match ended {
            // One whose condition does not hold was ended by another sweep, or was put again.
            Ok(_) => swept.done += done.len(),
            Err(error) => done.iter().for_each(|job| self.failed(job, &error, &mut swept)),
        }
        swept
    }

    fn failed(self, job: &Job, error: &Error, swept: &mut Swept) {
        let (tenant, name) = (self.tenant.as_str(), job.sk.as_str());
        tracing::warn!(tenant, job = name, %error, "a cleanup job is left to the next sweep");
        swept.errors += 1;
        swept.left(job.due);
    }

    /// Makes the statement that deletes a job, unless it was put again since it was read.
    fn end_statement(self, job: &Job) -> Result<Statement, Error> {
        let Statement { text, mut parameters } = self.table.delete_statement(job.key());
        parameters.push(value(&job.due)?);
        Ok(Statement { text: format!("{text} AND due = ?"), parameters })
    }
}

impl<'c> Cleanup<'c> {
    fn writer<'b>(&'b self, kind: &'b ResourceType, policy: &'b Policy) -> Writer<'b> {
        let context = WriteContext { policy, now: self.now, audit: self.audit };
        self.directory.collection(kind).writer(context)
    }

    fn groups_of_type(&self, name: &str) -> Option<Collection<'c>> {
        self.groups.iter().find(|kind| kind.name == name).map(|kind| self.directory.collection(kind))
    }
}

/// Sorts the jobs of staged changes by their groups, and those of a group from the last change
/// to the first: the job of a change also cleans up after those before it.
fn by_group(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut sorted: BTreeMap<String, Vec<(u64, Job)>> = BTreeMap::new();
    for job in jobs {
        if let Some(Work::Staged(group, epoch)) = Work::parse(&job.sk) {
            sorted.entry(group.to_owned()).or_default().push((epoch, job));
        }
    }
    sorted
        .into_values()
        .map(|mut jobs| {
            jobs.sort_by_key(|(epoch, _)| Reverse(*epoch));
            jobs.into_iter().map(|(_, job)| job).collect()
        })
        .collect()
}

/// Deletes every membership of a group that does not exist. Fails with `Busy` if it exists.
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
        let deletions = members.chunks(MAX_ACTIONS - 1).map(|members| {
            let delete = |member: &String| Action::delete(groups.membership_key(id, member));
            // An import may have brought the group back.
            let gone = Action::check_absent(groups.key(id));
            let actions = members.iter().map(delete).chain([gone]).collect();
            Box::pin(async move { table.transact(actions).await?.applied() })
        });
        // All of them run to their end before an error of one is returned.
        let deletions: Vec<_> = deletions.collect();
        let deleted: Vec<Result<(), Error>> =
            stream::iter(deletions).buffer_unordered(GROUPS_AT_ONCE).collect().await;
        deleted.into_iter().collect::<Result<(), Error>>()?;
    }
}
