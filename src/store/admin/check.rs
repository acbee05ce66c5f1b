//! A tenant's items against each other: what its resources say has to be there is
//! there, once, and nothing else is. Every write keeps it so; this finds what a
//! restored backup, a changed schema or a hand in the table has left.
//!
//! What is found twice is true, and not a change that was under way. Each finding
//! that can be mended is mended by one transaction, which holds only if what it was
//! concluded from still is so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem, Update};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use crate::scim::policy::{Policy, UnknownMembers};
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::admin::snapshot::{Inventory, Places, There};
use crate::store::cleanup::{DEPARTED, Job, STAGED};
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{OPERATION, Outcome};
use crate::store::error::Error;
use crate::store::query::list::{counter_name, counter_of};
use crate::store::resource::actions::{self, UNMARKED, built};
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::{attribute_value, number};
use crate::store::table::visibility::{Tags, Visibility};

/// Between the two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    what: String,
    /// The transaction that mends it; empty if somebody has to decide.
    mend: Vec<TransactWriteItem>,
}

impl Finding {
    pub fn can_be_mended(&self) -> bool {
        !self.mend.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What a tenant is to be checked against.
pub struct Expected<'a> {
    pub tenant: &'a TenantName,
    pub kinds: &'a [Arc<ResourceType>],
    pub policy: &'a Policy,
    pub now: Timestamp,
}

impl Store {
    /// What is wrong with a tenant. Reads the whole table once, and again if anything
    /// is; `read` is told how many of its items came.
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
        let first: HashSet<String> = first.into_iter().map(|finding| finding.what).collect();
        let mut second = self.look(expected, &read).await?;
        second.retain(|finding| first.contains(&finding.what));
        Ok(second)
    }

    /// `false` if the items have changed since, or nothing can be done without a decision.
    pub async fn mend(&self, finding: &Finding) -> Result<bool, Error> {
        if finding.mend.is_empty() {
            return Ok(false);
        }
        let outcome = self.transact(finding.mend.clone(), &mut Retry::new(&*self.jitter)).await?;
        Ok(matches!(outcome, Outcome::Done))
    }

    async fn look(
        &self,
        expected: &Expected<'_>,
        read: &(impl Fn(u64) + Sync),
    ) -> Result<Vec<Finding>, Error> {
        let mut seen = Inventory::default();
        let places = Places::of(expected);
        let mut items = Box::pin(self.every_item(expected.tenant, None));
        while let Some(item) = items.try_next().await? {
            seen.take(&places, item);
            read(1);
        }
        let listed = self.tenants().await?.contains(expected.tenant);
        Check { store: self, expected, seen, found: Vec::new() }.run(listed)
    }
}

struct Check<'a> {
    store: &'a Store,
    expected: &'a Expected<'a>,
    seen: Inventory,
    found: Vec<Finding>,
}

type Actions = Result<Vec<TransactWriteItem>, Error>;

