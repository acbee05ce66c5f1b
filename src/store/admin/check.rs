//! A tenant's items against each other: everything that its resources require exists
//! once, and nothing else exists. Every write keeps it so. A check finds what a restored
//! backup, a changed schema or a manual edit of the table has left.
//!
//! A first look at the whole table finds the subjects about which items disagree. Only their
//! items are in memory at the second look, which tells what is wrong. A finding counts if it is
//! found twice, because a change may be in progress.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use jiff::Timestamp;

use crate::scim::policy::{Policy, UnknownMembers};
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::admin::balance::{Balance, Hashes};
use crate::store::admin::part::{CheckedResource, Counter, Part, Partitions, hash};
use crate::store::admin::repair::Repair;
use crate::store::admin::snapshot::{Selection, Snapshot};
use crate::store::dynamo::item::Key;
use crate::store::dynamo::transaction::{Action, Outcome};
use crate::store::error::Error;
use crate::store::limits::OVERDUE;
use crate::store::table::directory::{Directory, TenantName};
use crate::store::table::job::Work;
use crate::store::table::membership::Membership;
use crate::store::table::visibility::Visibility;

/// The time between two looks at the same items.
const PAUSE: Duration = Duration::from_secs(1);

/// Items of a second look: about 100 MB. A wrong group is looked at with all its members, 300
/// bytes each.
const MAX_CHECKED: u64 = 100_000;

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
}

impl Store {
    /// Checks tenants, and returns each finding with the place of its tenant. Reads the whole table
    /// once, and twice more if anything is wrong; `read` is called with the number of items read.
    pub async fn check(
        &self,
        tenants: &[Expected<'_>],
        now: Timestamp,
        read: impl Fn(u64) + Sync,
    ) -> Result<Vec<(usize, Finding)>, Error> {
        let tenants = Tenants::of(self, tenants);
        let wrong = self.first_look(&tenants, now, &read).await?;
        let mut found = Vec::new();
        for selection in selections(&wrong) {
            let first = self.second_look(&tenants, &selection, now, &read).await?;
            if first.is_empty() {
                continue;
            }
            tokio::time::sleep(PAUSE).await;
            let first: HashSet<(usize, String)> =
                first.into_iter().map(|(tenant, finding)| (tenant, finding.text)).collect();
            let mut second = self.second_look(&tenants, &selection, now, &read).await?;
            // The later finding is returned: the conditions of its repair are fresher.
            second.retain(|(tenant, finding)| first.contains(&(*tenant, finding.text.clone())));
            found.extend(second);
        }
        found.sort_by_key(|(tenant, _)| *tenant);
        Ok(found)
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

    /// Returns the subjects that are wrong, each with the number of its items.
    async fn first_look(
        &self,
        tenants: &Tenants<'_>,
        now: Timestamp,
        read: &(impl Fn(u64) + Sync),
    ) -> Result<Vec<(usize, u32)>, Error> {
        let mut balance = Balance::default();
        let mut records = Vec::new();
        let take = |tenant: &Tenant<'_>, (key, part)| {
            if matches!(part, Part::Record) {
                records.push((tenant.expected.tenant.clone(), hash(&key)));
            }
            balance.take(&tenant.partitions, tenant.expected.policy.unknown_members, (key, part));
        };
        self.each_part(tenants, read, take).await?;
        // Read after the scan: a tenant that was created during it is listed by the same
        // transaction that wrote its record.
        let listed: HashSet<TenantName> = self.tenants().await?.into_iter().collect();
        let unlisted = records.into_iter().filter(|(tenant, _)| !listed.contains(tenant));
        unlisted.for_each(|(_, record)| balance.wrong(record));
        Ok(balance.wrong_subjects(now))
    }

    /// Returns the findings about some subjects.
    async fn second_look(
        &self,
        tenants: &Tenants<'_>,
        selection: &Selection,
        now: Timestamp,
        read: &(impl Fn(u64) + Sync),
    ) -> Result<Vec<(usize, Finding)>, Error> {
        let mut snapshots: BTreeMap<usize, Snapshot> = BTreeMap::new();
        let mut existing = Hashes::default();
        let take = |tenant: &Tenant<'_>, part| {
            let seen = snapshots.entry(tenant.place).or_default();
            seen.take(&tenant.partitions, selection, &mut existing, part);
        };
        self.each_part(tenants, read, take).await?;
        existing.sort();
        let listed: HashSet<TenantName> = self.tenants().await?.into_iter().collect();
        let mut all = Vec::new();
        for tenant in tenants.0.values() {
            let Some(mut seen) = snapshots.remove(&tenant.place) else { continue };
            let Tenant { expected, partitions, .. } = tenant;
            let missing = self.table.get_all(seen.missing(partitions, selection)).await?;
            for (key, part) in missing.into_values().filter_map(|item| partitions.part(item)) {
                if let Part::Resource(resource) = part {
                    seen.resources.insert(key, resource);
                }
            }
            let directory = partitions.directory;
            let repair = Repair { directory, partitions, seen: &seen, now };
            let found = Vec::new();
            let check = Check {
                directory,
                expected,
                now,
                selection,
                existing: &existing,
                seen: &seen,
                repair,
                found,
            };
            let found = check.run(listed.contains(expected.tenant))?;
            all.extend(found.into_iter().map(|finding| (tenant.place, finding)));
        }
        Ok(all)
    }

