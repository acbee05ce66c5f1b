//! All items of a tenant, sorted by their partitions, with as much of each as a check
//! needs: about 300 bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::scim::schema::ResourceType;
use crate::store::dynamo::item::{Item, Key, read};
use crate::store::table::directory::Directory;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::job::Job;
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Visibility;

/// The partitions of a tenant.
pub(crate) struct Partitions<'a> {
    directory: Directory<'a>,
    resources: HashMap<String, &'a Arc<ResourceType>>,
    census: HashSet<String>,
    /// The types that have members.
    groups: Vec<&'a ResourceType>,
    /// The partitions of index rows.
    values: HashSet<String>,
}

impl<'a> Partitions<'a> {
    pub(crate) fn of(directory: Directory<'a>, kinds: &'a [Arc<ResourceType>]) -> Self {
        let values = kinds.iter().flat_map(|kind| directory.collection(kind).row_partitions());
        let groups = kinds.iter().map(AsRef::as_ref).filter(|kind: &&ResourceType| kind.members.is_some());
        Self {
            directory,
            resources: kinds.iter().map(|kind| (directory.collection(kind).partition(), kind)).collect(),
            census: kinds.iter().map(|kind| directory.collection(kind).census_partition()).collect(),
            groups: groups.collect(),
            values: values.collect(),
        }
    }
}

/// A resource by the name of its type and its id.
pub(crate) type ResourceName = (String, String);

#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) has_record: bool,
    pub(crate) resources: BTreeMap<ResourceName, CheckedResource>,
    /// Index rows, with the owners of unique ones.
    pub(crate) rows: BTreeMap<Key, Option<String>>,
    pub(crate) census: BTreeMap<(Key, String), i64>,
    /// The memberships of each group.
    pub(crate) memberships: BTreeMap<ResourceName, Vec<Membership>>,
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Items that do not belong here.
    pub(crate) strange: Vec<(Key, &'static str)>,
}

/// The part of a resource that a check needs.
pub(crate) struct CheckedResource {
    pub(crate) kind: Arc<ResourceType>,
    pub(crate) key: Key,
    pub(crate) version: u64,
    pub(crate) digest: String,
    pub(crate) rows: IndexRows,
    /// The rows that it may have while what is indexed changes.
    pub(crate) possible: Option<IndexRows>,
    pub(crate) visibility: Option<Visibility>,
}

impl Snapshot {
    pub(crate) fn resource(&self, kind: &str, id: &str) -> Option<&CheckedResource> {
        self.resources.get(&(kind.to_owned(), id.to_owned()))
    }

    pub(crate) fn memberships(&self, kind: &str, group: &str) -> &[Membership] {
        self.memberships.get(&(kind.to_owned(), group.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn take(&mut self, partitions: &Partitions<'_>, item: Item) {
        let Some(key) = Key::of(&item) else {
            return;
        };
        if let Some(kind) = partitions.resources.get(&key.pk) {
            self.take_resource(partitions, kind, (key, item));
        } else if partitions.values.contains(&key.pk) {
            let owner = item.get("owner").and_then(|owner| owner.as_s().ok()).cloned();
            self.rows.insert(key, owner);
        } else if partitions.census.contains(&key.pk) {
            self.take_census(&key, &item);
        } else if let Some((kind, group)) = partitions.directory.group_at(&partitions.groups, &key.pk) {
            match read(item) {
                Ok(membership) => {
                    let group = (kind.name.clone(), group.to_owned());
                    self.memberships.entry(group).or_default().push(membership);
                }
                Err(_) => self.strange.push((key, "is a membership that cannot be read")),
            }
        } else {
            self.take_other(partitions, key, item);
        }
    }

    fn take_resource(
        &mut self,
        partitions: &Partitions<'_>,
        kind: &Arc<ResourceType>,
        (key, item): (Key, Item),
    ) {
        let Ok(resource) = read::<ResourceItem>(item) else {
            self.strange.push((key, "is a resource that cannot be read"));
            return;
        };
        let collection = partitions.directory.collection(kind);
        let rows = IndexRows::of(collection, &resource.sk, &resource.resource);
        let possible =
            kind.other.is_some().then(|| IndexRows::possible(collection, &resource.sk, &resource.resource));
        let ResourceItem { version, index_digest: digest, visibility, .. } = resource;
        let name = (kind.name.clone(), key.sk.clone());
        let kind = Arc::clone(kind);
        self.resources
            .insert(name, CheckedResource { kind, key, version, digest, rows, possible, visibility });
    }

    fn take_census(&mut self, key: &Key, item: &Item) {
        for (name, value) in item.iter().filter(|(name, _)| *name != "pk" && *name != "sk") {
            match value.as_n().ok().and_then(|count| count.parse().ok()) {
                Some(count) => {
                    self.census.insert((key.clone(), name.clone()), count);
                }
                None => self.strange.push((key.clone(), "has a counter that is not a number")),
            }
        }
    }

    fn take_other(&mut self, partitions: &Partitions<'_>, key: Key, item: Item) {
        let name = key.pk.strip_prefix(&partitions.directory.partitions()).unwrap_or_default();
        match name {
            "tenant" => self.has_record |= key.sk == "!",
            "nesting" => {}
            "job" => match read(item) {
                Ok(job) => {
                    self.jobs.insert(key.sk, job);
                }
                Err(_) => self.strange.push((key, "is a job that cannot be read")),
            },
            _ if name.starts_with("audit#") => {}
            _ => self.strange.push((key, "belongs to no resource type")),
        }
    }
}