impl Check<'_> {
    fn run(mut self, listed: bool) -> Result<Vec<Finding>, Error> {
        if self.seen.has_record && !listed {
            let record = self.store.check_there(Key::tenant(self.expected.tenant))?;
            let row = self.store.put(Key::listed_tenant(self.expected.tenant).into_map());
            self.found("the tenant is not listed".to_owned(), vec![record, actions::put(row)?]);
        }
        for (Key { pk, sk }, what) in std::mem::take(&mut self.seen.strange) {
            self.found(format!("{pk} {sk} {what}"), Vec::new());
        }
        self.rows()?;
        self.census()?;
        self.memberships()?;
        self.groups()?;
        self.jobs()?;
        Ok(self.found)
    }

    fn found(&mut self, what: String, mend: Vec<TransactWriteItem>) {
        self.found.push(Finding { what, mend });
    }

    /// The rows that resources have to have, and those that none has.
    fn rows(&mut self) -> Result<(), Error> {
        let mut wanted: BTreeMap<&Key, (&There, bool)> = BTreeMap::new();
        let mut found = Vec::new();
        let mut shared = BTreeSet::new();
        for there in self.seen.resources.values() {
            let Key { pk, sk } = &there.key;
            let digest = there.keys.digest();
            if there.digest != digest {
                let update =
                    self.store.update_key(&there.key).update_expression("SET index_digest = :digest");
                let update = update.expression_attribute_values(":digest", AttributeValue::S(digest));
                let mend = vec![update_seen(update, there.version, "attribute_exists(pk)")?];
                found.push(Finding { what: format!("{pk} {sk} has the digest of other rows"), mend });
            }
            let unique = there.keys.unique.iter().map(|(key, _)| (key, true));
            for (key, unique) in unique.chain(there.keys.look_up.iter().map(|key| (key, false))) {
                if let Some((other, _)) = wanted.insert(key, (there, unique)) {
                    shared.insert(key);
                    found.push(Finding {
                        what: format!(
                            "{pk} {sk} and {} both have {}: change one of them",
                            other.key.sk, key.sk
                        ),
                        mend: Vec::new(),
                    });
                }
            }
        }
        for (key, (there, unique)) in wanted.iter().filter(|(key, _)| !shared.contains(*key)) {
            let owner = unique.then(|| there.key.sk.clone());
            let what = match self.seen.rows.get(*key) {
                Some(is) if *is == owner => continue,
                Some(_) => {
                    format!("{} {} is not owned by {}, which has that value", key.pk, key.sk, there.key.sk)
                }
                None => format!("{} {} of {} is missing", key.pk, key.sk, there.key.sk),
            };
            let is = self.seen.rows.get(*key);
            let mend = self.mend_row(key, is, Some(there), owner.as_ref())?;
            found.push(Finding { what, mend });
        }
        for (key, owner) in self.seen.rows.iter().filter(|(key, _)| !wanted.contains_key(key)) {
            let what = format!("{} {} is of no resource that has that value", key.pk, key.sk);
            found.push(Finding { what, mend: self.mend_row(key, Some(owner), None, None)? });
        }
        self.found.extend(found);
        Ok(())
    }

    /// Puts a row for a resource, or takes away what is of none, if both are still as
    /// they were seen.
    fn mend_row(
        &self,
        key: &Key,
        is: Option<&Option<String>>,
        wanted_by: Option<&There>,
        owner: Option<&String>,
    ) -> Actions {
        let mut mend = Vec::new();
        let mut checked = BTreeSet::new();
        if let Some(there) = wanted_by {
            checked.insert(there.key.clone());
            mend.push(self.store.unchanged(there.key.clone(), Some(there.version))?);
        }
        // Whose row it was: the owner, or the id at its end.
        let whose = is.and_then(|owner| owner.as_deref().or_else(|| Some(key.sk.rsplit_once('#')?.1)));
        let kind = self.expected.kinds.iter().find(|kind| {
            let paths = kind.unique.iter().chain(&kind.look_up);
            paths.into_iter().any(|path| keys::values(self.expected.tenant, kind, path) == key.pk)
        });
        if let (Some(kind), Some(whose)) = (kind, whose.filter(|whose| !whose.is_empty())) {
            let other = Key::resource(self.expected.tenant, kind, whose);
            let version = self.seen.resources.get(&(kind.name.clone(), whose.to_owned()));
            if checked.insert(other.clone()) {
                mend.push(self.store.unchanged(other, version.map(|there| there.version))?);
            }
        }
        let (condition, value) = match is {
            None => ("attribute_not_exists(pk)", None),
            Some(None) => ("attribute_not_exists(#owner)", None),
            Some(Some(owner)) => ("#owner = :owner", Some(AttributeValue::S(owner.clone()))),
        };
        let names = (is.is_some()).then(|| HashMap::from([("#owner".to_owned(), "owner".to_owned())]));
        let values = value.map(|owner| HashMap::from([(":owner".to_owned(), owner)]));
        mend.push(if wanted_by.is_some() {
            let mut item = key.clone().into_map();
            item.extend(owner.map(|owner| ("owner".to_owned(), AttributeValue::S(owner.clone()))));
            let put = self.store.put(item).condition_expression(condition);
            actions::put(put.set_expression_attribute_names(names).set_expression_attribute_values(values))?
        } else {
            let delete = self.store.delete_key(key.clone()).condition_expression(condition);
            actions::delete(
                delete.set_expression_attribute_names(names).set_expression_attribute_values(values),
            )?
        });
        Ok(mend)
    }

    fn census(&mut self) -> Result<(), Error> {
        let mut counters: BTreeMap<(Key, String), (i64, i64)> = BTreeMap::new();
        for there in self.seen.resources.values() {
            let (row, counter) = counter_of(&there.key.sk);
            let place = (Key::census(self.expected.tenant, &there.kind, row), counter_name(counter));
            counters.entry(place).or_default().0 += 1;
        }
        for (place, counted) in &self.seen.census {
            counters.entry(place.clone()).or_default().1 = *counted;
        }
        for ((key, counter), (real, counted)) in counters {
            if real == counted {
                continue;
            }
            let mut update = self
                .store
                .update_key(&key)
                .update_expression("SET #counter = :real")
                .condition_expression("attribute_not_exists(#counter)")
                .expression_attribute_names("#counter", &counter)
                .expression_attribute_values(":real", number(real));
            let kind = key.pk.rsplit('#').next().unwrap_or_default();
            let what =
                format!("the census of {kind} counts {counted} in {} {counter}, there are {real}", key.sk);
            if self.seen.census.contains_key(&(key, counter)) {
                update = update
                    .condition_expression("#counter = :counted")
                    .expression_attribute_values(":counted", number(counted));
            }
            let mend = vec![actions::update(update)?];
            self.found(what, mend);
        }
        Ok(())
    }

    fn memberships(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for ((kind, group), memberships) in &self.seen.memberships {
            let there = self.seen.resources.get(&(kind.clone(), group.clone()));
            let is_left = |id: &str| self.has_job(DEPARTED, id);
            let is_staged = self.has_job(STAGED, group);
            let Some(there) = there else {
                if !is_staged && !is_left(group) {
                    let what = format!(
                        "{} members are of the {kind} {group}, which is not there",
                        memberships.len()
                    );
                    found.push(Finding { what, mend: self.leave(kind, group)? });
                }
                continue;
            };
            let visibility = there.visibility.clone().unwrap_or_default();
            for membership in memberships {
                let Membership { pk, sk, member_pk, kind, .. } = membership;
                let wanted = keys::member_of(self.expected.tenant, sk);
                if *member_pk != wanted {
                    let key = Key { pk: pk.clone(), sk: sk.clone() };
                    let update = self
                        .store
                        .update_key(&key)
                        .update_expression("SET member_pk = :wanted")
                        .condition_expression("member_pk = :is")
                        .expression_attribute_values(":wanted", AttributeValue::S(wanted))
                        .expression_attribute_values(":is", AttributeValue::S(member_pk.clone()));
                    let what = format!("{pk} {sk} is of the member {member_pk}");
                    found.push(Finding { what, mend: vec![actions::update(update)?] });
                }
                if !has_begun(&visibility, membership.tags()) {
                    let what = format!("{pk} {sk} is of a staged change that never began");
                    found.push(Finding { what, mend: self.untag(there, membership)? });
                    continue;
                }
                let shows = visibility.shows(membership.tags());
                let lives = self.seen.resources.contains_key(&(kind.clone(), sk.clone()))
                    || self.expected.policy.unknown_members == UnknownMembers::Accept;
                if shows && !lives && !is_left(sk) {
                    let what = format!("{pk} {sk} is of a {kind} that is not there");
                    found.push(Finding { what, mend: self.leave(kind, sk)? });
                }
            }
        }
        self.found.extend(found);
        Ok(())
    }

    fn groups(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for ((name, id), there) in &self.seen.resources {
            let Some(visibility) = &there.visibility else { continue };
            let memberships = self.seen.memberships.get(&(name.clone(), id.clone()));
            let all = memberships.map_or(&[][..], Vec::as_slice);
            let members: Vec<_> = all.iter().filter(|one| visibility.shows(one.tags())).collect();
            let has_job = self.has_job(STAGED, id);
            let is_over =
                |one: &&Membership| !visibility.shows(one.tags()) && has_begun(visibility, one.tags());
            let is_changing = visibility.staged.is_some() || !visibility.aborted.is_empty();
            if (is_changing || all.iter().any(|one| is_over(&one))) && !has_job {
                let what = format!("{name} {id} has a staged change that nobody will clean up");
                found.push(Finding { what, mend: self.clean(there)? });
            }
            if let Some(staged) = visibility.staged.as_ref().filter(|staged| staged.until < self.expected.now)
            {
                let what = format!("{name} {id} has had a mark since before {}", staged.until);
                found.push(Finding { what, mend: self.clean(there)? });
                continue;
            }
            let counted = u64::try_from(members.len()).unwrap_or(u64::MAX);
            let nests = members.iter().any(|one| one.kind == *name);
            let knows = visibility.nests || !nests;
            if counted != visibility.members || !knows {
                let update = self
                    .store
                    .update_key(&there.key)
                    .update_expression("SET roster.members = :counted, roster.nests = :nests")
                    .expression_attribute_values(":counted", number(counted))
                    .expression_attribute_values(":nests", AttributeValue::Bool(visibility.nests || nests))
                    .expression_attribute_values(":members", number(visibility.members))
                    .expression_attribute_values(":epoch", number(visibility.epoch));
                let as_seen = format!("roster.members = :members AND roster.epoch = :epoch AND {UNMARKED}");
                // Under a mark the count is corrected when the change is over.
                let mend = match visibility.staged {
                    None => vec![update_seen(update, there.version, &as_seen)?],
                    Some(_) => Vec::new(),
                };
                let what = if counted == visibility.members {
                    format!("{name} {id} has a member of its type and does not know")
                } else {
                    format!("{name} {id} counts {} members, there are {counted}", visibility.members)
                };
                found.push(Finding { what, mend });
            }
        }
        self.found.extend(found);
        Ok(())
    }

    fn jobs(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for (name, job) in &self.seen.jobs {
            let is_known = self.expected.kinds.iter().any(|kind| kind.name == job.kind);
            let what = match name.split_once('#') {
                Some((STAGED, _)) if is_known => continue,
                Some((DEPARTED, id)) if is_known => {
                    if !self.seen.resources.contains_key(&(job.kind.clone(), id.to_owned())) {
                        continue;
                    }
                    format!("the {} {id} is there, and a job has it for deleted", job.kind)
                }
                _ => format!("nobody knows the job {name} on a {}", job.kind),
            };
            let mut mend = Vec::new();
            if let Some((DEPARTED, id)) = name.split_once('#').filter(|_| is_known) {
                mend.push(self.store.check_there(Key::of_type(self.expected.tenant, &job.kind, id))?);
            }
            let key = Key { pk: keys::jobs(self.expected.tenant), sk: name.clone() };
            let delete = self.store.delete_key(key).condition_expression("due = :due");
            let due = attribute_value(OPERATION, &job.due)?;
            mend.push(actions::delete(delete.expression_attribute_values(":due", due))?);
            found.push(Finding { what, mend });
        }
        self.found.extend(found);
        Ok(())
    }

    fn has_job(&self, work: &str, id: &str) -> bool {
        self.seen.jobs.contains_key(&Key::job(self.expected.tenant, work, id).sk)
    }

    /// The job that takes what is not there out of all groups.
    fn leave(&self, kind: &str, id: &str) -> Actions {
        let gone = self.store.unchanged(Key::of_type(self.expected.tenant, kind, id), None)?;
        Ok(vec![gone, self.put_job(DEPARTED, kind, id)?])
    }

    /// The job that ends what a staged change has left.
    fn clean(&self, group: &There) -> Actions {
        let unchanged = self.store.unchanged(group.key.clone(), Some(group.version))?;
        Ok(vec![unchanged, self.put_job(STAGED, &group.kind.name, &group.key.sk)?])
    }

    fn put_job(&self, work: &str, kind: &str, id: &str) -> Result<TransactWriteItem, Error> {
        let Key { pk, sk } = Key::job(self.expected.tenant, work, id);
        let job = Job { pk, sk, kind: kind.to_owned(), due: self.expected.now };
        let item = serde_dynamo::to_item(job).map_err(|error| Error::fault(OPERATION, error))?;
        actions::put(self.store.put(item))
    }

    /// Of a change that never began: what it added goes, what it removed stays.
    fn untag(&self, group: &There, membership: &Membership) -> Actions {
        let unchanged = self.store.unchanged(group.key.clone(), Some(group.version))?;
        let key = Key { pk: membership.pk.clone(), sk: membership.sk.clone() };
        let Tags { added_by, removed_by } = membership.tags();
        let epoch = group.visibility.as_ref().map(|visibility| visibility.epoch);
        let mend = if added_by > epoch {
            let delete = self.store.delete_key(key).condition_expression("added_by = :tag");
            actions::delete(delete.expression_attribute_values(":tag", number(added_by.unwrap_or_default())))?
        } else {
            let update = self.store.update_key(&key).update_expression("REMOVE removed_by");
            let update = update.condition_expression("removed_by = :tag");
            actions::update(
                update.expression_attribute_values(":tag", number(removed_by.unwrap_or_default())),
            )?
        };
        Ok(vec![unchanged, mend])
    }
}

/// Whether all that has touched a membership with these tags is known of the group.
fn has_begun(visibility: &Visibility, tags: Tags) -> bool {
    tags.added_by.max(tags.removed_by) <= Some(visibility.epoch)
}

impl Store {
    fn update_key(&self, key: &Key) -> UpdateBuilder {
        Update::builder().table_name(&self.table).set_key(Some(key.clone().into_map()))
    }

    /// That a resource still has this version, or is not there.
    fn unchanged(&self, key: Key, version: Option<u64>) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(key.into_map()));
        let check = match version {
            Some(version) => check
                .condition_expression("#version = :seen")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":seen", number(version)),
            None => check.condition_expression("attribute_not_exists(pk)"),
        };
        let check = check.build().map_err(built)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}

/// Of a resource that still has this version.
fn update_seen(update: UpdateBuilder, version: u64, condition: &str) -> Result<TransactWriteItem, Error> {
    actions::update(
        update
            .condition_expression(format!("#version = :seen AND {condition}"))
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":seen", number(version)),
    )
}
