//! The groups that a resource is a member of, from the index `members`.

use serde_json::{Map, Value};

use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::resource::is_id;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::membership::{Membership, is_member_id};
use crate::store::table::resource_item::ResourceItem;

/// Groups of one user that are read.
const MAX_GROUPS: usize = 1_000;

/// A group that a resource is a member of.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectGroup {
    /// Resource type of the group.
    pub kind: String,
    pub group: String,
    /// As an element of `groups` (RFC 7643 s4.1.2), without `$ref`. Whoever is in a
    /// group that is in another is a member of the first alone: all are direct.
    pub element: Map<String, Value>,
}

impl DirectGroup {
    fn of(kind: &ResourceType, group: ResourceItem) -> Self {
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
    ) -> Result<Vec<DirectGroup>, Error> {
        if !is_id(member) {
            return Ok(Vec::new());
        }
        let found = self.partitions_of(tenant, member, MAX_GROUPS).await?;
        let found: Vec<(&ResourceType, &str)> =
            found.iter().filter_map(|partition| group_at(tenant, kinds, partition)).collect();
        let wanted = found.iter().map(|(kind, id)| Key::resource(tenant, kind, id)).collect();
        let mut groups = self.items(wanted).await?;
        let mut direct_groups = Vec::new();
        let mut doubtful = Vec::new();
        for (kind, id) in found {
            let Some(group) = groups.remove(&Key::resource(tenant, kind, id)) else {
                continue;
            };
            let group = ResourceItem::read("BatchGetItem", group)?;
            // The index does not have the tags of a staged change.
            if group.visibility.as_ref().is_some_and(|visibility| visibility.epoch > 0) {
                doubtful.push(Key::member(tenant, kind, id, member));
            }
            direct_groups.push((kind, group));
        }
        if !doubtful.is_empty() {
            let memberships = self.items(doubtful.clone()).await?;
            let mut kept = Vec::new();
            for (kind, group) in direct_groups {
                let key = Key::member(tenant, kind, &group.sk, member);
                let visibility = group.visibility.clone().unwrap_or_default();
                let shown = match memberships.get(&key) {
                    Some(item) => visibility.shows(Membership::read(item.clone())?.tags()),
                    None => !doubtful.contains(&key),
                };
                if shown {
                    kept.push((kind, group));
                }
            }
            direct_groups = kept;
        }
        Ok(direct_groups.into_iter().map(|(kind, group)| DirectGroup::of(kind, group)).collect())
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
    pub(crate) async fn partitions_of(
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
pub(crate) fn group_at<'k, 'p>(
    tenant: &TenantName,
    kinds: &[&'k ResourceType],
    partition: &'p str,
) -> Option<(&'k ResourceType, &'p str)> {
    let (name, id) = partition.strip_prefix(tenant.as_str())?.strip_prefix('#')?.split_once('#')?;
    Some((kinds.iter().find(|kind| kind.name == name)?, id))
}
