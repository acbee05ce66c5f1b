//! Deleted resources leave their groups.
//!
//! A deletion marks the memberships that it finds, deletes the resource, and then removes
//! the memberships for as long as its request may take. The job does the rest: several
//! resources leave a group by one transaction, which requires that they do not exist, so
//! that a job never acts on a resource that an import has brought back.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, stream};

use super::{Cleanup, delete_memberships};
use crate::scim::etag::Precondition;
use crate::scim::member::{MemberChanges, Touched};
use crate::scim::policy::Policy;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::item::{self, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::group::change::MemberChange;
use crate::store::group::leave::{Departed, MAX_LEAVERS};
use crate::store::limits::{GROUPS_AT_ONCE, LEAVE_TIME, ROUND, ROUNDS};
use crate::store::table::directory::Directory;
use crate::store::table::job::{Job, JobState, Work};

/// A job that is being done, and the resource that it is of.
type Open<'j> = (&'j Job, Departed<'j>);

impl Cleanup<'_> {
    /// Marks the memberships of a resource that is about to be deleted, and returns the
    /// partitions that they are in. Readers ask whether a marked member is deleted.
    pub(crate) async fn mark_leaving(self, id: &str) -> Result<Vec<String>, Error> {
        let Directory { table, .. } = self.directory;
        let member_pk = self.directory.member_partition(id);
        let memberships = table.query_index("members", "member_pk", member_pk.as_str());
        let partitions = memberships.first_texts("pk", usize::MAX).await?;
        let leaving = value(&true)?;
        let mark = |partition: &String| {
            let text = format!(
                r#"UPDATE "{}" SET leaving = ? WHERE pk = ? AND sk = ? AND member_pk = ?"#,
                table.name
            );
            let texts = [partition.as_str(), id, member_pk.as_str()].map(item::text);
            Statement { text, parameters: std::iter::once(leaving.clone()).chain(texts).collect() }
        };
        // One that is gone since the index was read needs no mark.
        table.execute(partitions.iter().map(mark).collect()).await?;
        Ok(partitions)
    }

    /// Removes the memberships of a resource that its request has deleted, as far as time
    /// allows. Failures are left to the job.
    pub(crate) async fn leave_at_once(self, id: &str, partitions: &[String]) {
        let leaving = partitions
            .iter()
            .filter_map(|partition| self.directory.group_at(self.groups, partition))
            .map(|(kind, group)| Box::pin(self.leave_group(kind, group, id)));
        let leaving: Vec<_> = leaving.collect();
        let leave_all = stream::iter(leaving).buffer_unordered(GROUPS_AT_ONCE).for_each(async |left| {
            if let Err(error) = left {
                tracing::warn!(%error, "a group of a deleted resource is left to the sweep");
            }
        });
        if tokio::time::timeout(LEAVE_TIME, Box::pin(leave_all)).await.is_err() {
            tracing::warn!("groups of a deleted resource are left to the sweep");
        }
    }

    async fn leave_group(self, kind: &ResourceType, group: &str, member: &str) -> Result<(), Error> {
        let mut gone = MemberChanges::default();
        gone.remove(member);
        let change = MemberChange { apply: None, touched: &Touched::Named(gone) };
        // The tenant's limits on changes are for clients: a deletion has happened.
        let policy = Policy::default();
        match self.writer(kind, &policy).change_members(group, &Precondition::Exists, change).await {
            // A group that is deleted too leaves its memberships to its own job.
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Does the jobs of deleted resources, and returns the state of each.
    pub(crate) async fn leave_all(self, jobs: Vec<Job>) -> Vec<(Job, Result<JobState, Error>)> {
        let mut results: BTreeMap<String, Result<JobState, Error>> = BTreeMap::new();
        let mut open: Vec<Open<'_>> = Vec::with_capacity(jobs.len());
        let own = jobs
            .iter()
            .map(|job| Box::pin(async move { (job, Box::pin(self.delete_own_memberships(job)).await) }));
        let own: Vec<_> = own.collect();
        for (job, deleted) in stream::iter(own).buffer_unordered(GROUPS_AT_ONCE).collect::<Vec<_>>().await {
            match (deleted, Work::parse(&job.sk)) {
                (Ok(()), Some(work)) => open.push((job, Departed { kind: &job.kind, id: work.id() })),
                (Ok(()), None) => {}
                (Err(error), _) => drop(results.insert(job.sk.clone(), Err(error))),
            }
        }
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            open = self.leave_round(open, &mut results).await;
        }
        let state = |job: &Job| results.remove(&job.sk).unwrap_or(Ok(JobState::Left));
        let states: Vec<_> = jobs.iter().map(state).collect();
        jobs.into_iter().zip(states).collect()
    }

    /// Deletes the memberships in a deleted group.
    async fn delete_own_memberships(self, job: &Job) -> Result<(), Error> {
        match (self.groups_of_type(&job.kind), Work::parse(&job.sk)) {
            (Some(groups), Some(work)) => delete_memberships(groups, work.id()).await,
            _ => Ok(()),
        }
    }

    /// Removes the first memberships that the index has of each resource. A job without any
    /// is done; those that are returned must be looked at again.
    async fn leave_round<'j>(
        self,
        open: Vec<Open<'j>>,
        results: &mut BTreeMap<String, Result<JobState, Error>>,
    ) -> Vec<Open<'j>> {
        let Directory { table, .. } = self.directory;
        let queries = open.into_iter().map(|(job, departed)| {
            let memberships =
                table.query_index("members", "member_pk", self.directory.member_partition(departed.id));
            Box::pin(async move { (job, departed, memberships.first_texts("pk", ROUND).await) })
        });
        let queries: Vec<_> = queries.collect();
        let mut found = stream::iter(queries).buffer_unordered(GROUPS_AT_ONCE);
        let mut leavers: BTreeMap<String, Vec<Departed<'j>>> = BTreeMap::new();
        let mut members: Vec<(Open<'j>, Vec<String>)> = Vec::new();
        while let Some((job, departed, partitions)) = found.next().await {
            match partitions {
                Ok(partitions) => {
                    let groups = partitions
                        .into_iter()
                        .filter(|partition| self.directory.group_at(self.groups, partition).is_some());
                    let groups: Vec<String> = groups.collect();
                    if groups.is_empty() {
                        results.insert(job.sk.clone(), Ok(JobState::Done));
                        continue;
                    }
                    for group in &groups {
                        leavers.entry(group.clone()).or_default().push(departed);
                    }
                    members.push(((job, departed), groups));
                }
                Err(error) => drop(results.insert(job.sk.clone(), Err(error))),
            }
        }
        let leaving = leavers.iter().map(|(partition, departed)| {
            Box::pin(async move {
                // One after the other: they would meet in the group's item.
                for departed in departed.chunks(MAX_LEAVERS) {
                    if let Err(error) = Box::pin(self.leave_together(partition, departed)).await {
                        return (partition, Err(error));
                    }
                }
                (partition, Ok(()))
            })
        });
        let leaving: Vec<_> = leaving.collect();
        let left: Vec<(&String, Result<(), Error>)> =
            stream::iter(leaving).buffer_unordered(GROUPS_AT_ONCE).collect().await;
        let failed: HashSet<&String> =
            left.iter().filter(|(_, result)| result.is_err()).map(|(partition, _)| *partition).collect();
        for error in left.iter().filter_map(|(_, result)| result.as_ref().err()) {
            tracing::warn!(tenant = self.directory.tenant.as_str(), %error, "deleted resources are still in a group");
        }
        // The index may still show what this round has removed. Removing it again is a no-op.
        let (failed, open): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(_, groups)| groups.iter().any(|group| failed.contains(group)));
        results.extend(
            failed
                .into_iter()
                .map(|((job, _), _)| (job.sk.clone(), Err(Error::Busy { operation: "TransactWriteItems" }))),
        );
        open.into_iter().map(|(open, _)| open).collect()
    }

    async fn leave_together(self, partition: &str, departed: &[Departed<'_>]) -> Result<(), Error> {
        let Some((kind, group)) = self.directory.group_at(self.groups, partition) else { return Ok(()) };
        let policy = Policy::default();
        match self.writer(kind, &policy).remove_departed(group, departed).await {
            // The group is deleted too, so that no count of members must follow.
            Err(Error::NotFound) => {
                let groups = self.directory.collection(kind);
                for Departed { kind, id } in departed {
                    let actions = vec![
                        Action::delete(groups.membership_key(group, id)),
                        Action::check_absent(groups.key(group)),
                        Action::check_absent(self.directory.resource_key(kind, id)),
                    ];
                    groups.table().transact(actions).await?.applied()?;
                }
                Ok(())
            }
            left => left,
        }
    }
}