    /// Reads the table, or the items of the only tenant, and hands over the parts that they play.
    async fn each_part(
        &self,
        tenants: &Tenants<'_>,
        read: &(impl Fn(u64) + Sync),
        mut take: impl FnMut(&Tenant<'_>, (Key, Part)),
    ) -> Result<(), Error> {
        let mut of_all = tenants.0.values();
        let only = of_all.next().filter(|_| of_all.next().is_none());
        let mut pages = pin!(self.table.pages_of(only.map(|tenant| tenant.partitions.directory)));
        while let Some(page) = pages.try_next().await? {
            read(page.len() as u64);
            for item in page {
                let tenant = item.get("pk").and_then(|pk| pk.as_s().ok()?.split('#').next());
                if let Some(tenant) = tenant.and_then(|name| tenants.0.get(name))
                    && let Some(part) = tenant.partitions.part(item)
                {
                    take(tenant, part);
                }
            }
        }
        Ok(())
    }
}

/// The tenants to check, by name.
struct Tenants<'a>(HashMap<&'a str, Tenant<'a>>);

struct Tenant<'a> {
    place: usize,
    expected: &'a Expected<'a>,
    partitions: Partitions<'a>,
}

impl<'a> Tenants<'a> {
    fn of(store: &'a Store, tenants: &'a [Expected<'a>]) -> Self {
        let tenants = tenants.iter().enumerate().map(|(place, expected)| {
            let partitions = Partitions::of(store.directory(expected.tenant), expected.kinds);
            (expected.tenant.as_str(), Tenant { place, expected, partitions })
        });
        Self(tenants.collect())
    }
}

/// Divides wrong subjects into selections whose items fit into memory.
fn selections(wrong: &[(usize, u32)]) -> Vec<Selection> {
    let mut selections: Vec<BTreeSet<usize>> = Vec::new();
    let mut items = 0;
    for (subject, count) in wrong {
        items += u64::from(*count);
        if let Some(selection) = selections.last_mut().filter(|_| items <= MAX_CHECKED) {
            selection.insert(*subject);
        } else {
            items = u64::from(*count);
            selections.push(BTreeSet::from([*subject]));
        }
    }
    selections.into_iter().map(Selection::of).collect()
}

struct Check<'a> {
    directory: Directory<'a>,
    expected: &'a Expected<'a>,
    now: Timestamp,
    selection: &'a Selection,
    /// Hashes of all resources.
    existing: &'a Hashes,
    /// The items of the selected subjects, and of more.
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
            allowed.extend(resource.possible_rows());
            if !resource.is_in_changes && self.selection.has(&resource.key) {
                let text = format!("{pk} {sk} is in another partition of the index changes");
                self.found(text, self.repair.changes(resource));
            }
            if resource.possible.is_none() && resource.has_other_rows() && self.selection.has(&resource.key) {
                self.found(format!("{pk} {sk} has the digest of other rows"), Repair::digest(resource));
            }
            for (key, owner) in resource.required_rows().filter(|(key, _)| self.selection.has(*key)) {
                let is_unique = owner.is_some();
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
        let mut counters: BTreeMap<&Counter, (i64, i64)> = BTreeMap::new();
        for (place, real) in &self.seen.counted {
            counters.entry(place).or_default().0 = *real;
        }
        // The last deletion leaves a counter at 0, so a counter without resources is no finding.
        for (place, counted) in &self.seen.census {
            counters.entry(place).or_default().1 = *counted;
        }
        for (place, (real, counted)) in counters.into_iter().filter(|(_, (real, counted))| real != counted) {
            let (key, counter) = place;
            let kind = key.pk.rsplit('#').next().unwrap_or_default();
            let row = &key.sk;
            let text = format!(
                "the census of {kind} counts {counted} in {row} {counter}, the real number is {real}"
            );
            self.found(text, self.repair.counter(place, real));
        }
    }

