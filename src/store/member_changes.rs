//! Changing who is a member of a group: in one transaction, or as a staged
//! change where that would not hold it.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use serde_json::Value;

use super::Store;
use super::actions::{self, Joins, MARKED, Revision, SEEN, UNMARKED, not_owned, taken};
use super::error::Error;
use super::item::{Stored, attribute_value, number};
use super::keys::{IndexKeys, Key};
use super::members::{Known, Membership, member_types};
use super::nesting::Nesting;
use super::resources::{Apply, Write, checked_keys, is_id};
use super::retry::Retry;
use super::roster::{Roster, Tags};
use super::staged::MAX_STAGED;
use super::transaction::{self, Outcome};
use crate::scim::etag::{Precondition, Version};
use crate::scim::members::{Member, MemberChanges, Touched};
use crate::scim::policy::UnknownMembers;
use crate::scim::resource::{Attributes, Resource};

/// What DynamoDB takes in one transaction.
pub(super) const MAX_ACTIONS: usize = 100;

/// A change of a group's members, and of its own attributes with them.
pub struct MemberChange<'a> {
    /// As in [`super::Change`], where more than members can change. The members
    /// are among the attributes if it depends on them who comes or goes.
    pub apply: Option<Apply<'a>>,
    pub touched: &'a Touched,
}

/// What is to be written of a group that was seen.
pub(super) struct Edits {
    pub(super) puts: Vec<Known>,
    pub(super) deletes: Vec<(String, Tags)>,
    attributes: Option<Attributes>,
    /// Only right for the version that was seen.
    exact: bool,
    /// All members afterwards, where they are known.
    members: Option<Vec<Value>>,
    nesting: Option<Nesting>,
}

impl Store {
    /// The group afterwards with its members, where both are known without
    /// another read.
    pub async fn change_members(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        change: MemberChange<'_>,
    ) -> Result<Option<Resource>, Error> {
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let write_id = (self.ids)().to_string();
        let mut retry = Retry::new(&*self.dice);
        let changed = self.change_members_as(write, id, precondition, &change, &write_id, &mut retry).await;
        match changed {
            Err(error) => {
                let won = |there: Option<Stored>| there.filter(|there| there.is_by(&write_id)).map(|_| None);
                self.settle(error, write, id, won).await
            }
            changed => changed,
        }
    }

    async fn change_members_as(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        change: &MemberChange<'_>,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Option<Resource>, Error> {
        let mut known = None;
        if let Touched::Named(changes) = change.touched
            && !changes.cleared
        {
            if let Some((member, put)) = single(changes)
                && change.apply.is_none()
                && self.change_one(write, id, precondition, (member, put), write_id, retry).await?
            {
                return Ok(None);
            }
            known = Some(self.known(write, changes.named.values().flatten().cloned().collect()));
        }
        // Groups and users are read at the same time.
        let (mut seen, known) = match known {
            Some(known) => {
                let (seen, known) = tokio::try_join!(self.unmarked(write, id, retry), known)?;
                (seen, Some(known))
            }
            None => (self.unmarked(write, id, retry).await?, None),
        };
        loop {
            if !precondition.holds(Version(seen.version)) {
                return Err(Error::VersionMismatch);
            }
            let mut edits = self.edits(write, &seen, change, known.as_deref()).await?;
            edits.exact |= *precondition != Precondition::Exists || edits.attributes.is_some();
            if let Some(after) = self.carry_out(write, &seen, edits, write_id, retry).await? {
                return Ok(after);
            }
            if !retry.pause().await {
                return Err(Error::Busy { operation: transaction::OPERATION });
            }
            seen = self.unmarked(write, id, retry).await?;
            if seen.is_by(write_id) {
                return Ok(None);
            }
        }
    }

