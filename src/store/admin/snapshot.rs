//! All items of a tenant, told apart by their partitions, and as much of each as a check
//! needs: some 300 bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::scim::schema::ResourceType;
use crate::store::admin::check::Expected;
use crate::store::cleanup::Job;
use crate::store::dynamo::transaction::OPERATION;
use crate::store::group::groups_of::group_at;
use crate::store::table::keys::{self, IndexKeys, Key, TenantName};
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::{Item, ResourceItem};
use crate::store::table::visibility::Visibility;

/// Which partition has what.
pub(crate) struct Places<'a> {
    tenant: &'a TenantName,
    resources: HashMap<String, &'a Arc<ResourceType>>,
    census: HashSet<String>,
    /// Types that have members.
    groups: Vec<&'a ResourceType>,
    /// The rows of one attribute.
    values: HashSet<String>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(expected: &Expected<'a>) -> Self {
        let Expected { tenant, kinds, .. } = *expected;
        let values = kinds.iter().flat_map(|kind| {
            kind.unique.iter().chain(&kind.look_up).map(|path| keys::values(tenant, kind, path))
        });
        Self {
            tenant,
            resources: kinds.iter().map(|kind| (keys::resources(tenant, kind), kind)).collect(),
            census: kinds.iter().map(|kind| keys::census(tenant, kind)).collect(),
            groups: kinds
                .iter()
                .map(AsRef::as_ref)
                .filter(|kind: &&ResourceType| kind.members.is_some())
                .collect(),
            values: values.collect(),
        }
    }
}

/// The items of a tenant, by what they are.
#[derive(Default)]
pub(crate) struct Inventory {
    pub(crate) has_record: bool,
    pub(crate) resources: BTreeMap<(String, String), There>,
    /// With their owners, if they have one.
    pub(crate) rows: BTreeMap<Key, Option<String>>,
    pub(crate) census: BTreeMap<(Key, String), i64>,
    pub(crate) memberships: BTreeMap<(String, String), Vec<Membership>>,
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) strange: Vec<(Key, &'static str)>,
}

/// What is kept of a resource.
pub(crate) struct There {
    pub(crate) kind: Arc<ResourceType>,
    pub(crate) key: Key,
    pub(crate) version: u64,
    pub(crate) digest: String,
    pub(crate) keys: IndexKeys,
    pub(crate) visibility: Option<Visibility>,
}

impl Inventory {
    pub(crate) fn take(&mut self, places: &Places<'_>, item: Item) {
        let Some(key) = Key::of(&item) else {
            return;
        };
        let name = key.pk.strip_prefix(places.tenant.as_str()).and_then(|rest| rest.strip_prefix('#'));
        let name = name.unwrap_or_default().to_owned();
        if let Some(kind) = places.resources.get(&key.pk) {
            match ResourceItem::read(OPERATION, item) {
                Ok(stored) => {
                    let keys = IndexKeys::of(places.tenant, kind, &stored.sk, &stored.resource);
                    let (version, digest, visibility) =
                        (stored.version, stored.index_digest, stored.visibility);
                    let id = (kind.name.clone(), key.sk.clone());
                    let kind = Arc::clone(kind);
                    self.resources.insert(id, There { kind, key, version, digest, keys, visibility });
                }
                Err(_) => self.strange.push((key, "is a resource that cannot be read")),
            }
        } else if places.values.contains(&key.pk) {
            let owner = item.get("owner").and_then(|owner| owner.as_s().ok()).cloned();
            self.rows.insert(key, owner);
        } else if places.census.contains(&key.pk) {
            for (name, value) in item.iter().filter(|(name, _)| *name != "pk" && *name != "sk") {
                match value.as_n().ok().and_then(|count| count.parse().ok()) {
                    Some(count) => {
                        self.census.insert((key.clone(), name.clone()), count);
                    }
                    None => self.strange.push((key.clone(), "has a counter that is no number")),
                }
            }
        } else if let Some((kind, group)) = group_at(places.tenant, &places.groups, &key.pk) {
            match Membership::read(item) {
                Ok(membership) => {
                    let of = (kind.name.clone(), group.to_owned());
                    self.memberships.entry(of).or_default().push(membership);
                }
                Err(_) => self.strange.push((key, "is a membership that cannot be read")),
            }
        } else {
            match name.as_str() {
                "tenant" => self.has_record |= key.sk == "!",
                "nesting" => {}
                "job" => match serde_dynamo::from_item(item) {
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
}
