//! Memberships: one item for each member of a group, in the partition of the
//! group, and in the index `members` under the member. A group of a million
//! members costs what a group of one costs until somebody reads them all.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Store;
use super::error::Error;
use super::item::{Item, Stored};
use super::jobs::LEFT;
use super::keys::{self, Key, TenantName};
use super::resources::is_id;
use super::retry::Retry;
use super::roster::{Roster, Tags};
use crate::scim::members::Member;
use crate::scim::needs::Needs;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;

const OPERATION: &str = "Query";

/// Members of one group that are read at once: some 15 MB of items.
pub(super) const MAX_MEMBERS_READ: u64 = 100_000;

/// Ranges of member ids that are read at the same time where it is worth it.
const RANGES: [(&str, &str); 8] =
    [("!", "2"), ("2", "4"), ("4", "6"), ("6", "8"), ("8", "a"), ("a", "c"), ("c", "e"), ("e", "\u{10ffff}")];

/// Members that come in one page of 1 MB.
const ONE_PAGE: u64 = 4_000;

/// Groups of one user that are read.
const MAX_GROUPS: usize = 1_000;

/// Resources of which more than their own item is read for a filter.
const MAX_COMPLETED: usize = 1_000;

/// Of them, at the same time.
const COMPLETED_AT_ONCE: usize = 16;

/// How often a group is read again that changes while its members are read.
const MAX_READS: usize = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) pk: String,
    /// Id of the member.
    pub(super) sk: String,
    pub(super) member_pk: String,
    /// Resource type of the member.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_by: Option<u64>,
}

/// A member that was found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) display: Option<String>,
}

/// A group that a resource is a member of.
#[derive(Clone, Debug, PartialEq)]
pub struct Belonging {
    /// Resource type of the group.
    pub kind: String,
    pub group: String,
    /// As an element of `groups` (RFC 7643 s4.1.2), without `$ref`. Whoever is in a
    /// group that is in another is a member of the first alone: all are direct.
    pub element: Map<String, Value>,
}

impl Belonging {
    fn of(kind: &ResourceType, group: Stored) -> Self {
        let mut element = Map::new();
        element.insert("value".to_owned(), group.sk.as_str().into());
        if let Some(name) = group.resource.get("displayName") {
            element.insert("display".to_owned(), name.clone());
        }
        element.insert("type".to_owned(), "direct".into());
        Self { kind: kind.name.clone(), group: group.sk, element }
    }
}

impl Membership {
    pub(super) fn new(tenant: &TenantName, group: &Key, member: Known) -> Self {
        Self {
            pk: format!("{}#{}", group.pk, group.sk),
            member_pk: keys::member_of(tenant, &member.id),
            sk: member.id,
            kind: member.kind,
            display: member.display,
            added_by: None,
            removed_by: None,
        }
    }

    pub(super) fn read(item: Item) -> Result<Self, Error> {
        serde_dynamo::from_item(item).map_err(|error| Error::fault(OPERATION, error))
    }

    pub(super) fn into_item(self) -> Result<Item, Error> {
        serde_dynamo::to_item(self).map_err(|error| Error::fault(OPERATION, error))
    }

    pub(super) fn tags(&self) -> Tags {
        Tags { added_by: self.added_by, removed_by: self.removed_by }
    }

