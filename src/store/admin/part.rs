//! The part that an item plays among the items of its tenant, with as much of it as a check
//! needs.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::scim::schema::ResourceType;
use crate::store::dynamo::item::{Item, Key, read};
use crate::store::table::directory::Directory;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::job::Job;
use crate::store::table::keys::stripe_of;
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Visibility;

/// Stands for an item, or for a relation of items.
pub(crate) fn hash(subject: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    hasher.finish()
}

/// A counter of the census: its row, and its name there.
pub(crate) type Counter = (Key, String);

pub(crate) enum Part {
    /// The record of the tenant.
    Record,
    Resource(CheckedResource),
    /// An index row, with the owner of a unique one.
    Row(Option<String>),
    /// Counters of the census, and whether the row has others that are no numbers.
    Counters(Vec<(Counter, i64)>, bool),
    /// A membership in the group with this key.
    Membership(Key, Membership),
    Job(Job),
    /// An item that must not be there.
    Strange(&'static str),
    /// An item that agrees with every other.
    Neutral,
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
    /// True if it is in its partition of the index `changes`.
    pub(crate) is_in_changes: bool,
    pub(crate) visibility: Option<Visibility>,
}

impl CheckedResource {
    /// Returns true if the digest is that of other rows.
    pub(crate) fn has_other_rows(&self) -> bool {
        self.digest != self.rows.digest()
    }

    /// Returns the rows that must exist, each with the owner of a unique one.
    pub(crate) fn required_rows(&self) -> impl Iterator<Item = (&Key, Option<&str>)> {
        // While what is indexed changes, a resource that has not been reached yet has the rows of
        // before.
        let is_reached = self.possible.is_none() || !self.has_other_rows();
        let rows = is_reached.then_some(&self.rows).into_iter();
        let owner = Some(self.key.sk.as_str());
        rows.flat_map(move |rows| {
            let unique = rows.unique.keys().map(move |key| (key, owner));
            unique.chain(rows.look_up.iter().map(|key| (key, None)))
        })
    }

    /// Returns the rows that may exist, besides those that must.
    pub(crate) fn possible_rows(&self) -> impl Iterator<Item = &Key> {
        self.possible.iter().flat_map(IndexRows::keys)
    }
}

/// The partitions of a tenant.
pub(crate) struct Partitions<'a> {
    pub(crate) directory: Directory<'a>,
    resources: HashMap<String, &'a Arc<ResourceType>>,
    census: HashSet<String>,
    /// The types that have members.
    groups: Vec<&'a ResourceType>,
    /// The partitions of index rows, each with the type of its resources.
    rows: HashMap<String, &'a ResourceType>,
}

impl<'a> Partitions<'a> {
    pub(crate) fn of(directory: Directory<'a>, kinds: &'a [Arc<ResourceType>]) -> Self {
        let partition = |kind: &ResourceType| directory.collection(kind).partition();
        let rows = kinds.iter().flat_map(|kind| {
            directory.collection(kind).row_partitions().map(move |rows| (rows, kind.as_ref()))
        });
        let groups = kinds.iter().map(AsRef::as_ref).filter(|kind: &&ResourceType| kind.members.is_some());
        Self {
            directory,
            resources: kinds.iter().map(|kind| (partition(kind), kind)).collect(),
            census: kinds.iter().map(|kind| directory.collection(kind).census_partition()).collect(),
            groups: groups.collect(),
            rows: rows.collect(),
        }
    }

    /// Returns true if what is indexed is changing, of resources with rows in this partition.
    pub(crate) fn is_changing(&self, rows: &str) -> bool {
        self.rows.get(rows).is_some_and(|kind| kind.other.is_some())
    }

    /// Returns the key of the resource that a row leads to, if it leads to any.
    pub(crate) fn resource_of(&self, row: &Key, owner: Option<&str>) -> Option<Key> {
        // The owner of a unique row is in it, that of a look-up row at the end of its key.
        let id = owner.or_else(|| row.sk.rsplit('#').next()).filter(|id| !id.is_empty())?;
        Some(self.directory.collection(self.rows.get(&row.pk)?).key(id))
    }

    /// Returns an item's key and part; `None` if it has no key.
    pub(crate) fn part(&self, item: Item) -> Option<(Key, Part)> {
        let key = Key::of(&item)?;
        let part = if let Some(kind) = self.resources.get(&key.pk) {
            self.resource(kind, &key, item)
        } else if self.rows.contains_key(&key.pk) {
            Part::Row(item.get("owner").and_then(|owner| owner.as_s().ok()).cloned())
        } else if self.census.contains(&key.pk) {
            counters(&key, &item)
        } else if let Some((kind, group)) = self.directory.group_at(&self.groups, &key.pk) {
            let group = self.directory.resource_key(&kind.name, group);
            read(item).map_or(Part::Strange("is a membership that cannot be read"), |membership| {
                Part::Membership(group, membership)
            })
        } else {
            match key.pk.strip_prefix(&self.directory.partitions()).unwrap_or_default() {
                "tenant" if key.sk == "!" => Part::Record,
                "job" => read(item).map_or(Part::Strange("is a job that cannot be read"), Part::Job),
                "tenant" | "nesting" => Part::Neutral,
                name if name.starts_with("audit#") => Part::Neutral,
                _ => Part::Strange("belongs to no resource type"),
            }
        };
        Some((key, part))
    }

    fn resource(&self, kind: &Arc<ResourceType>, key: &Key, item: Item) -> Part {
        let Ok(resource) = read::<ResourceItem>(item) else {
            return Part::Strange("is a resource that cannot be read");
        };
        let rows = IndexRows::of(self.directory.collection(kind), &resource.sk, &resource.resource);
        let possible = kind
            .other
            .is_some()
            .then(|| IndexRows::possible(self.directory.collection(kind), &resource.sk, &resource.resource));
        let changes = self.directory.collection(kind).changes_partition(stripe_of(&resource.sk));
        let is_in_changes = resource.change_pk == changes;
        let ResourceItem { version, index_digest: digest, visibility, .. } = resource;
        let (kind, key) = (Arc::clone(kind), key.clone());
        Part::Resource(CheckedResource {
            kind,
            key,
            version,
            digest,
            rows,
            possible,
            is_in_changes,
            visibility,
        })
    }
}

fn counters(key: &Key, item: &Item) -> Part {
    let counters = item.iter().filter(|(name, _)| *name != "pk" && *name != "sk");
    let (numbers, others): (Vec<_>, Vec<_>) = counters
        .map(|(name, value)| (name, value.as_n().ok().and_then(|n| n.parse().ok())))
        .partition(|(_, n)| n.is_some());
    let numbers = numbers.into_iter().filter_map(|(name, n)| Some(((key.clone(), name.clone()), n?)));
    Part::Counters(numbers.collect(), !others.is_empty())
}
