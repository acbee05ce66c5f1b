//! A tenant's items against each other: everything that its resources require exists
//! once, and nothing else exists. Every write keeps it so. A check finds what a restored
//! backup, a changed schema or a manual edit of the table has left.
//!
//! A finding counts if it is found twice, because a change may be in progress at the
//! first look.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::scim::policy::{Policy, UnknownMembers};
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::admin::repair::Repair;
use crate::store::admin::snapshot::{CheckedResource, Partitions, Snapshot};
use crate::store::dynamo::item::Key;
use crate::store::dynamo::transaction::{Action, Outcome};
use crate::store::error::Error;
use crate::store::table::census::{counter_name, counter_of};
use crate::store::table::directory::{Directory, TenantName};
use crate::store::table::job::Work;
use crate::store::table::membership::Membership;
use crate::store::table::visibility::Visibility;

/// The time between the two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Something that is not as it must be.
#[derive(Clone, Debug)]
pub struct Finding {
    text: String,
    /// The transaction that repairs it; empty if an operator must decide.
    repair: Vec<Action>,
}

/// The result of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    Repaired,
    /// The items have changed since they were read.
    Changed,
    /// Only an operator can decide.
    NeedsDecision,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The tenant to check, and what its items are checked against.
pub struct Expected<'a> {
    pub tenant: &'a TenantName,
    pub kinds: &'a [Arc<ResourceType>],
    pub policy: &'a Policy,
    pub now: Timestamp,
}

impl Store {
    /// Checks a tenant. Reads the whole table once, and again if anything is wrong; `read`
    /// is called with the number of items read.
    pub async fn check(
        &self,
        expected: &Expected<'_>,
        read: impl Fn(u64) + Sync,
    ) -> Result<Vec<Finding>, Error> {
        let first = self.look(expected, &read).await?;
        if first.is_empty() {
            return Ok(first);
        }
        tokio::time::sleep(PAUSE).await;
        let first: HashSet<String> = first.into_iter().map(|finding| finding.text).collect();
        let mut second = self.look(expected, &read).await?;
        // The later finding is returned: the conditions of its repair are fresher.
        second.retain(|finding| first.contains(&finding.text));
        Ok(second)
    }

    pub async fn repair(&self, finding: &Finding) -> Result<Repaired, Error> {
        if finding.repair.is_empty() {
            return Ok(Repaired::NeedsDecision);
        }
        Ok(match self.table.transact(finding.repair.clone()).await? {
            Outcome::Applied => Repaired::Repaired,
            Outcome::Failed(_) => Repaired::Changed,
        })
    }

    async fn look(
        &self,
        expected: &Expected<'_>,
        read: &(impl Fn(u64) + Sync),
    ) -> Result<Vec<Finding>, Error> {
        let directory = self.directory(expected.tenant);
        let partitions = Partitions::of(directory, expected.kinds);
        let mut seen = Snapshot::default();
        let mut scan = directory.scan(None);
        while let Some(page) = scan.next_page().await? {
            for item in page {
                seen.take(&partitions, item);
                read(1);
            }
        }
        // Read after the scan: a tenant that was created during it is listed by the same
        // transaction that wrote its record.
        let is_listed = self.tenants().await?.contains(expected.tenant);
        let repair = Repair { directory, expected, seen: &seen };
        Check { directory, expected, seen: &seen, repair, found: Vec::new() }.run(is_listed)
    }
}

