//! The first look at a table: the items that others require against those that exist, without
//! any of them in memory.
//!
//! Where one item requires exactly one other, both add up in a sum, with opposite signs. Every
//! sum is of one of a million subjects, and is 0 if its items agree. Where many items require
//! one, such as the members of many groups that are one user, both are sets of hashes, 8 bytes
//! each. The second look then reads the items of the subjects that are wrong.
//!
//! A sum of random numbers of 64 bits is 0 by accident once in 10^19 times.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::scim::policy::UnknownMembers;
use crate::store::admin::part::{CheckedResource, Part, Partitions, hash};
use crate::store::dynamo::item::Key;
use crate::store::limits::OVERDUE;
use crate::store::table::census::{counter_name, counter_of};
use crate::store::table::directory::Directory;
use crate::store::table::job::{Job, Work};
use crate::store::table::membership::Membership;
use crate::store::table::visibility::{Tags, Visibility};

/// Bits of a hash that tell the subject.
const SUBJECT_BITS: u32 = 20;

/// The number of the sum that stands for a hashed key, and for others.
pub(crate) fn subject(hash: u64) -> usize {
    usize::try_from(hash >> (u64::BITS - SUBJECT_BITS)).unwrap_or_default()
}

/// A set of hashes.
#[derive(Default)]
pub(crate) struct Hashes {
    all: Vec<u64>,
    /// The length at which repeated hashes are removed.
    limit: usize,
}

impl Hashes {
    pub(crate) fn insert(&mut self, hash: u64) {
        if self.all.len() >= self.limit {
            self.sort();
            // Not before as many have come again: a sort takes longer than an insertion.
            self.limit = (2 * self.all.len()).max(1 << 16);
        }
        self.all.push(hash);
    }

    /// Prepares the set for questions, after the last insertion.
    pub(crate) fn sort(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
    }

    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.all.binary_search(&hash).is_ok()
    }
}

/// The items that must exist, each as often as it is required, and those that do.
#[derive(Default)]
struct Claims {
    claimed: Hashes,
    met: Hashes,
}

impl Claims {
    fn sort(&mut self) {
        self.claimed.sort();
        self.met.sort();
    }

    fn unmet(&self) -> impl Iterator<Item = u64> {
        self.claimed.all.iter().copied().filter(|claim| !self.met.contains(*claim))
    }
}

/// The sum and the number of items of one subject.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: u64,
    items: u32,
}

/// The sums and sets over the items of a table.
pub(crate) struct Balance {
    sums: Vec<Sum>,
    wrong: BTreeSet<usize>,
    /// Members, and the resources that exist.
    members: Claims,
    /// Groups with a group as a member, and those that are marked so.
    nested: Claims,
    /// While what is indexed changes: rows that must exist; rows, and those that may exist.
    required: Claims,
    allowed: Claims,
    /// The subjects of cleanup jobs.
    departed: Hashes,
    staged: Hashes,
    /// Groups that had staged changes.
    changed: HashMap<u64, Visibility>,
    /// Memberships that staged changes have touched, by their group.
    tagged: HashMap<(u64, Tags), u64>,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            sums: vec![Sum::default(); 1 << SUBJECT_BITS],
            wrong: BTreeSet::new(),
            members: Claims::default(),
            nested: Claims::default(),
            required: Claims::default(),
            allowed: Claims::default(),
            departed: Hashes::default(),
            staged: Hashes::default(),
            changed: HashMap::new(),
            tagged: HashMap::new(),
        }
    }
}

/// Returns the number that stands for a resource in sums that count. An odd number is not 0
/// however often it is added.
fn one_of(resource: u64) -> u64 {
    resource | 1
}

/// Returns a hash of the subject `of` for a relation to something else.
fn relation(of: u64, to: u64) -> u64 {
    let rest = u64::MAX >> SUBJECT_BITS;
    (of & !rest) | (to & rest)
}

impl Balance {
    pub(crate) fn take(
        &mut self,
        partitions: &Partitions<'_>,
        unknown_members: UnknownMembers,
        (key, part): (Key, Part),
    ) {
        let of = hash(&key);
        match part {
            Part::Record | Part::Neutral => {}
            Part::Strange(_) => self.wrong(of),
            Part::Resource(resource) => self.resource(partitions.directory, of, resource),
            Part::Row(owner) => {
                let row = hash(&(&key, owner.as_deref()));
                if partitions.is_changing(&key.pk) {
                    self.required.met.insert(relation(of, row));
                    self.allowed.claimed.insert(of);
                } else {
                    self.add(of, row.wrapping_neg());
                }
            }
            Part::Counters(counters, has_others) => {
                if has_others {
                    self.wrong(of);
                }
                for (counter, count) in counters {
                    let of = hash(&counter);
                    self.add(of, one_of(of).wrapping_mul(count.wrapping_neg().cast_unsigned()));
                }
            }
            Part::Membership(group, membership) => {
                self.membership(partitions.directory, unknown_members, &group, &membership);
            }
            Part::Job(job) => self.job(partitions.directory, of, &job),
        }
    }

