//! What is left to do after a request: a resource was deleted and may still be
//! a member somewhere, a staged change has left memberships that do not count.
//!
//! A job is written with, or before, what makes it necessary, and outlives every
//! request that can still be under way when it falls due. Until then readers see
//! to it themselves that nothing shows. Each job can be done again from any point.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, TransactWriteItem};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::scim::etag::Precondition;
use crate::scim::member::{MemberChanges, Touched};
use crate::scim::policy::Policy;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::error::{Error, held};
use crate::store::group::change::MemberChange;
use crate::store::group::groups_of::group_at;
use crate::store::resource::Write;
use crate::store::resource::actions::{self, UNMARKED};
use crate::store::table::audit_trail::AuditTrail;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::resource_item::attribute_value;
use crate::store::table::visibility::Visibility;

/// A deleted resource, by its id.
pub(crate) const DEPARTED: &str = "left";
/// A group with a staged change, or one that is created with many members.
pub(crate) const STAGED: &str = "staged";

/// Requests end after 25 s and Lambda after 29 s; an index is behind by a second.
const DUE: SignedDuration = SignedDuration::from_secs(90);

/// Groups that a deleted resource is taken out of at the same time.
const AT_ONCE: usize = 16;

/// Memberships that one round of a job reads.
const ROUND: i32 = 1_000;

/// Rounds of a job in one sweep. What a staged change has a hold of stays meanwhile.
const ROUNDS: usize = 10;

/// How long a deletion takes a resource out of its groups before it answers. The
/// job does the rest.
const AT_ONCE_TIME: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// Resource type of what the job is about.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) due: Timestamp,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    pub tenants: usize,
    /// Jobs that were done to the end.
    pub done: usize,
    /// Jobs that are to be taken up again.
    pub left: usize,
    /// When the oldest of them was, or will be, due.
    #[serde(skip)]
    pub oldest: Option<Timestamp>,
}

impl Store {
    fn job(write: Write<'_>, work: &str, id: &str) -> Job {
        let Key { pk, sk } = Key::job(write.tenant, work, id);
        Job { pk, sk, kind: write.kind.name.clone(), due: write.now + DUE }
    }

    /// Part of the transaction that deletes a resource.
    pub(crate) fn put_left(&self, write: Write<'_>, id: &str) -> Result<TransactWriteItem, Error> {
        let item = serde_dynamo::to_item(Self::job(write, DEPARTED, id));
        actions::put(self.put(item.map_err(|error| Error::fault("TransactWriteItems", error))?))
    }

