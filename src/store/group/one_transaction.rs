//! A change of up to about 99 members: one transaction on the group and the memberships.

use crate::scim::etag::{Precondition, Version};
use crate::scim::member::Member;
use crate::store::dynamo::item::number;
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::group::change::VersionAfter;
use crate::store::group::planned_edits::{Edits, difference};
use crate::store::table::lock::UNLOCKED;
use crate::store::table::membership::{Membership, ResolvedMember, delete_membership, member_types};
use crate::store::table::pending_edit::{Attempt, PendingEdit};
use crate::store::table::resource_item::{ResourceItem, SEEN, is_id};

impl PendingEdit<'_> {
    /// Adds or removes one member by a blind write: the conditions tell what a read would.
    /// A conflict means that the group must be read after all.
    pub(crate) async fn change_one(
        &mut self,
        (member, added): (&str, Option<&Member>),
    ) -> Result<Attempt<VersionAfter>, Error> {
        let groups = self.writer.collection;
        let mut next = self
            .next_version()
            .and("attribute_exists(pk)")
            .and(UNLOCKED)
            // The conditions on a membership name the aborted changes, which only a read shows.
            .and("attribute_not_exists(roster.aborted)")
            .set("roster.members = roster.members + :members")
            .value(":members", number(if added.is_some() { 1 } else { -1 }));
        if added.is_some() {
            next = next.set("roster.grown = :now");
        }
        let mut observed = None;
        match self.precondition {
            Precondition::Exists => {}
            Precondition::OneOf(versions) if let [version] = versions.as_slice() => {
                observed = Some(version.0);
                next = next.and(SEEN).value(":seen", number(version.0));
            }
            Precondition::OneOf(_) | Precondition::NoneOf(_) => return Ok(Attempt::Conflict(None)),
        }
        // A client that names no type means a user.
        let mut kinds = member_types(groups.kind);
        let kind = match added {
            Some(Member { kind: Some(named), .. }) => kinds.find(|kind| kind.eq_ignore_ascii_case(named)),
            _ => kinds.next(),
        };
        // A group as a member needs a check for cycles.
        let Some(kind) = kind.filter(|kind| is_id(member) && *kind != groups.kind.name) else {
            return Ok(Attempt::Conflict(None));
        };
        let mut actions = vec![Action::Update(groups.key(self.id), next)];
        match added {
            None => actions.push(delete_membership(groups.membership_key(self.id, member), &[])),
            Some(added) => {
                let display = added.display.clone();
                let resolved = ResolvedMember { id: member.to_owned(), kind: kind.to_owned(), display };
                actions.push(Membership::new(groups, self.id, &resolved).put_action(&[])?);
                actions.push(Action::check_exists(groups.directory.resource_key(kind, member)));
            }
        }
        match groups.table().transact_with(actions, &mut self.retry).await? {
            Outcome::Applied => {
                let names = groups.kind.members.iter().cloned().collect();
                self.writer.record_changed(self.id, observed, names);
                let written = || VersionAfter::Written(self.write_id.clone());
                let version = observed.map(|seen| VersionAfter::Known(Version(seen).next()));
                Ok(Attempt::Applied(version.unwrap_or_else(written)))
            }
            Outcome::Failed(Failure { action: 0, current: None, .. }) => Err(Error::NotFound),
            // The membership alone failed: it is already as it should be, which is a no-op.
            Outcome::Failed(Failure { action: 1, others, .. }) if others.is_empty() => {
                let version = observed.map(|seen| VersionAfter::Known(Version(seen)));
                Ok(Attempt::Applied(version.unwrap_or(VersionAfter::Unchanged)))
            }
            // A lock, another version, or no member of that type: a read tells which.
            Outcome::Failed(_) => Ok(Attempt::Conflict(None)),
        }
    }

    /// Writes the edits of an observed group by one transaction.
    pub(crate) async fn change_at_once(
        &mut self,
        observed: &ResourceItem,
        edits: &mut Edits,
    ) -> Result<Attempt<()>, Error> {
        let groups = self.writer.collection;
        let aborted = observed.visibility().aborted.as_slice();
        loop {
            let members = difference(edits.added.len(), edits.removed.len());
            let mut actions = vec![self.group_action(observed, edits, members, UNLOCKED)?];
            if let Some(new) = &edits.attributes {
                actions.extend(new.rows.actions(self.id));
            }
            for member in &edits.added {
                actions.push(Membership::new(groups, self.id, member).put_action(aborted)?);
            }
            for (id, _) in &edits.removed {
                actions.push(delete_membership(groups.membership_key(self.id, id), aborted));
            }
            if let Some(nesting) = edits.nesting {
                actions.push(groups.directory.nest_action(nesting));
            }
            let failure = match groups.table().transact_with(actions, &mut self.retry).await? {
                Outcome::Applied => {
                    edits.record(self.writer, observed, edits.exact);
                    return Ok(Attempt::Applied(()));
                }
                Outcome::Failed(failure) => failure,
            };
            match &failure {
                Failure { action: 0, current: None, .. } => return Err(Error::NotFound),
                Failure { action: 0, .. } => return Ok(Attempt::Conflict(None)),
                _ => {}
            }
            let first = 1 + edits.rows();
            if let Some(new) = edits.attributes.as_mut().filter(|_| failure.action < first) {
                new.settle(&failure, 1)?;
                continue;
            }
            let failed: Vec<usize> = failure.places().collect();
            let is_nesting = |action: &usize| *action >= first + edits.moves();
            if edits.members.is_some() || failed.iter().any(is_nesting) {
                return Ok(Attempt::Conflict(None));
            }
            // The memberships that failed are already as they should be: the rest is sent
            // again without them. The condition on the group held, so an exact version is still
            // the observed one.
            let mut place = first;
            let mut holds = || {
                place += 1;
                !failed.contains(&(place - 1))
            };
            edits.added.retain(|_| holds());
            edits.removed.retain(|_| holds());
            if edits.is_empty() {
                return Ok(Attempt::Applied(()));
            }
        }
    }
}
