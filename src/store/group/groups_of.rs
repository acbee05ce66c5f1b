//! The groups of a member, from the index `members`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};

use crate::scim::schema::ResourceType;
use crate::store::dynamo::item::{Key, read};
use crate::store::error::Error;
use crate::store::limits::{COMPLETED_AT_ONCE, MAX_GROUPS_OF_A_PAGE};
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::membership::{Membership, is_member_id};
use crate::store::table::resource_item::{ResourceItem, is_id};

/// A group that a resource is a direct member of. A member of a group that is in another
/// group is a member of the first alone, so that all are direct.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectGroup {
    /// The resource type of the group.
    pub kind: String,
    pub id: String,
    pub display: Option<String>,
}

/// The groups of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectGroups {
    /// Shared by the members of a group.
    pub groups: Vec<Arc<DirectGroup>>,
    /// True if the resource has more groups than are read of one.
    pub has_more: bool,
}

impl DirectGroup {
    /// Returns the element of `groups` (RFC 7643 s4.1.2), without `$ref`.
    pub fn to_element(&self) -> Map<String, Value> {
        let texts = [("value", Some(self.id.as_str())), ("display", self.display.as_deref())];
        let texts = texts.into_iter().chain([("type", Some("direct"))]);
        texts.filter_map(|(name, text)| Some((name.to_owned(), json!(text?)))).collect()
    }
}

/// The partitions of one member's groups, by their place among those of all.
struct Found {
    partitions: Vec<usize>,
    has_more: bool,
}

impl Directory<'_> {
    /// Reads the groups of resources in their order, where `kinds` are the types that have
    /// members. Each group is read once. The index is eventually consistent, so its entries are
    /// checked against the groups. Of one resource, no more than `most` are read. The answer ends
    /// early where it would hold too many groups for a page; the groups of the first resource
    /// always fit.
    pub async fn groups_of(
        self,
        kinds: &[&ResourceType],
        members: &[&str],
        most: usize,
    ) -> Result<Vec<DirectGroups>, Error> {
        let queries = members.iter().map(|member| Box::pin(self.partitions_of(member, most)));
        let mut queries = stream::iter(queries.collect::<Vec<_>>()).buffered(COMPLETED_AT_ONCE);
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut found: Vec<Found> = Vec::new();
        let mut total = 0;
        while let Some((partitions, has_more)) = queries.try_next().await? {
            total += partitions.len();
            if total > MAX_GROUPS_OF_A_PAGE && !found.is_empty() {
                break;
            }
            let mut place = |partition| {
                let next = places.len();
                *places.entry(partition).or_insert(next)
            };
            found.push(Found { partitions: partitions.into_iter().map(&mut place).collect(), has_more });
        }
        drop(queries);
        let groups = self.groups_at(kinds, &places).await?;
        let hidden = self.hidden(&groups, members, &found).await?;
        let shown = |(Found { partitions, has_more }, member): (Found, &&str)| {
            let visible = partitions.iter().filter_map(|place| {
                let (group, _) = groups.get(place)?;
                (!hidden.contains(&(*place, *member))).then(|| Arc::clone(group))
            });
            DirectGroups { groups: visible.collect(), has_more }
        };
        Ok(found.into_iter().zip(members).map(shown).collect())
    }

    /// Reads the first partitions that hold a membership of this resource, and whether there
    /// are more.
    async fn partitions_of(self, member: &str, most: usize) -> Result<(Vec<String>, bool), Error> {
        if !is_id(member) {
            return Ok((Vec::new(), false));
        }
        let query = self.table.query_index("members", "member_pk", self.member_partition(member));
        let mut partitions = query.first_texts("pk", most + 1).await?;
        let has_more = partitions.len() > most;
        partitions.truncate(most);
        Ok((partitions, has_more))
    }

    /// Reads the groups that these partitions belong to, each with the item that says which of
    /// its memberships count.
    async fn groups_at(
        self,
        kinds: &[&ResourceType],
        places: &HashMap<String, usize>,
    ) -> Result<HashMap<usize, (Arc<DirectGroup>, ResourceItem)>, Error> {
        let known: HashMap<Key, (usize, &ResourceType)> = places
            .iter()
            .filter_map(|(partition, place)| {
                let (kind, id) = self.group_at(kinds, partition)?;
                Some((self.collection(kind).key(id), (*place, kind)))
            })
            .collect();
        let mut groups = HashMap::new();
        for (key, item) in self.table.get_all(known.keys().cloned().collect()).await? {
            let (Some((place, kind)), item) = (known.get(&key), read::<ResourceItem>(item)?) else {
                continue;
            };
            let display = item.resource.get("displayName").and_then(Value::as_str).map(str::to_owned);
            let group = DirectGroup { kind: kind.name.clone(), id: key.sk, display };
            groups.insert(*place, (Arc::new(group), item));
        }
        Ok(groups)
    }

    /// Returns the memberships that do not count. The index does not hold the tags of a staged
    /// change, so the memberships of groups that ever had one are read.
    async fn hidden<'m>(
        self,
        groups: &HashMap<usize, (Arc<DirectGroup>, ResourceItem)>,
        members: &[&'m str],
        found: &[Found],
    ) -> Result<HashSet<(usize, &'m str)>, Error> {
        let mut doubtful = HashMap::new();
        for (Found { partitions, .. }, member) in found.iter().zip(members) {
            for place in partitions {
                if let Some((group, item)) = groups.get(place)
                    && item.visibility().has_void()
                {
                    let pk = self.memberships_partition(&group.kind, &group.id);
                    doubtful.insert(Key { pk, sk: (*member).to_owned() }, (*place, *member));
                }
            }
        }
        if doubtful.is_empty() {
            return Ok(HashSet::new());
        }
        let memberships = self.table.get_all(doubtful.keys().cloned().collect()).await?;
        for (key, item) in memberships {
            let shows = match doubtful.get(&key).and_then(|(place, _)| groups.get(place)) {
                Some((_, group)) => group.visibility().shows(read::<Membership>(item)?.tags()),
                None => false,
            };
            if shows {
                doubtful.remove(&key);
            }
        }
        Ok(doubtful.into_values().collect())
    }
}

impl Collection<'_> {
    /// Reads the ids of the groups of this type that a resource is a member of, or was a
    /// moment ago.
    pub(crate) async fn group_ids_of(self, member: &str) -> Result<Vec<String>, Error> {
        if !is_member_id(member) {
            return Ok(Vec::new());
        }
        let directory = self.directory;
        let query = self.table().query_index("members", "member_pk", directory.member_partition(member));
        let partitions = query.texts("pk", MAX_GROUPS_OF_A_PAGE).await?;
        let groups = partitions.iter().filter_map(|partition| directory.group_at(&[self.kind], partition));
        Ok(groups.map(|(_, id)| id.to_owned()).collect())
    }
}
