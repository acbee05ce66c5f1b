//! The groups of a member, from the index `members`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::scim::schema::ResourceType;
use crate::store::dynamo::item::{Key, read};
use crate::store::error::Error;
use crate::store::limits::MAX_GROUPS_OF_A_MEMBER;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::membership::{Membership, is_member_id};
use crate::store::table::resource_item::{ResourceItem, is_id};

/// A group that a resource is a direct member of.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectGroup {
    /// The resource type of the group.
    pub kind: String,
    pub group: String,
    /// The element of `groups` (RFC 7643 s4.1.2), without `$ref`. A member of a group that
    /// is in another group is a member of the first alone, so that all are direct.
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

impl Directory<'_> {
    /// Reads the groups of a resource, where `kinds` are the types that have members. The
    /// index is eventually consistent, so its entries are checked against the groups.
    pub async fn groups_of(self, kinds: &[&ResourceType], member: &str) -> Result<Vec<DirectGroup>, Error> {
        if !is_id(member) {
            return Ok(Vec::new());
        }
        let partitions = self.membership_partitions(member, MAX_GROUPS_OF_A_MEMBER).await?;
        let found: Vec<(Collection<'_>, &str)> = partitions
            .iter()
            .filter_map(|partition| self.group_at(kinds, partition))
            .map(|(kind, id)| (self.collection(kind), id))
            .collect();
        let mut items = self.table.get_all(found.iter().map(|(groups, id)| groups.key(id)).collect()).await?;
        let mut groups: Vec<(&ResourceType, ResourceItem)> = Vec::new();
        for (collection, id) in found {
            if let Some(group) = items.remove(&collection.key(id)) {
                groups.push((collection.kind, read(group)?));
            }
        }
        self.retain_visible(&mut groups, member).await?;
        Ok(groups.into_iter().map(|(kind, group)| DirectGroup::of(kind, group)).collect())
    }

    /// Removes groups whose membership does not count. The index does not hold the tags of
    /// a staged change, so the memberships of groups that ever had one are read.
    async fn retain_visible(
        self,
        groups: &mut Vec<(&ResourceType, ResourceItem)>,
        member: &str,
    ) -> Result<(), Error> {
        let key = |kind: &ResourceType, group: &ResourceItem| {
            self.collection(kind).membership_key(&group.sk, member)
        };
        let was_staged = |group: &ResourceItem| group.visibility.as_ref().is_some_and(|one| one.epoch > 0);
        let doubtful: Vec<Key> = groups
            .iter()
            .filter(|(_, group)| was_staged(group))
            .map(|(kind, group)| key(kind, group))
            .collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let mut hidden: HashSet<Key> = doubtful.iter().cloned().collect();
        let mut memberships = self.table.get_all(doubtful).await?;
        for (kind, group) in groups.iter() {
            let key = key(kind, group);
            if let (Some(item), Some(visibility)) = (memberships.remove(&key), &group.visibility)
                && visibility.shows(read::<Membership>(item)?.tags())
            {
                hidden.remove(&key);
            }
        }
        groups.retain(|(kind, group)| !hidden.contains(&key(kind, group)));
        Ok(())
    }

    /// Reads the partitions that hold a membership of this resource.
    pub(crate) async fn membership_partitions(self, member: &str, most: usize) -> Result<Vec<String>, Error> {
        if !is_member_id(member) {
            return Ok(Vec::new());
        }
        let query = self.table.query_index("members", "member_pk", self.member_partition(member));
        query.texts("pk", most).await
    }
}

impl Collection<'_> {
    /// Reads the ids of the groups of this type that a resource is a member of, or was a
    /// moment ago.
    pub(crate) async fn group_ids_of(self, member: &str) -> Result<Vec<String>, Error> {
        let partitions = self.directory.membership_partitions(member, MAX_GROUPS_OF_A_MEMBER).await?;
        let groups =
            partitions.iter().filter_map(|partition| self.directory.group_at(&[self.kind], partition));
        Ok(groups.map(|(_, id)| id.to_owned()).collect())
    }
}
