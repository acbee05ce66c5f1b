//! The members of a group. A group of a million costs what a group of one costs until
//! somebody reads them all.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::scim::member::Member;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::cleanup::DEPARTED;
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;
use crate::store::query::members_of::MAX_COMPLETED;
use crate::store::resource::is_id;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::membership::{Membership, ResolvedMember, member_types};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Visibility;

const OPERATION: &str = "Query";

/// Members of one group that are read at once: some 15 MB of items.
pub(crate) const MAX_MEMBERS_READ: u64 = 100_000;

/// Ranges of member ids that are read at the same time where it is worth it.
const RANGES: [(&str, &str); 8] =
    [("!", "2"), ("2", "4"), ("4", "6"), ("6", "8"), ("8", "a"), ("a", "c"), ("c", "e"), ("e", "\u{10ffff}")];

/// Members that come in one page of 1 MB.
const ONE_PAGE: u64 = 4_000;

/// How often a group is read again that changes while its members are read.
const MAX_READS: usize = 3;

impl Store {
    /// A group with its members, as they were together at one time. Its version
    /// is never newer than the members.
    pub async fn get_with_members(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Option<Resource>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        let key = Key::resource(tenant, kind, id);
        // Who has left is asked first: a job ends after the last membership has.
        let (mut group, left) = tokio::try_join!(self.read(key.clone()), self.left(tenant))?;
        let mut retry = Retry::new(&*self.jitter);
        let mut reads = 0;
        while let Some(seen) = group {
            let visibility = seen.visibility.clone().unwrap_or_default();
            let members = self.memberships(tenant, kind, id, &visibility).await?;
            if visibility.members == 0 {
                return Ok(Some(with_members(kind, seen, members, &left)));
            }
            reads += 1;
            let after = self.read(key.clone()).await?;
            if after.as_ref().is_some_and(|after| is_same(&seen, after, reads)) {
                return Ok(Some(with_members(kind, seen, members, &left)));
            }
            if !retry.pause().await {
                return Err(Error::Busy { operation: OPERATION });
            }
            group = after;
        }
        Ok(None)
    }

    /// Those that count under this visibility, in the order of their ids.
    pub(crate) async fn memberships(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
        visibility: &Visibility,
    ) -> Result<Vec<Membership>, Error> {
        match visibility.members {
            0 => return Ok(Vec::new()),
            members if members > MAX_MEMBERS_READ => return Err(Error::TooManyMembers { members }),
            _ => {}
        }
        let partition = keys::members(tenant, kind, id);
        let mut found = if visibility.members <= ONE_PAGE {
            self.memberships_between(&partition, ("!", "\u{10ffff}")).await?
        } else {
            self.all_memberships(&partition).await?
        };
        found.retain(|membership| visibility.shows(membership.tags()));
        Ok(found)
    }

    pub(crate) async fn all_memberships(&self, partition: &str) -> Result<Vec<Membership>, Error> {
        let ranges = RANGES.map(|range| Box::pin(self.memberships_between(partition, range)));
        let found: Vec<Vec<Membership>> = stream::iter(ranges).buffered(RANGES.len()).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// `to` is not in the range.
    async fn memberships_between(
        &self,
        partition: &str,
        (from, to): (&str, &str),
    ) -> Result<Vec<Membership>, Error> {
        let query = self
            .rows(partition.to_owned())
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_owned()));
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let query = query.clone().set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| Error::sdk(OPERATION, &error))?;
            for item in answer.items.unwrap_or_default() {
                let membership = Membership::read(item)?;
                if membership.sk != to {
                    found.push(membership);
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// The ids of a group's members.
    pub async fn member_ids(
        &self,
        tenant: &TenantName,
        kinds: &[&ResourceType],
        id: &str,
    ) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for kind in kinds.iter().filter(|_| is_id(id)) {
            let group = self.read(Key::resource(tenant, kind, id)).await?;
            let visibility = group.and_then(|group| group.visibility).unwrap_or_default();
            if visibility.members > MAX_COMPLETED as u64 {
                return Err(Error::TooMuchToRead);
            }
            let members = self.memberships(tenant, kind, id, &visibility).await?;
            ids.extend(members.into_iter().map(|membership| membership.sk));
        }
        Ok(ids)
    }

    /// Which of these members there are, and of which type: under the one that the
    /// client names, or else under each that a member may have. With those that
    /// there are not.
    pub(crate) async fn find_members(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        members: Vec<Member>,
    ) -> Result<(Vec<ResolvedMember>, Vec<Member>), Error> {
        let mut known = Vec::with_capacity(members.len());
        let (mut rest, mut missing): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| is_id(&member.id));
        for name in member_types(kind) {
            let wanted: Vec<Key> = rest.iter().map(|member| Key::of_type(tenant, name, &member.id)).collect();
            let there = self.existing(wanted).await?;
            rest.retain(|member| {
                let found = there.contains(&Key::of_type(tenant, name, &member.id));
                if found {
                    known.push(ResolvedMember {
                        id: member.id.clone(),
                        kind: name.to_owned(),
                        display: member.display.clone(),
                    });
                }
                !found
            });
        }
        missing.extend(rest);
        Ok((known, missing))
    }

    /// Who was deleted and may still have memberships.
    pub(crate) async fn left(&self, tenant: &TenantName) -> Result<HashSet<String>, Error> {
        let query = self
            .rows(keys::jobs(tenant))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :work)")
            .expression_attribute_values(":work", AttributeValue::S(format!("{DEPARTED}#")));
        let names = self.texts(query, "sk", usize::MAX - 1).await?;
        let id = |name: &String| name.split_once('#').map(|(_, id)| id.to_owned());
        Ok(names.iter().filter_map(id).collect())
    }
}

/// Whether what was read between these two states belongs together. A group in
/// which single members come and go all the time is shown as it is.
fn is_same(before: &ResourceItem, after: &ResourceItem, reads: usize) -> bool {
    let stage = |group: &ResourceItem| {
        group.visibility.as_ref().map(|visibility| (visibility.epoch, visibility.staged.clone()))
    };
    before.version == after.version || (reads >= MAX_READS && stage(before) == stage(after))
}

pub(crate) fn with_members(
    kind: &ResourceType,
    group: ResourceItem,
    members: Vec<Membership>,
    left: &HashSet<String>,
) -> Resource {
    let mut resource = group.into_resource();
    let elements: Vec<Value> = members
        .into_iter()
        .filter(|membership| !left.contains(&membership.sk))
        .map(Membership::into_element)
        .collect();
    if let Some(name) = &kind.members
        && !elements.is_empty()
    {
        resource.attributes.insert(name.clone(), Value::Array(elements));
    }
    resource
}
