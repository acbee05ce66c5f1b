//! The groups that a resource is a member of, from the index `members`.

use serde_json::{Map, Value};

use super::Store;
use super::error::Error;
use super::item::Stored;
use super::keys::{self, Key, TenantName};
use super::membership::{Membership, is_member_id};
use super::resources::is_id;
use crate::scim::schema::ResourceType;

/// Groups of one user that are read.
const MAX_GROUPS: usize = 1_000;

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

impl Store {
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