    fn memberships(&mut self) -> Result<(), Error> {
        for (key, memberships) in &self.seen.memberships {
            let Some(group) = self.seen.resources.get(key) else {
                let (kind, id) = (key.pk.rsplit('#').next().unwrap_or_default(), &key.sk);
                // The job of a deletion, or of a creation, deletes the memberships.
                if self.selection.has(key) && !self.has_staged_job(id) && !self.has_departed_job(id) {
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
        let exists = self.exists(kind, sk) || self.expected.policy.unknown_members == UnknownMembers::Accept;
        // A deleted member is hidden as long as its job exists.
        if visibility.shows(membership.tags()) && !exists && !self.has_departed_job(sk) {
            let text = format!("{pk} {sk} is the membership of a {kind} that does not exist");
            self.found(text, self.repair.leave(kind, sk)?);
        }
        Ok(())
    }

    fn groups(&mut self) -> Result<(), Error> {
        for (key, group) in self.seen.resources.iter().filter(|(key, _)| self.selection.has(*key)) {
            let Some(visibility) = &group.visibility else { continue };
            let (name, id) = (&group.kind.name, &key.sk);
            let all = self.seen.memberships(key);
            let members: Vec<_> = all.iter().filter(|one| visibility.shows(one.tags())).collect();
            let is_void = |one: &Membership| !visibility.shows(one.tags()) && visibility.knows(one.tags());
            // The numbers of aborted changes count as well: only the job removes them.
            let is_changing = visibility.staged.is_some() || !visibility.aborted.is_empty();
            if (is_changing || all.iter().any(is_void)) && !self.has_staged_job(id) {
                let text = format!("{name} {id} has a staged change without a cleanup job");
                self.found(text, self.repair.clean(group)?);
            }
            // The job of the change is due later than its lease ends, and waits for a sweep.
            let since = self.now - OVERDUE;
            let overdue = visibility.staged.as_ref().filter(|_| visibility.is_overdue(since));
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
                // The group of a staged change need not exist: a creation puts its job before it.
                Some(Work::Departed(id)) if is_known && self.exists(&job.kind, id) => {
                    (format!("the {} {id} exists, but a job treats it as deleted", job.kind), Some(id))
                }
                Some(work) if is_known => {
                    if !job.is_indexed() {
                        let text = format!("the job {name} is not in the index of due jobs");
                        self.found(text, self.repair.index_job(job, work)?);
                    }
                    continue;
                }
                _ => (format!("the job {name} on a {} is unknown", job.kind), None),
            };
            self.found(text, self.repair.end_job(job, existing)?);
        }
        Ok(())
    }

    fn exists(&self, kind: &str, id: &str) -> bool {
        self.existing.contains(hash(&self.directory.resource_key(kind, id)))
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

#[cfg(test)]
mod tests {
    use super::{MAX_CHECKED, selections};

    #[test]
    fn a_second_look_is_at_no_more_items_than_fit_into_memory() {
        let most = u32::try_from(MAX_CHECKED).unwrap();
        for (items, expected) in [
            (vec![], 0),
            (vec![1, 2, 3], 1),
            (vec![most - 1, 1], 1),
            (vec![most, 1], 2),
            // One subject cannot be divided.
            (vec![1, 2 * most, 1], 3),
            (vec![most / 2; 6], 3),
        ] {
            let wrong: Vec<(usize, u32)> = items.iter().copied().enumerate().collect();
            assert_eq!(selections(&wrong).len(), expected, "{items:?}");
        }
    }
}
