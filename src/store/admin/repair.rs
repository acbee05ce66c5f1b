//! The transaction that repairs a finding. It holds only if the items that the finding
//! was concluded from are still the same, so a repair never races with a request.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::store::admin::part::{CheckedResource, Partitions};
use crate::store::admin::snapshot::Snapshot;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, number, text};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::table::directory::Directory;
use crate::store::table::job::{Job, Work};
use crate::store::table::keys::{listed_tenant, stripe_of};
use crate::store::table::lock::UNLOCKED;
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::SEEN;
use crate::store::table::visibility::{Tags, Visibility};

type Actions = Result<Vec<Action>, Error>;

/// Makes repairs of one tenant from a snapshot of it.
#[derive(Clone, Copy)]
pub(crate) struct Repair<'a> {
    pub(crate) directory: Directory<'a>,
    pub(crate) partitions: &'a Partitions<'a>,
    pub(crate) seen: &'a Snapshot,
    pub(crate) now: Timestamp,
}

/// Holds where a resource still has the version that was seen.
fn has_version(version: u64) -> Expression {
    Expression::when(SEEN).value(":seen", number(version))
}

/// Checks that a resource still has the version that was seen, or is still missing.
fn check_unchanged(key: Key, version: Option<u64>) -> Action {
    match version {
        Some(version) => Action::Check(key, has_version(version)),
        None => Action::check_absent(key),
    }
}

