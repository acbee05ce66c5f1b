//! A change of up to some 99 members: one transaction on the group and the
//! memberships.

use crate::scim::etag::Precondition;
use crate::scim::member::Member;
use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::Outcome;
use crate::store::error::Error;
use crate::store::group::change::Edits;
use crate::store::group::edits::joins;
use crate::store::resource::actions::{Joins, Revision, SEEN, UNMARKED, not_owned, taken};
use crate::store::resource::{Write, is_id};
use crate::store::table::keys::Key;
use crate::store::table::membership::{Membership, ResolvedMember, member_types};
use crate::store::table::resource_item::{ResourceItem, number};

impl Store {
    /// One member more or less, in one trip: the conditions tell what a read would.
    /// `false` if the group has to be looked at after all.
    pub(crate) async fn change_one(
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
        let mut seen = None;
        if let Precondition::OneOf(versions) = precondition {
            let [version] = versions.as_slice() else {
                return Ok(false);
            };
            seen = Some(version.0);
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
                let known = ResolvedMember { id: member.to_owned(), kind: kind.to_owned(), display };
                actions.push(self.put_membership(Membership::new(write.tenant, &key, known), &[])?);
                actions.push(self.check_there(Key::of_type(write.tenant, kind, member))?);
            }
        }
        match self.transact(actions, retry).await? {
            Outcome::Done => {
                write.note_changed(id, seen, write.kind.members.iter().cloned().collect());
                Ok(true)
            }
            Outcome::Failed { action: 0, old: None, .. } => Err(Error::NotFound),
            // The membership is already as it should be.
            Outcome::Failed { action: 1, others, .. } => Ok(others.is_empty()),
            Outcome::Failed { .. } => Ok(false),
        }
    }

    /// `false` if the group is no longer what was seen.
    pub(crate) async fn change_at_once(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        mut edits: Edits,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<bool, Error> {
        let aborted = seen.visibility.as_ref().map_or(&[][..], |visibility| visibility.aborted.as_slice());
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
                Outcome::Done => {
                    edits.note(write, seen, edits.exact);
                    return Ok(true);
                }
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
}