struct Check<'a> {
    directory: Directory<'a>,
    expected: &'a Expected<'a>,
    seen: &'a Snapshot,
    repair: Repair<'a>,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn run(mut self, is_listed: bool) -> Result<Vec<Finding>, Error> {
        if self.seen.has_record && !is_listed {
            self.found("the tenant is not listed".to_owned(), self.repair.list_tenant());
        }
        for (Key { pk, sk }, problem) in &self.seen.strange {
            self.found(format!("{pk} {sk} {problem}"), Vec::new());
        }
        self.rows();
        self.census();
        self.memberships()?;
        self.groups()?;
        self.jobs()?;
        Ok(self.found)
    }

    fn found(&mut self, text: String, repair: Vec<Action>) {
        self.found.push(Finding { text, repair });
    }

    /// Compares index rows with the resources that require them.
    fn rows(&mut self) {
        let mut required: BTreeMap<&Key, (&CheckedResource, bool)> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        let mut allowed = BTreeSet::new();
        for resource in self.seen.resources.values() {
            let Key { pk, sk } = &resource.key;
            // While what is indexed changes, a resource that has not been reached yet has the rows
            // of before.
            if let Some(possible) = &resource.possible {
                allowed.extend(possible.keys());
                if resource.digest != resource.rows.digest() {
                    continue;
                }
            }
            if resource.digest != resource.rows.digest() {
                self.found(format!("{pk} {sk} has the digest of other rows"), Repair::digest(resource));
            }
            let unique = resource.rows.unique.keys().map(|key| (key, true));
            for (key, is_unique) in unique.chain(resource.rows.look_up.iter().map(|key| (key, false))) {
                if let Some((other, _)) = required.insert(key, (resource, is_unique)) {
                    // Which of the two keeps the value is for an operator to decide.
                    shared.insert(key);
                    let other = &other.key.sk;
                    self.found(
                        format!("{pk} {sk} and {other} both have {}: change one of them", key.sk),
                        Vec::new(),
                    );
                }
            }
        }
        // The row of a shared value can name only one of its resources, and the operator must
        // choose which.
        for (key, (resource, is_unique)) in required.iter().filter(|(key, _)| !shared.contains(*key)) {
            let owner = is_unique.then(|| resource.key.sk.clone());
            let (Key { pk, sk }, id) = (key, &resource.key.sk);
            let text = match self.seen.rows.get(*key) {
                Some(is) if *is == owner => continue,
                Some(_) => format!("{pk} {sk} is not owned by {id}, which has that value"),
                None => format!("{pk} {sk} of {id} is missing"),
            };
            self.found(text, self.repair.put_row(key, resource, owner.as_ref()));
        }
        let is_wrong = |key: &&Key| !required.contains_key(key) && !allowed.contains(key);
        for key in self.seen.rows.keys().filter(is_wrong) {
            let text = format!("{} {} belongs to no resource that has that value", key.pk, key.sk);
            self.found(text, self.repair.delete_row(key));
        }
    }

    fn census(&mut self) {
        let mut counters: BTreeMap<(Key, String), (i64, i64)> = BTreeMap::new();
        for resource in self.seen.resources.values() {
            let (row, counter) = counter_of(&resource.key.sk);
            let key = self.directory.collection(&resource.kind).census_key(row);
            counters.entry((key, counter_name(counter))).or_default().0 += 1;
        }
        // The last deletion leaves a counter at 0, so a counter without resources is no finding.
        for (place, counted) in &self.seen.census {
            counters.entry(place.clone()).or_default().1 = *counted;
        }
        for (place, (real, counted)) in counters.into_iter().filter(|(_, (real, counted))| real != counted) {
            let (key, counter) = &place;
            let kind = key.pk.rsplit('#').next().unwrap_or_default();
            let row = &key.sk;
            let text = format!(
                "the census of {kind} counts {counted} in {row} {counter}, the real number is {real}"
            );
            self.found(text, self.repair.counter(&place, real));
        }
    }

    fn memberships(&mut self) -> Result<(), Error> {
        for ((kind, id), memberships) in &self.seen.memberships {
            let Some(group) = self.seen.resource(kind, id) else {
                // The job of a deletion, or of a creation, deletes the memberships.
                if !self.has_staged_job(id) && !self.has_departed_job(id) {
                    let text =
                        format!("{} members are in the {kind} {id}, which does not exist", memberships.len());
                    self.found(text, self.repair.leave(kind, id)?);
                }
                continue;
            };
            for membership in memberships {
                self.membership(group, membership)?;
            }
        }
        Ok(())
    }

    fn membership(&mut self, group: &CheckedResource, membership: &Membership) -> Result<(), Error> {
        let Membership { pk, sk, member_pk, kind, .. } = membership;
        if *member_pk != self.directory.member_partition(sk) {
            let text = format!("{pk} {sk} is indexed under the member {member_pk}");
            self.found(text, self.repair.member_partition(membership));
        }
        let visibility = Visibility::of(group.visibility.as_ref());
        // A scan has no order: the tag may be of a change that began after the group was read.
        // The second look reads the group again, and then knows that change.
        if !visibility.knows(membership.tags()) {
            let text = format!("{pk} {sk} belongs to a staged change that never began");
            self.found(text, Repair::untag(group, membership));
            return Ok(());
        }
        let exists = self.seen.resource(kind, sk).is_some()
            || self.expected.policy.unknown_members == UnknownMembers::Accept;
        // A deleted member is hidden as long as its job exists.
        if visibility.shows(membership.tags()) && !exists && !self.has_departed_job(sk) {
            let text = format!("{pk} {sk} is the membership of a {kind} that does not exist");
            self.found(text, self.repair.leave(kind, sk)?);
        }
        Ok(())
    }

    fn groups(&mut self) -> Result<(), Error> {
        for ((name, id), group) in &self.seen.resources {
            let Some(visibility) = &group.visibility else { continue };
            let all = self.seen.memberships(name, id);
            let members: Vec<_> = all.iter().filter(|one| visibility.shows(one.tags())).collect();
            let is_void = |one: &Membership| !visibility.shows(one.tags()) && visibility.knows(one.tags());
            // The numbers of aborted changes count as well: only the job removes them.
            let is_changing = visibility.staged.is_some() || !visibility.aborted.is_empty();
            if (is_changing || all.iter().any(is_void)) && !self.has_staged_job(id) {
                let text = format!("{name} {id} has a staged change without a cleanup job");
                self.found(text, self.repair.clean(group)?);
            }
            // A lease ends exactly at `until`, but a sweep may break the lock at that time.
            let overdue = visibility.staged.as_ref().filter(|staged| staged.until < self.expected.now);
            if let Some(staged) = overdue {
                let text =
                    format!("{name} {id} is locked by a staged change whose lease ended at {}", staged.until);
                self.found(text, self.repair.clean(group)?);
                continue;
            }
            let counted = u64::try_from(members.len()).unwrap_or(u64::MAX);
            // A mark that is set in vain is no finding. It is never cleared when the last nested
            // group leaves: that costs the search for cycles a read, but hides no cycle.
            let nests = visibility.nests || members.iter().any(|one| one.kind == *name);
            let text = if counted != visibility.members {
                format!("{name} {id} counts {} members, the real number is {counted}", visibility.members)
            } else if nests != visibility.nests {
                format!("{name} {id} has a group as a member but is not marked as nesting")
            } else {
                continue;
            };
            self.found(text, Repair::members(group, visibility, (counted, nests))?);
        }
        Ok(())
    }

    fn jobs(&mut self) -> Result<(), Error> {
        for (name, job) in &self.seen.jobs {
            let is_known = self.expected.kinds.iter().any(|kind| kind.name == job.kind);
            let (text, existing) = match Work::parse(name) {
                // The group need not exist: a creation puts its job before the group.
                Some(Work::Staged(..)) if is_known => continue,
                Some(Work::Departed(id)) if is_known => {
                    if self.seen.resource(&job.kind, id).is_none() {
                        continue;
                    }
                    (format!("the {} {id} exists, but a job treats it as deleted", job.kind), Some(id))
                }
                _ => (format!("the job {name} on a {} is unknown", job.kind), None),
            };
            self.found(text, self.repair.end_job(job, existing)?);
        }
        Ok(())
    }

    fn has_departed_job(&self, id: &str) -> bool {
        self.seen.jobs.contains_key(&Work::Departed(id).to_string())
    }

    fn has_staged_job(&self, group: &str) -> bool {
        let first = Work::Staged(group, 0).to_string();
        let mut jobs = self.seen.jobs.range(first..);
        jobs.next().and_then(|(name, _)| Work::parse(name)).is_some_and(|work| work.id() == group)
    }
}