impl Repair<'_> {
    pub(crate) fn list_tenant(self) -> Vec<Action> {
        // An erasure in between would leave a listed name under which no tenant can be created.
        let row = listed_tenant(self.directory.tenant).into_item();
        vec![Action::check_exists(self.directory.tenant_key()), Action::Put(row, Expression::default())]
    }

    pub(crate) fn digest(resource: &CheckedResource) -> Vec<Action> {
        let set = has_version(resource.version)
            .set("index_digest = :digest")
            .value(":digest", text(resource.rows.digest()));
        vec![Action::Update(resource.key.clone(), set)]
    }

    /// Puts a missing row of `resource`.
    pub(crate) fn put_row(
        self,
        key: &Key,
        resource: &CheckedResource,
        owner: Option<&String>,
    ) -> Vec<Action> {
        let is = self.seen.rows.get(key);
        // The row follows from the attributes, and no attribute changes without the version.
        let mut repair = vec![check_unchanged(resource.key.clone(), Some(resource.version))];
        let mut checked = BTreeSet::from([resource.key.clone()]);
        repair.extend(self.check_previous(key, is, &mut checked));
        let mut item = key.clone().into_item();
        item.extend(owner.map(|owner| ("owner".to_owned(), text(owner.as_str()))));
        repair.push(Action::Put(item, is_row(is)));
        repair
    }

    /// Deletes a row of no resource.
    pub(crate) fn delete_row(self, key: &Key) -> Vec<Action> {
        let is = self.seen.rows.get(key);
        // A look-up row is put without a condition, so its resource may have taken the value since
        // then, and the row looks the same.
        let mut repair: Vec<Action> =
            self.check_previous(key, is, &mut BTreeSet::new()).into_iter().collect();
        repair.push(Action::Delete(key.clone(), is_row(is)));
        repair
    }

    /// Checks that the resource whose row this was is unchanged. A transaction must not name
    /// an item twice.
    fn check_previous(
        self,
        key: &Key,
        is: Option<&Option<String>>,
        checked: &mut BTreeSet<Key>,
    ) -> Option<Action> {
        let resource = self.partitions.resource_of(key, is?.as_deref())?;
        let seen = self.seen.resources.get(&resource);
        checked.insert(resource.clone()).then(|| check_unchanged(resource, seen.map(|seen| seen.version)))
    }

    pub(crate) fn counter(self, (key, name): &(Key, String), real: i64) -> Vec<Action> {
        let set = Expression::default()
            .set("#counter = :real")
            .name("#counter", name.as_str())
            .value(":real", number(real));
        // A creation or deletion after the look changes the counter, so its value is condition
        // enough: the resources that were counted need not be checked one by one.
        let seen = self.seen.census.get(&(key.clone(), name.clone()));
        let set = match seen {
            Some(counted) => set.and("#counter = :counted").value(":counted", number(*counted)),
            None => set.and("attribute_not_exists(#counter)"),
        };
        vec![Action::Update(key.clone(), set)]
    }

    pub(crate) fn member_partition(self, membership: &Membership) -> Vec<Action> {
        let set = Expression::when("member_pk = :is")
            .set("member_pk = :expected")
            .value(":expected", text(self.directory.member_partition(&membership.sk)))
            .value(":is", text(membership.member_pk.as_str()));
        vec![Action::Update(membership.key(), set)]
    }

    /// Corrects the number of members of a group, and whether it has groups as members.
    /// Under a lock the number is corrected when the staged change is over.
    pub(crate) fn members(
        group: &CheckedResource,
        visibility: &Visibility,
        (counted, nests): (u64, bool),
    ) -> Actions {
        if visibility.staged.is_some() {
            return Ok(Vec::new());
        }
        let set = has_version(group.version)
            .and("roster.members = :members")
            // A lock and an abort keep the version, but a lock takes the next number.
            .and("roster.epoch = :epoch")
            .and(UNLOCKED)
            .set("roster.members = :counted")
            .set("roster.nests = :nests")
            .value(":counted", number(counted))
            .value(":nests", crate::store::dynamo::item::value(&nests)?)
            .value(":members", number(visibility.members))
            .value(":epoch", number(visibility.epoch));
        Ok(vec![Action::Update(group.key.clone(), set)])
    }

    /// Puts the job that removes a missing resource from all groups.
    pub(crate) fn leave(self, kind: &str, id: &str) -> Actions {
        let gone = Action::check_absent(self.directory.resource_key(kind, id));
        Ok(vec![gone, self.put_job(Work::Departed(id), kind)?])
    }

    /// Puts the job that deletes the memberships which a staged change has left.
    pub(crate) fn clean(self, group: &CheckedResource) -> Actions {
        let unchanged = check_unchanged(group.key.clone(), Some(group.version));
        let epoch = Visibility::of(group.visibility.as_ref()).epoch;
        Ok(vec![unchanged, self.put_job(Work::Staged(&group.key.sk, epoch), &group.kind.name)?])
    }

    fn put_job(self, work: Work<'_>, kind: &str) -> Result<Action, Error> {
        // Due at once: requests put their jobs with or before their writes, so no request that
        // is still running has left this behind.
        Job::new(self.directory, work, kind, self.now).put_action()
    }

    /// Undoes the tags of a change that never began: an added membership goes, a removed
    /// one stays.
    pub(crate) fn untag(group: &CheckedResource, membership: &Membership) -> Vec<Action> {
        let Tags { added_by, removed_by } = membership.tags();
        let epoch = group.visibility.as_ref().map(|visibility| visibility.epoch);
        // `None`, for no tag, is less than every number.
        let repair = if added_by > epoch {
            let tag = number(added_by.unwrap_or_default());
            Action::Delete(membership.key(), Expression::when("added_by = :tag").value(":tag", tag))
        } else {
            let tag = number(removed_by.unwrap_or_default());
            let untag = Expression::when("removed_by = :tag").remove("removed_by").value(":tag", tag);
            Action::Update(membership.key(), untag)
        };
        // A staged change takes the next number without a new version: the tag may be its own.
        let unchanged = has_version(group.version);
        let unchanged = match epoch {
            Some(epoch) => unchanged.and("roster.epoch = :epoch").value(":epoch", number(epoch)),
            None => unchanged.and("attribute_not_exists(roster)"),
        };
        vec![Action::Check(group.key.clone(), unchanged), repair]
    }

    /// Puts a resource into its partition of the index `changes`.
    pub(crate) fn changes(self, resource: &CheckedResource) -> Vec<Action> {
        let Key { sk, .. } = &resource.key;
        let partition = self.directory.collection(&resource.kind).changes_partition(stripe_of(sk));
        let set =
            has_version(resource.version).set("change_pk = :change_pk").value(":change_pk", text(partition));
        vec![Action::Update(resource.key.clone(), set)]
    }

    /// Puts a job into the index of due jobs.
    pub(crate) fn index_job(self, job: &Job, work: Work<'_>) -> Actions {
        let Job { change_pk, hour, .. } = Job::new(self.directory, work, &job.kind, job.due);
        let set = job.is_unchanged()?.set("change_pk = :change_pk").set("#hour = :hour");
        let set = set.value(":change_pk", text(change_pk)).value(":hour", text(hour));
        Ok(vec![Action::Update(job.key(), set)])
    }

    /// Ends a job that must not be done.
    pub(crate) fn end_job(self, job: &Job, existing: Option<&str>) -> Actions {
        // A resource that was deleted since then needs the job.
        let exists = existing.map(|id| Action::check_exists(self.directory.resource_key(&job.kind, id)));
        let end = Action::Delete(job.key(), job.is_unchanged()?);
        Ok(exists.into_iter().chain([end]).collect())
    }
}

/// Holds where a row is still as it was seen: missing, of no owner, or of this owner.
fn is_row(is: Option<&Option<String>>) -> Expression {
    match is {
        None => Expression::when("attribute_not_exists(pk)"),
        // Holds for a missing row, too: deleting it is a no-op, and putting it is the repair.
        Some(None) => Expression::when("attribute_not_exists(#owner)"),
        Some(Some(owner)) => Expression::when("#owner = :owner").value(":owner", text(owner.as_str())),
    }
}