    /// Before the first membership is written. One job is enough for all staged
    /// changes of a group, due after the last. Whether there was none yet.
    pub(crate) async fn put_staged(&self, write: Write<'_>, id: &str) -> Result<bool, Error> {
        const OPERATION: &str = "UpdateItem";
        let job = Self::job(write, STAGED, id);
        let key = Key { pk: job.pk, sk: job.sk };
        let put = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .update_expression("SET #type = :type, due = :due")
            .expression_attribute_names("#type", "type")
            .expression_attribute_values(":type", AttributeValue::S(job.kind))
            .expression_attribute_values(":due", attribute_value(OPERATION, &job.due)?)
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| Error::sdk(OPERATION, &error))?;
        Ok(put.attributes.is_none_or(|old| !old.contains_key("due")))
    }

    /// Part of the transaction that completes a creation: nobody has taken up its job.
    pub(crate) fn end_staged(&self, write: Write<'_>, id: &str) -> Result<TransactWriteItem, Error> {
        let due = attribute_value("TransactWriteItems", &(write.now + DUE))?;
        actions::delete(
            self.delete_key(Key::job(write.tenant, STAGED, id))
                .condition_expression("due = :due AND attribute_not_exists(claimed)")
                .expression_attribute_values(":due", due),
        )
    }

    /// After a staged change that has left nothing behind.
    pub(crate) async fn drop_staged(&self, write: Write<'_>, id: &str) -> Result<(), Error> {
        self.end_job(&Self::job(write, STAGED, id)).await
    }

    /// A job that was put anew meanwhile stays.
    async fn end_job(&self, job: &Job) -> Result<(), Error> {
        const OPERATION: &str = "DeleteItem";
        let key = Key { pk: job.pk.clone(), sk: job.sk.clone() };
        let ended = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression("due = :due")
            .expression_attribute_values(":due", attribute_value(OPERATION, &job.due)?)
            .send()
            .await;
        held(OPERATION, ended).map(|_| ())
    }

    /// Takes a deleted resource out of its groups, as far as that goes at once. What
    /// fails is left to the job.
    pub(crate) async fn leave_at_once(&self, write: Write<'_>, kinds: &[&ResourceType], id: &str) {
        let leave = Box::pin(self.leave(write.tenant, kinds, id, write.now, write.trail));
        match tokio::time::timeout(AT_ONCE_TIME, leave).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "groups of a deleted resource are left to the sweep"),
            Err(_) => tracing::warn!("groups of a deleted resource are left to the sweep"),
        }
    }

    /// Whether a deleted resource has no membership any more.
    async fn leave(
        &self,
        tenant: &TenantName,
        kinds: &[&ResourceType],
        id: &str,
        now: Timestamp,
        trail: &AuditTrail,
    ) -> Result<bool, Error> {
        let query = self
            .rows(keys::member_of(tenant, id))
            .index_name("members")
            .key_condition_expression("member_pk = :pk")
            .limit(ROUND);
        let partitions = self.first_texts(query, "pk", usize::try_from(ROUND).unwrap_or(usize::MAX)).await?;
        let found: Vec<(&ResourceType, &str)> =
            partitions.iter().filter_map(|partition| group_at(tenant, kinds, partition)).collect();
        let none = found.is_empty();
        let policy = Policy::default();
        let leaving = found.into_iter().map(|(kind, group)| {
            Box::pin(self.leave_group(Write { tenant, kind, policy: &policy, now, trail }, group, id))
        });
        let left: Vec<Result<(), Error>> =
            stream::iter(leaving.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        left.into_iter().collect::<Result<(), Error>>()?;
        Ok(none)
    }

    async fn leave_group(&self, write: Write<'_>, group: &str, member: &str) -> Result<(), Error> {
        let mut gone = MemberChanges::default();
        gone.remove(member);
        let change = MemberChange { apply: None, touched: &Touched::Named(gone) };
        match self.change_members(write, group, &Precondition::Exists, change).await {
            Ok(_) => Ok(()),
            // The group is gone, too, so that nobody counts its members.
            Err(Error::NotFound) => {
                let key = Key::member(write.tenant, write.kind, group, member);
                self.execute(vec![self.delete_statement(key, None)]).await.map(|_| ())
            }
            Err(error) => Err(error),
        }
    }

    /// How many jobs of a tenant there are, and when the oldest was, or will be, due.
    pub async fn jobs(&self, tenant: &TenantName) -> Result<(usize, Option<Timestamp>), Error> {
        let query = self.rows(keys::jobs(tenant)).consistent_read(true).key_condition_expression("pk = :pk");
        let due = self.first_texts(query, "due", usize::MAX).await?;
        Ok((due.len(), due.iter().filter_map(|due| due.parse().ok()).min()))
    }

    /// Does the jobs of a tenant that are due.
    pub async fn sweep_tenant(
        &self,
        tenant: &TenantName,
        kinds: &[Arc<ResourceType>],
        now: Timestamp,
        trail: &AuditTrail,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        const OPERATION: &str = "Query";
        swept.tenants += 1;
        let kinds: Vec<&ResourceType> = kinds.iter().map(AsRef::as_ref).collect();
        let kinds = kinds.as_slice();
        let query = self.rows(keys::jobs(tenant)).consistent_read(true).key_condition_expression("pk = :pk");
        let mut start = None;
        loop {
            let query = query.clone().set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| Error::sdk(OPERATION, &error))?;
            for item in answer.items.unwrap_or_default() {
                let job: Job =
                    serde_dynamo::from_item(item).map_err(|error| Error::fault(OPERATION, error))?;
                // The others do not wait for one that fails.
                let done = self.work_if_due(tenant, kinds, &job, now, trail).await;
                let done = done.unwrap_or_else(|error| {
                    tracing::warn!(%error, "a job is left to the next sweep");
                    false
                });
                if done {
                    swept.done += 1;
                } else {
                    swept.left += 1;
                    swept.oldest = swept.oldest.into_iter().chain([job.due]).min();
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    async fn work_if_due(
        &self,
        tenant: &TenantName,
        kinds: &[&ResourceType],
        job: &Job,
        now: Timestamp,
        trail: &AuditTrail,
    ) -> Result<bool, Error> {
        let done = job.due <= now && Box::pin(self.work(tenant, kinds, job, now, trail)).await?;
        if done {
            self.end_job(job).await?;
        }
        Ok(done)
    }

    /// Whether the job is done.
    async fn work(
        &self,
        tenant: &TenantName,
        kinds: &[&ResourceType],
        job: &Job,
        now: Timestamp,
        trail: &AuditTrail,
    ) -> Result<bool, Error> {
        let Some((work, id)) = job.sk.split_once('#') else {
            return Ok(true);
        };
        let kind = kinds.iter().find(|kind| kind.name == job.kind);
        match (work, kind) {
            (DEPARTED, _) => {
                if let Some(kind) = kind {
                    self.delete_members(tenant, kind, id).await?;
                }
                for _ in 0..ROUNDS {
                    if self.leave(tenant, kinds, id, now, trail).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (STAGED, Some(kind)) => {
                self.clean(Write { tenant, kind, policy: &Policy::default(), now, trail }, id, job).await
            }
            _ => Ok(true),
        }
    }

    /// Every membership of a group that is not there.
    async fn delete_members(&self, tenant: &TenantName, kind: &ResourceType, id: &str) -> Result<(), Error> {
        loop {
            let query = self
                .rows(keys::members(tenant, kind, id))
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .limit(ROUND);
            let found = self.first_texts(query, "sk", usize::try_from(ROUND).unwrap_or(usize::MAX)).await?;
            if found.is_empty() {
                return Ok(());
            }
            let statements = found
                .iter()
                .map(|member| self.delete_statement(Key::member(tenant, kind, id, member), None))
                .collect();
            self.execute(statements).await?;
        }
    }

    /// Takes away what staged changes have left behind: what they removed, and, of
    /// those that never happened, what they added.
    async fn clean(&self, write: Write<'_>, id: &str, job: &Job) -> Result<bool, Error> {
        let key = Key::resource(write.tenant, write.kind, id);
        let Some(group) = self.read(key.clone()).await? else {
            // A creation that is still under way finds its job claimed.
            self.claim(job).await?;
            self.delete_members(write.tenant, write.kind, id).await?;
            return Ok(true);
        };
        let mut visibility = group.visibility.unwrap_or_default();
        if let Some(staged) = &visibility.staged {
            if staged.until > write.now || !self.abort(key.clone(), &visibility).await? {
                return Ok(false);
            }
            visibility.aborted.push(visibility.epoch);
            visibility.staged = None;
        }
        let memberships = self.all_memberships(&keys::members(write.tenant, write.kind, id)).await?;
        let statements = memberships.into_iter().filter_map(|membership| {
            let tags = membership.tags();
            let key = Key { pk: membership.pk, sk: membership.sk };
            // What began since the group was read is none of the job's.
            if tags.added_by.max(tags.removed_by) > Some(visibility.epoch) {
                return None;
            }
            match (visibility.shows(tags), tags.removed_by) {
                (false, _) => Some(self.delete_statement(key, Some(tags))),
                (true, Some(_)) => Some(self.untag_statement(key, tags)),
                (true, None) => None,
            }
        });
        self.execute(statements.collect()).await?;
        if !visibility.aborted.is_empty() {
            self.forget_aborted(key, &visibility).await?;
        }
        Ok(true)
    }
    /// From here on a creation that has put the job can no longer complete.
    async fn claim(&self, job: &Job) -> Result<(), Error> {
        const OPERATION: &str = "UpdateItem";
        let key = Key { pk: job.pk.clone(), sk: job.sk.clone() };
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .update_expression("SET claimed = :true")
            .condition_expression("due = :due")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":due", attribute_value(OPERATION, &job.due)?)
            .send()
            .await
            .map_err(|error| Error::sdk(OPERATION, &error))?;
        Ok(())
    }

    /// After everything that the aborted changes have left is gone, and nobody who
    /// worked for them can still be alive.
    async fn forget_aborted(&self, key: Key, visibility: &Visibility) -> Result<(), Error> {
        const OPERATION: &str = "UpdateItem";
        let forgotten = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .update_expression("REMOVE roster.aborted")
            .condition_expression(format!("roster.aborted = :aborted AND {UNMARKED}"))
            .expression_attribute_values(":aborted", attribute_value(OPERATION, &visibility.aborted)?)
            .send()
            .await;
        held(OPERATION, forgotten).map(|_| ())
    }
}