    fn add(&mut self, of: u64, number: u64) {
        if let Some(sum) = self.sums.get_mut(subject(of)) {
            sum.sum = sum.sum.wrapping_add(number);
            sum.items = sum.items.saturating_add(1);
        }
    }

    pub(crate) fn wrong(&mut self, of: u64) {
        self.wrong.insert(subject(of));
    }

    fn resource(&mut self, directory: Directory<'_>, of: u64, resource: CheckedResource) {
        if !resource.is_in_changes {
            self.wrong(of);
        }
        if resource.possible.is_some() {
            for (key, owner) in resource.required_rows() {
                let of = hash(key);
                self.required.claimed.insert(relation(of, hash(&(key, owner))));
                self.allowed.met.insert(of);
            }
            resource.possible_rows().for_each(|key| self.allowed.met.insert(hash(key)));
        } else {
            if resource.has_other_rows() {
                self.wrong(of);
            }
            for (key, owner) in resource.required_rows() {
                self.add(hash(key), hash(&(key, owner)));
            }
        }
        let counter = hash(&counter_of_resource(directory, &resource));
        self.add(counter, one_of(counter));
        self.members.met.insert(of);
        let Some(visibility) = resource.visibility else { return };
        self.add(of, one_of(of).wrapping_mul(visibility.members.wrapping_neg()));
        if visibility.nests {
            self.nested.met.insert(of);
        }
        if visibility.epoch > 0 || visibility.staged.is_some() || !visibility.aborted.is_empty() {
            self.changed.insert(of, visibility);
        }
    }

    fn membership(
        &mut self,
        directory: Directory<'_>,
        unknown_members: UnknownMembers,
        group: &Key,
        membership: &Membership,
    ) {
        let of = hash(group);
        match membership.tags() {
            Tags { added_by: None, removed_by: None } => self.add(of, one_of(of)),
            // Whether it counts is known when its group has been read.
            tags => *self.tagged.entry((of, tags)).or_default() += 1,
        }
        let Membership { sk, member_pk, kind, .. } = membership;
        if *member_pk != directory.member_partition(sk) {
            self.wrong(of);
        }
        let member = directory.resource_key(kind, sk);
        if member.pk == group.pk {
            self.nested.claimed.insert(of);
        }
        if unknown_members == UnknownMembers::Refuse {
            self.members.claimed.insert(hash(&member));
        }
    }

    fn job(&mut self, directory: Directory<'_>, of: u64, job: &Job) {
        let resource = |id| hash(&directory.resource_key(&job.kind, id));
        if !job.is_indexed() {
            self.wrong(of);
        }
        match Work::parse(&job.sk) {
            Some(Work::Departed(id)) => self.departed.insert(resource(id)),
            Some(Work::Staged(group, _)) => self.staged.insert(resource(group)),
            None => self.wrong(of),
        }
    }

    /// Compares all that was taken. Returns the subjects that are wrong, each with the number of
    /// its items.
    pub(crate) fn wrong_subjects(mut self, now: Timestamp) -> Vec<(usize, u32)> {
        for claims in [&mut self.members, &mut self.nested, &mut self.required, &mut self.allowed] {
            claims.sort();
        }
        self.departed.sort();
        self.staged.sort();
        let members = self.members.unmet().filter(|member| !self.departed.contains(*member));
        let members: Vec<u64> = members.collect();
        let existing = self.departed.all.iter().copied().filter(|gone| self.members.met.contains(*gone));
        let relations = [&self.nested, &self.required, &self.allowed].into_iter().flat_map(Claims::unmet);
        let unmet: Vec<u64> = members.into_iter().chain(existing).chain(relations).collect();
        self.wrong.extend(unmet.into_iter().map(subject));
        for ((of, tags), count) in std::mem::take(&mut self.tagged) {
            match self.changed.get(&of).filter(|visibility| visibility.knows(tags)) {
                Some(visibility) if visibility.shows(tags) => self.add(of, one_of(of).wrapping_mul(count)),
                Some(_) if self.staged.contains(of) => {}
                Some(_) | None => self.wrong(of),
            }
        }
        for (of, visibility) in std::mem::take(&mut self.changed) {
            let is_changing = visibility.staged.is_some() || !visibility.aborted.is_empty();
            if is_changing && !self.staged.contains(of) || visibility.is_overdue(now - OVERDUE) {
                self.wrong(of);
            }
        }
        let sums = self.sums.iter().enumerate();
        let sums = sums.filter(|(subject, sum)| sum.sum != 0 || self.wrong.contains(subject));
        sums.map(|(subject, sum)| (subject, sum.items)).collect()
    }
}

/// Returns the counter that counts a resource.
pub(crate) fn counter_of_resource(directory: Directory<'_>, resource: &CheckedResource) -> (Key, String) {
    let (row, counter) = counter_of(&resource.key.sk);
    (directory.collection(&resource.kind).census_key(row), counter_name(counter))
}