    pub(super) fn into_element(self) -> Value {
        Member { id: self.sk, kind: Some(self.kind), display: self.display }.into_element()
    }
}

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
        let mut retry = Retry::new(&*self.dice);
        let mut reads = 0;
        while let Some(seen) = group {
            let roster = seen.roster.clone().unwrap_or_default();
            let members = self.memberships(tenant, kind, id, &roster).await?;
            if roster.members == 0 {
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

    /// Those that count under this roster, in the order of their ids.
    pub(super) async fn memberships(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
        roster: &Roster,
    ) -> Result<Vec<Membership>, Error> {
        match roster.members {
            0 => return Ok(Vec::new()),
            members if members > MAX_MEMBERS_READ => return Err(Error::TooManyMembers { members }),
            _ => {}
        }
        let partition = keys::members(tenant, kind, id);
        let mut found = if roster.members <= ONE_PAGE {
            self.memberships_between(&partition, ("!", "\u{10ffff}")).await?
        } else {
            self.all_memberships(&partition).await?
        };
        found.retain(|membership| roster.shows(membership.tags()));
        Ok(found)
    }

    pub(super) async fn all_memberships(&self, partition: &str) -> Result<Vec<Membership>, Error> {
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

    /// Groups with as much of their members as these ids tell: for a filter that
    /// looks at no others. One trip for up to some 30 of them.
    pub async fn with_these_members(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        ids: &[String],
        members: &[String],
    ) -> Result<Vec<Resource>, Error> {
        let members: HashSet<&String> = members.iter().filter(|member| is_member_id(member)).collect();
        let ids: Vec<&String> = ids.iter().filter(|id| is_id(id)).collect();
        let mut wanted: Vec<Key> = Vec::new();
        for id in &ids {
            wanted.push(Key::resource(tenant, kind, id));
            wanted.extend(members.iter().map(|member| Key::member(tenant, kind, id, member)));
        }
        wanted.extend(members.iter().map(|member| Key::job(tenant, LEFT, member)));
        let mut found: HashMap<Key, Item> = self.items(wanted).await?;
        let mut groups = Vec::new();
        for id in ids {
            let Some(group) = found.remove(&Key::resource(tenant, kind, id)) else {
                continue;
            };
            let group = Stored::read("BatchGetItem", group)?;
            let roster = group.roster.clone().unwrap_or_default();
            let mut these = Vec::new();
            for member in &members {
                if found.contains_key(&Key::job(tenant, LEFT, member)) {
                    continue;
                }
                if let Some(item) = found.remove(&Key::member(tenant, kind, id, member)) {
                    these.push(Membership::read(item)?);
                }
            }
            these.retain(|membership| roster.shows(membership.tags()));
            these.sort_unstable_by(|a, b| a.sk.cmp(&b.sk));
            groups.push(with_members(kind, group, these, &HashSet::new()));
        }
        groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// The groups of a resource. The index is eventually consistent; what it says
    /// is checked against the groups.
    pub async fn groups_of(
        &self,
        tenant: &TenantName,
        kinds: &[&ResourceType],
        member: &str,
    ) -> Result<Vec<Belonging>, Error> {
        if !is_id(member) {
            return Ok(Vec::new());
        }
        let found = self.partitions_of(tenant, member, MAX_GROUPS).await?;
        let found: Vec<(&ResourceType, &str)> =
            found.iter().filter_map(|partition| group_at(tenant, kinds, partition)).collect();
        let wanted = found.iter().map(|(kind, id)| Key::resource(tenant, kind, id)).collect();
        let mut groups = self.items(wanted).await?;
        let mut belongings = Vec::new();
        let mut doubtful = Vec::new();
        for (kind, id) in found {
            let Some(group) = groups.remove(&Key::resource(tenant, kind, id)) else {
                continue;
            };
            let group = Stored::read("BatchGetItem", group)?;
            // The index does not have the tags of a staged change.
            if group.roster.as_ref().is_some_and(|roster| roster.epoch > 0) {
                doubtful.push(Key::member(tenant, kind, id, member));
            }
            belongings.push((kind, group));
        }
        if !doubtful.is_empty() {
            let memberships = self.items(doubtful.clone()).await?;
            let mut kept = Vec::new();
            for (kind, group) in belongings {
                let key = Key::member(tenant, kind, &group.sk, member);
                let roster = group.roster.clone().unwrap_or_default();
                let shown = match memberships.get(&key) {
                    Some(item) => roster.shows(Membership::read(item.clone())?.tags()),
                    None => !doubtful.contains(&key),
                };
                if shown {
                    kept.push((kind, group));
                }
            }
            belongings = kept;
        }
        Ok(belongings.into_iter().map(|(kind, group)| Belonging::of(kind, group)).collect())
    }

    /// The ids of the groups of one type that a resource is a member of, or was a
    /// moment ago.
    pub async fn group_ids_of(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        member: &str,
    ) -> Result<Vec<String>, Error> {
        let found = self.partitions_of(tenant, member, MAX_GROUPS).await?;
        let groups = found.iter().filter_map(|partition| group_at(tenant, &[kind], partition));
        Ok(groups.map(|(_, id)| id.to_owned()).collect())
    }

    /// Adds to resources what a filter looks at of their members, or of the groups
    /// that they are in. Those that are gone are left out.
    pub async fn complete(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        groups: &[&ResourceType],
        resources: Vec<Resource>,
        needs: &Needs,
    ) -> Result<Vec<Resource>, Error> {
        if *needs == Needs::Nothing {
            return Ok(resources);
        }
        if resources.len() > MAX_COMPLETED {
            return Err(Error::TooMuchToRead);
        }
        if let (Needs::These(members), Some(_)) = (needs, &kind.members) {
            let ids: Vec<String> = resources.into_iter().map(|resource| resource.id).collect();
            return self.with_these_members(tenant, kind, &ids, members).await;
        }
        let completed = resources.into_iter().map(|mut resource| {
            Box::pin(async move {
                if kind.members.is_some() {
                    return Box::pin(self.get_with_members(tenant, kind, &resource.id)).await;
                }
                let belongings = self.groups_of(tenant, groups, &resource.id).await?;
                let elements: Vec<Value> =
                    belongings.into_iter().map(|belonging| belonging.element.into()).collect();
                if let Some(name) = kind.member_of.as_ref().filter(|_| !elements.is_empty()) {
                    resource.attributes.insert(name.clone(), elements.into());
                }
                Ok(Some(resource))
            })
        });
        let completed = stream::iter(completed.collect::<Vec<_>>()).buffered(COMPLETED_AT_ONCE);
        completed.try_filter_map(async |resource| Ok(resource)).try_collect().await
    }

    /// The partitions with a membership of this resource, of at most `most`.
    pub(super) async fn partitions_of(
        &self,
        tenant: &TenantName,
        member: &str,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        if !is_member_id(member) {
            return Ok(Vec::new());
        }
        let query = self
            .rows(keys::member_of(tenant, member))
            .index_name("members")
            .key_condition_expression("member_pk = :pk");
        self.texts(query, "pk", most).await
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
            let roster = group.and_then(|group| group.roster).unwrap_or_default();
            if roster.members > MAX_COMPLETED as u64 {
                return Err(Error::TooMuchToRead);
            }
            let members = self.memberships(tenant, kind, id, &roster).await?;
            ids.extend(members.into_iter().map(|membership| membership.sk));
        }
        Ok(ids)
    }

    /// Which of these members there are, and of which type: under the one that the
    /// client names, or else under each that a member may have. With those that
    /// there are not.
    pub(super) async fn find_members(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        members: Vec<Member>,
    ) -> Result<(Vec<Known>, Vec<Member>), Error> {
        let mut known = Vec::with_capacity(members.len());
        let (mut rest, mut missing): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| is_id(&member.id));
        for name in member_types(kind) {
            let wanted: Vec<Key> = rest.iter().map(|member| Key::of_type(tenant, name, &member.id)).collect();
            let there = self.existing(wanted).await?;
            rest.retain(|member| {
                let found = there.contains(&Key::of_type(tenant, name, &member.id));
                if found {
                    known.push(Known {
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
    async fn left(&self, tenant: &TenantName) -> Result<HashSet<String>, Error> {
        let query = self
            .rows(keys::jobs(tenant))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :work)")
            .expression_attribute_values(":work", AttributeValue::S(format!("{LEFT}#")));
        let names = self.texts(query, "sk", usize::MAX - 1).await?;
        let id = |name: &String| name.split_once('#').map(|(_, id)| id.to_owned());
        Ok(names.iter().filter_map(id).collect())
    }
}

/// Whether what was read between these two states belongs together. A group in
/// which single members come and go all the time is shown as it is.
fn is_same(before: &Stored, after: &Stored, reads: usize) -> bool {
    let stage = |group: &Stored| group.roster.as_ref().map(|roster| (roster.epoch, roster.staged.clone()));
    before.version == after.version || (reads >= MAX_READS && stage(before) == stage(after))
}

fn with_members(
    kind: &ResourceType,
    group: Stored,
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

/// The types that a member may have: those that its `$ref` may lead to.
pub(super) fn member_types(kind: &ResourceType) -> impl Iterator<Item = &str> {
    let reference = kind
        .members
        .as_ref()
        .and_then(|name| kind.schema.attribute(name))
        .and_then(|attribute| attribute.sub_attribute("$ref"));
    reference.into_iter().flat_map(|reference| reference.reference_types.iter().map(String::as_str))
}

/// The group whose members a partition holds.
pub(super) fn group_at<'k, 'p>(
    tenant: &TenantName,
    kinds: &[&'k ResourceType],
    partition: &'p str,
) -> Option<(&'k ResourceType, &'p str)> {
    let (name, id) = partition.strip_prefix(tenant.as_str())?.strip_prefix('#')?.split_once('#')?;
    Some((kinds.iter().find(|kind| kind.name == name)?, id))
}

/// DynamoDB takes no key that is empty or over 1,024 bytes, and what is longer
/// than this is nobody's id.
fn is_member_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
}
