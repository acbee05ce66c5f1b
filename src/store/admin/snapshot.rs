//! The second look at a table: the items of some subjects, which the first look has found
//! wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::admin::balance::{Hashes, counter_of_resource, subject};
use crate::store::admin::part::{CheckedResource, Counter, Part, Partitions, hash};
use crate::store::dynamo::item::Key;
use crate::store::table::job::Job;
use crate::store::table::membership::Membership;

/// The subjects whose items are looked at.
pub(crate) struct Selection(BTreeSet<usize>);

impl Selection {
    pub(crate) fn of(subjects: BTreeSet<usize>) -> Self {
        Self(subjects)
    }

    pub(crate) fn has(&self, key: &impl std::hash::Hash) -> bool {
        self.0.contains(&subject(hash(key)))
    }
}

/// The selected items of one tenant.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) has_record: bool,
    pub(crate) resources: BTreeMap<Key, CheckedResource>,
    /// Index rows, with the owners of unique ones.
    pub(crate) rows: BTreeMap<Key, Option<String>>,
    pub(crate) census: BTreeMap<Counter, i64>,
    /// The resources that the census counts.
    pub(crate) counted: BTreeMap<Counter, i64>,
    /// The memberships of each group.
    pub(crate) memberships: BTreeMap<Key, Vec<Membership>>,
    /// All jobs, whether or not they are selected.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Items that do not belong here.
    pub(crate) strange: Vec<(Key, &'static str)>,
}

impl Snapshot {
    pub(crate) fn memberships(&self, group: &Key) -> &[Membership] {
        self.memberships.get(group).map_or(&[], Vec::as_slice)
    }

    /// Takes an item if it is selected. All resources go into `existing`.
    pub(crate) fn take(
        &mut self,
        partitions: &Partitions<'_>,
        selection: &Selection,
        existing: &mut Hashes,
        (key, part): (Key, Part),
    ) {
        match part {
            Part::Neutral => {}
            Part::Record => self.has_record |= selection.has(&key),
            Part::Resource(resource) => {
                existing.insert(hash(&key));
                let counter = counter_of_resource(partitions.directory, &resource);
                if selection.has(&counter) {
                    *self.counted.entry(counter).or_default() += 1;
                }
                let mut rows = resource.required_rows().map(|(key, _)| key).chain(resource.possible_rows());
                if selection.has(&key) || rows.any(|row| selection.has(row)) {
                    drop(rows);
                    self.resources.insert(key, resource);
                }
            }
            Part::Row(owner) => {
                if selection.has(&key) {
                    self.rows.insert(key, owner);
                }
            }
            Part::Counters(counters, has_others) => {
                if has_others && selection.has(&key) {
                    self.strange.push((key, "has a counter that is not a number"));
                }
                self.census.extend(counters.into_iter().filter(|(counter, _)| selection.has(counter)));
            }
            Part::Membership(group, membership) => {
                let member = partitions.directory.resource_key(&membership.kind, &membership.sk);
                if selection.has(&group) || selection.has(&member) {
                    self.memberships.entry(group).or_default().push(membership);
                }
            }
            Part::Job(job) => {
                self.jobs.insert(key.sk, job);
            }
            Part::Strange(problem) => {
                if selection.has(&key) {
                    self.strange.push((key, problem));
                }
            }
        }
    }

    /// Returns the resources that are not selected, but decide about selected items: the owners
    /// of rows, and the groups of memberships.
    pub(crate) fn missing(&self, partitions: &Partitions<'_>, selection: &Selection) -> Vec<Key> {
        let owners =
            self.rows.iter().filter_map(|(row, owner)| partitions.resource_of(row, owner.as_deref()));
        let groups = self.memberships.keys().filter(|group| !selection.has(*group)).cloned();
        owners.chain(groups).filter(|key| !self.resources.contains_key(key)).collect()
    }
}