    /// `None` if the group is no longer what was seen.
    async fn carry_out(
        &self,
        write: Write<'_>,
        seen: &Stored,
        mut edits: Edits,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Option<Option<Resource>>, Error> {
        let members = usize::try_from(seen.roster.as_ref().map_or(0, |roster| roster.members));
        write.policy.mass_removal.check(edits.deletes.len(), members.unwrap_or(usize::MAX))?;
        let groups = || edits.puts.iter().filter(|known| known.kind == write.kind.name);
        if groups().next().is_some() {
            let groups = groups().map(|known| known.id.clone());
            edits.nesting = Some(self.check_nesting(write, &seen.sk, groups).await?);
        }
        let after = |seen: &Stored, edits: &Edits, version: u64| {
            let members = edits.members.clone()?;
            let mut after = Stored { version, ..seen.clone() };
            if let Some(attributes) = &edits.attributes {
                after.resource.clone_from(attributes);
            }
            if version != seen.version {
                after.modified = write.now;
            }
            if let Some(name) = write.kind.members.as_ref().filter(|_| !members.is_empty()) {
                after.resource.insert(name.clone(), members.into());
            }
            Some(after.into_resource())
        };
        if edits.puts.is_empty() && edits.deletes.is_empty() && edits.attributes.is_none() {
            return Ok(Some(after(seen, &edits, seen.version)));
        }
        let changed = after(seen, &edits, seen.version + 1);
        let moves = edits.puts.len() + edits.deletes.len();
        let (rows, _) = self.moved_rows(write, seen, &edits)?;
        let done = if 1 + rows.len() + moves + usize::from(edits.nesting.is_some()) <= MAX_ACTIONS {
            self.change_at_once(write, seen, edits, write_id, retry).await?
        } else if moves > MAX_STAGED {
            return Err(Error::TooManyChanges { changes: moves });
        } else {
            self.change_staged(write, seen, &edits, write_id, retry).await?
        };
        Ok(done.then_some(changed))
    }

    /// One member more or less, in one trip: the conditions tell what a read would.
    /// `false` if the group has to be looked at after all.
    async fn change_one(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        (member, put): (&str, Option<&Member>),
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<bool, Error> {
        let mut conditions = vec!["attribute_exists(pk)", UNMARKED, "attribute_not_exists(roster.aborted)"];
        let mut values = Vec::new();
        if let Precondition::OneOf(versions) = precondition {
            let [version] = versions.as_slice() else {
                return Ok(false);
            };
            conditions.push(SEEN);
            values.push((":seen".to_owned(), number(version.0)));
        }
        // A client that says nothing means a user.
        let mut kinds = member_types(write.kind);
        let kind = match put {
            Some(Member { kind: Some(named), .. }) => kinds.find(|kind| kind.eq_ignore_ascii_case(named)),
            _ => kinds.next(),
        };
        let Some(kind) = kind.filter(|kind| is_id(member) && *kind != write.kind.name) else {
            return Ok(false);
        };
        let key = Key::resource(write.tenant, write.kind, id);
        let joins = Joins { members: if put.is_some() { 1 } else { -1 }, nest: false };
        let mut actions = vec![self.update_resource(Revision {
            write,
            id,
            write_id,
            attributes: None,
            joins: Some(joins),
            conditions: &conditions,
            values,
        })?];
        match put {
            None => {
                actions.push(self.delete_membership(Key::member(write.tenant, write.kind, id, member), &[])?);
            }
            Some(put) => {
                let display = put.display.clone();
                let known = Known { id: member.to_owned(), kind: kind.to_owned(), display };
                actions.push(self.put_membership(Membership::new(write.tenant, &key, known), &[])?);
                actions.push(self.check_there(Key::of_type(write.tenant, kind, member))?);
            }
        }
        match self.transact(actions, retry).await? {
            Outcome::Done => Ok(true),
            Outcome::Failed { action: 0, old: None, .. } => Err(Error::NotFound),
            // The membership is already as it should be.
            Outcome::Failed { action: 1, others, .. } => Ok(others.is_empty()),
            Outcome::Failed { .. } => Ok(false),
        }
    }

    /// Whoever is to be added, with his type.
    pub(super) async fn known(&self, write: Write<'_>, members: Vec<Member>) -> Result<Vec<Known>, Error> {
        let (mut known, missing) = self.find_members(write.tenant, write.kind, members).await?;
        match (write.policy.unknown_members, missing.first()) {
            (_, None) => {}
            (UnknownMembers::Refuse, Some(_)) => {
                return Err(Error::UnknownMembers {
                    ids: missing.into_iter().map(|member| member.id).collect(),
                });
            }
            (UnknownMembers::Accept, Some(_)) => known.extend(missing.into_iter().map(|member| {
                let named =
                    |kind: &&str| member.kind.as_ref().is_some_and(|named| named.eq_ignore_ascii_case(kind));
                let kind = member_types(write.kind).find(named).or(member_types(write.kind).next());
                Known { kind: kind.unwrap_or_default().to_owned(), id: member.id, display: member.display }
            })),
        }
        Ok(known)
    }

    async fn edits(
        &self,
        write: Write<'_>,
        seen: &Stored,
        change: &MemberChange<'_>,
        known: Option<&[Known]>,
    ) -> Result<Edits, Error> {
        if let (Touched::Named(changes), Some(known)) = (change.touched, known) {
            let gone = changes.named.iter().filter(|(_, member)| member.is_none());
            let deletes = gone.map(|(id, _)| (id.clone(), Tags::default())).collect::<Vec<_>>();
            let mut edits = Edits {
                puts: known.to_vec(),
                deletes,
                attributes: change.applied(&seen.resource)?,
                exact: false,
                members: None,
                nesting: None,
            };
            if edits.puts.len() + edits.deletes.len() >= MAX_ACTIONS {
                self.find_tags(write, seen, &mut edits.deletes).await?;
            }
            return Ok(edits);
        }
        let roster = seen.roster.clone().unwrap_or_default();
        let there = self.memberships(write.tenant, write.kind, &seen.sk, &roster).await?;
        let name = write.kind.members.clone().unwrap_or_default();
        let (wanted, attributes) = match change.touched {
            Touched::Named(changes) => (changes.clone(), change.applied(&seen.resource)?),
            Touched::Nothing | Touched::Any => {
                let elements: Vec<Value> = there.iter().cloned().map(Membership::into_element).collect();
                let mut before = seen.resource.clone();
                if !elements.is_empty() {
                    before.insert(name.clone(), elements.clone().into());
                }
                let mut after = change.applied(&before)?.unwrap_or(before);
                let elements = after.shift_remove(&name);
                let members = elements.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let members = members.iter().map(Member::read).collect::<Result<Vec<_>, _>>()?;
                (MemberChanges::only(members), (after != seen.resource).then_some(after))
            }
        };
        let is_wanted = |id: &String| wanted.named.get(id).is_some_and(Option::is_some);
        let new = wanted.named.iter().filter_map(|(id, member)| {
            let is_new = there.binary_search_by(|membership| membership.sk.cmp(id)).is_err();
            member.clone().filter(|_| is_new)
        });
        let puts = self.known(write, new.collect()).await?;
        let (stay, go): (Vec<Membership>, Vec<Membership>) =
            there.into_iter().partition(|membership| is_wanted(&membership.sk));
        let members =
            stay.into_iter().map(Membership::into_element).chain(puts.iter().map(Known::to_element));
        Ok(Edits {
            members: Some(members.collect()),
            deletes: go.into_iter().map(|gone| (gone.sk.clone(), gone.tags())).collect(),
            puts,
            attributes,
            exact: true,
            nesting: None,
        })
    }

    /// The tags of memberships that are to go; without those that do not count.
    async fn find_tags(
        &self,
        write: Write<'_>,
        seen: &Stored,
        deletes: &mut Vec<(String, Tags)>,
    ) -> Result<(), Error> {
        let roster = seen.roster.clone().unwrap_or_default();
        let keys = deletes.drain(..).map(|(id, _)| Key::member(write.tenant, write.kind, &seen.sk, &id));
        for item in self.items(keys.collect()).await?.into_values() {
            let membership = Membership::read(item)?;
            if roster.shows(membership.tags()) {
                deletes.push((membership.sk.clone(), membership.tags()));
            }
        }
        Ok(())
    }

    /// `false` if the group is no longer what was seen.
    async fn change_at_once(
        &self,
        write: Write<'_>,
        seen: &Stored,
        mut edits: Edits,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<bool, Error> {
        let aborted = seen.roster.as_ref().map_or(&[][..], |roster| roster.aborted.as_slice());
        let group = Key::resource(write.tenant, write.kind, &seen.sk);
        loop {
            let (rows, gained) = self.moved_rows(write, seen, &edits)?;
            let mut actions =
                vec![self.revision(write, seen, &edits, joins(write, &edits), write_id, UNMARKED)?];
            actions.extend(rows.clone());
            for known in &edits.puts {
                let membership = Membership::new(write.tenant, &group, known.clone());
                actions.push(self.put_membership(membership, aborted)?);
            }
            for (id, _) in &edits.deletes {
                actions.push(
                    self.delete_membership(Key::member(write.tenant, write.kind, &seen.sk, id), aborted)?,
                );
            }
            if let Some(nesting) = edits.nesting {
                actions.push(self.nest(write.tenant, nesting)?);
            }
            let first = 1 + rows.len();
            let (failed, old) = match self.transact(actions, retry).await? {
                Outcome::Done => return Ok(true),
                Outcome::Failed { action: 0, old: None, .. } => return Err(Error::NotFound),
                Outcome::Failed { action: 0, .. } => return Ok(false),
                Outcome::Failed { action, old, others } => ([vec![action], others].concat(), old),
            };
            if let Some(action) = failed.iter().find(|action| **action < first) {
                return Err(match gained.unique.len() {
                    unique if *action <= unique => taken(write.kind, &gained, *action, old.as_ref()),
                    _ => not_owned(*action),
                });
            }
            if edits.exact
                || failed.iter().any(|action| *action >= first + edits.puts.len() + edits.deletes.len())
            {
                return Ok(false);
            }
            // Those memberships are already as they should be.
            let mut place = first;
            let mut holds = || {
                place += 1;
                !failed.contains(&(place - 1))
            };
            edits.puts.retain(|_| holds());
            edits.deletes.retain(|_| holds());
            if edits.puts.is_empty() && edits.deletes.is_empty() {
                return Ok(true);
            }
        }
    }

    async fn change_staged(
        &self,
        write: Write<'_>,
        seen: &Stored,
        edits: &Edits,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<bool, Error> {
        let group = Key::resource(write.tenant, write.kind, &seen.sk);
        let only_job = self.put_staged(write, &seen.sk).await?;
        let Some(roster) = self.mark(write, seen, write_id).await? else {
            return Ok(false);
        };
        let committed = match self.stage(&group, write, &roster, edits, retry).await {
            Ok(moved) if moved.added + moved.removed == 0 && edits.attributes.is_none() => {
                return self.abort(group, &roster).await.map(|_| true);
            }
            Ok(moved) => {
                let nest = joins(write, edits).nest;
                let count = |members: usize| i64::try_from(members).unwrap_or(i64::MAX);
                let joins = Joins { members: count(moved.added) - count(moved.removed), nest };
                self.commit(write, seen, edits, joins, write_id, retry).await
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok(true) => {
                if only_job
                    && edits.deletes.is_empty()
                    && roster.aborted.is_empty()
                    && let Err(error) = self.drop_staged(write, &seen.sk).await
                {
                    tracing::warn!(%error, "a job that has nothing to do is left to the sweep");
                }
                Ok(true)
            }
            // Nobody should have to wait for the lease to end.
            failed => {
                if let Err(error) = self.abort(group, &roster).await {
                    tracing::warn!(%error, "a staged change is left to its lease");
                }
                failed
            }
        }
    }

    async fn commit(
        &self,
        write: Write<'_>,
        seen: &Stored,
        edits: &Edits,
        joins: Joins,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<bool, Error> {
        let (rows, gained) = self.moved_rows(write, seen, edits)?;
        let mut actions = vec![self.revision(write, seen, edits, joins, write_id, MARKED)?];
        let first = 1 + rows.len();
        actions.extend(rows);
        if let Some(nesting) = edits.nesting {
            actions.push(self.nest(write.tenant, nesting)?);
        }
        match self.transact(actions, retry).await? {
            Outcome::Done => Ok(true),
            Outcome::Failed { action: 0, old: None, .. } => Err(Error::NotFound),
            Outcome::Failed { action, old, .. } if (1..first).contains(&action) => {
                Err(match gained.unique.len() {
                    unique if action <= unique => taken(write.kind, &gained, action, old.as_ref()),
                    _ => not_owned(action),
                })
            }
            Outcome::Failed { .. } => Ok(false),
        }
    }

    fn revision(
        &self,
        write: Write<'_>,
        seen: &Stored,
        edits: &Edits,
        joins: Joins,
        write_id: &str,
        mark: &str,
    ) -> Result<TransactWriteItem, Error> {
        let mut conditions = vec!["attribute_exists(pk)", mark];
        let mut values = Vec::new();
        let aborted = seen.roster.as_ref().map_or(&[][..], |roster| roster.aborted.as_slice());
        if aborted.is_empty() {
            conditions.push("attribute_not_exists(roster.aborted)");
        } else {
            conditions.push("roster.aborted = :aborted");
            values.push((":aborted".to_owned(), attribute_value(transaction::OPERATION, &aborted)?));
        }
        if edits.exact {
            conditions.push(SEEN);
            values.push((":seen".to_owned(), number(seen.version)));
        }
        let attributes = match &edits.attributes {
            Some(attributes) => Some((attributes, checked_keys(write, &seen.sk, attributes)?.digest())),
            None => None,
        };
        let id = &seen.sk;
        self.update_resource(Revision {
            write,
            id,
            write_id,
            attributes,
            joins: Some(joins),
            conditions: &conditions,
            values,
        })
    }

    /// The rows that change with the group's own attributes, and which it gains.
    fn moved_rows(
        &self,
        write: Write<'_>,
        seen: &Stored,
        edits: &Edits,
    ) -> Result<(Vec<TransactWriteItem>, IndexKeys), Error> {
        let Some(attributes) = &edits.attributes else {
            return Ok((Vec::new(), IndexKeys::default()));
        };
        let new = checked_keys(write, &seen.sk, attributes)?;
        let old = IndexKeys::of(write.tenant, write.kind, &seen.sk, &seen.resource);
        let gained = new.without(&old);
        let mut rows = self.put_rows(&gained, &seen.sk)?;
        rows.extend(self.delete_rows(&old.without(&new), &seen.sk)?);
        Ok((rows, gained))
    }

    /// Holds if the membership is not there, or does not count.
    pub(super) fn put_membership(
        &self,
        membership: Membership,
        aborted: &[u64],
    ) -> Result<TransactWriteItem, Error> {
        let (dead, values) = dead(aborted);
        let mut put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(membership.into_item()?))
            .condition_expression(format!("attribute_not_exists(pk) OR {dead}"));
        for (name, value) in values {
            put = put.expression_attribute_values(name, value);
        }
        actions::put(put)
    }

    fn delete_membership(&self, key: Key, aborted: &[u64]) -> Result<TransactWriteItem, Error> {
        let (dead, values) = dead(aborted);
        let mut delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression(format!("attribute_exists(pk) AND NOT ({dead})"));
        for (name, value) in values {
            delete = delete.expression_attribute_values(name, value);
        }
        actions::delete(delete)
    }

    pub(super) fn check_there(&self, key: Key) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(actions::built)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// A group that no staged change has a hold of. One that is past its lease is
    /// aborted.
    pub(super) async fn unmarked(
        &self,
        write: Write<'_>,
        id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Stored, Error> {
        loop {
            let key = Key::resource(write.tenant, write.kind, id);
            let seen = self.read(key.clone()).await?.ok_or(Error::NotFound)?;
            let Some(Roster { staged: Some(staged), .. }) = &seen.roster else {
                return Ok(seen);
            };
            if staged.until <= write.now {
                self.abort(key, &seen.roster.clone().unwrap_or_default()).await?;
            } else if !retry.pause().await {
                return Err(Error::Busy { operation: "GetItem" });
            }
        }
    }
}

impl MemberChange<'_> {
    fn applied(&self, attributes: &Attributes) -> Result<Option<Attributes>, Error> {
        Ok(self.apply.map_or(Ok(None), |apply| apply(attributes))?)
    }
}

impl Known {
    pub(super) fn to_element(&self) -> Value {
        let Self { id, kind, display } = self.clone();
        Member { id, kind: Some(kind), display }.into_element()
    }
}

fn joins(write: Write<'_>, edits: &Edits) -> Joins {
    let count = |members: usize| i64::try_from(members).unwrap_or(i64::MAX);
    Joins {
        members: count(edits.puts.len()) - count(edits.deletes.len()),
        nest: edits.puts.iter().any(|known| known.kind == write.kind.name),
    }
}

fn single(changes: &MemberChanges) -> Option<(&str, Option<&Member>)> {
    match changes.named.iter().collect::<Vec<_>>().as_slice() {
        [(id, member)] => Some((id, member.as_ref())),
        _ => None,
    }
}

/// Holds for a membership that does not count under a group that has no mark and
/// these aborted changes.
fn dead(aborted: &[u64]) -> (String, Vec<(String, AttributeValue)>) {
    if aborted.is_empty() {
        return ("attribute_exists(removed_by)".to_owned(), Vec::new());
    }
    let values: Vec<(String, AttributeValue)> =
        aborted.iter().enumerate().map(|(n, epoch)| (format!(":x{n}"), number(*epoch))).collect();
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    let list = names.join(", ");
    (format!("(attribute_exists(removed_by) AND NOT removed_by IN ({list})) OR added_by IN ({list})"), values)
}
