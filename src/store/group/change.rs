//! Changing the members of a group, in one transaction or as a staged change.

use std::sync::Arc;

use serde_json::Value;

use crate::scim::error::Result as ScimResult;
use crate::scim::etag::{Precondition, Version};
use crate::scim::member::{Member, MemberChanges, Touched};
use crate::scim::policy::GroupCycles;
use crate::scim::resource::{Attributes, Resource};
use crate::store::dynamo::item::{Key, read};
use crate::store::error::Error;
use crate::store::group::planned_edits::Edits;
use crate::store::limits::{MAX_ACTIONS, MAX_MEMBERS_READ, MAX_STAGED};
use crate::store::table::directory::Collection;
use crate::store::table::index_rows::NewAttributes;
use crate::store::table::membership::{Membership, ResolvedMember};
use crate::store::table::pending_edit::{Attempt, Edit, PendingEdit};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Tags;
use crate::store::table::write_context::Writer;

/// Returns the attributes after a change; `None` if nothing changes. It is called again
/// for each state that the resource is observed in.
pub type Apply<'a> = &'a (dyn Fn(&Attributes) -> ScimResult<Option<Attributes>> + Sync);

/// A group after a change of its members.
pub enum ChangedGroup {
    /// The group with its members.
    Known(Box<Resource>),
    /// The change needed no read of all members.
    Unread(VersionAfter),
}

/// The version of a group after a change of its members.
pub enum VersionAfter {
    Known(Version),
    /// A write that named no version was applied under this write id.
    Written(String),
    /// The change was a no-op, of a group that was not read.
    Unchanged,
}

impl Collection<'_> {
    /// Returns the version of a group after a change, by a read if the change does not tell
    /// it; `None` if other changes have followed.
    pub async fn version_after(self, id: &str, change: VersionAfter) -> Result<Option<Version>, Error> {
        if let VersionAfter::Known(version) = change {
            return Ok(Some(version));
        }
        let Some(current) = self.observe(id).await? else {
            return Ok(None);
        };
        // Never a later version: with it in `If-Match`, the client would undo changes that it
        // does not know of.
        Ok(match change {
            VersionAfter::Written(write_id) => current.version_of(&write_id),
            VersionAfter::Known(_) | VersionAfter::Unchanged => Some(Version(current.version)),
        })
    }
}

/// A change of a group's members, and of its own attributes with them.
pub struct MemberChange<'a> {
    /// The change of the attributes, if more than members can change. The members are
    /// among the attributes if the change depends on the present members.
    pub apply: Option<Apply<'a>>,
    pub touched: &'a Touched,
}

impl Writer<'_> {
    /// Changes the members of a group.
    pub async fn change_members(
        self,
        id: &str,
        precondition: &Precondition,
        change: MemberChange<'_>,
    ) -> Result<ChangedGroup, Error> {
        let mut edit = self.edit(id, precondition)?;
        let mut observed = None;
        let mut members = MembersEdit { change: &change, resolved: None };
        if let Touched::Named(changes) = change.touched
            && !changes.cleared
        {
            if let (Some(single), None) = (single(changes), change.apply) {
                match edit.change_one(single).await {
                    Ok(Attempt::Applied(version)) => return Ok(ChangedGroup::Unread(version)),
                    Ok(Attempt::Conflict(_)) => {}
                    Err(error) => return edit.resolve_ambiguous(error, &members).await,
                }
            }
            let resolved = self.resolve(changes.named.values().flatten().cloned().collect());
            let (group, resolved) = tokio::try_join!(edit.observe_unlocked(), resolved)?;
            observed = Some(Box::new(group));
            members.resolved = Some(resolved);
        }
        Box::pin(edit.read_modify_write(observed, &members)).await
    }
}

/// A change of members, with the members to add if the change names them all.
struct MembersEdit<'a> {
    change: &'a MemberChange<'a>,
    resolved: Option<Vec<ResolvedMember>>,
}

impl Edit for MembersEdit<'_> {
    type Done = ChangedGroup;

    async fn attempt(
        &self,
        edit: &mut PendingEdit<'_>,
        observed: ResourceItem,
    ) -> Result<Attempt<ChangedGroup>, Error> {
        let edits = edit.edits(&observed, self.change, self.resolved.as_deref()).await?;
        edit.carry_out(&observed, edits).await
    }

    fn resolve(&self, edit: &PendingEdit<'_>, current: Option<ResourceItem>) -> Option<ChangedGroup> {
        let current = current.filter(|current| current.is_by(&edit.write_id))?;
        edit.writer.record_found(&current, &edit.write_id);
        let version = current.version_of(&edit.write_id)?;
        Some(ChangedGroup::Unread(VersionAfter::Known(version)))
    }
}

impl PendingEdit<'_> {
    async fn carry_out(
        &mut self,
        observed: &ResourceItem,
        mut edits: Edits,
    ) -> Result<Attempt<ChangedGroup>, Error> {
        let Writer { collection, context } = self.writer;
        let members = usize::try_from(observed.visibility().members);
        context.policy.mass_removal.check(edits.removed.len(), members.unwrap_or(usize::MAX))?;
        let is_group = |member: &&ResolvedMember| member.kind == collection.kind.name;
        let groups: Vec<String> = edits.added.iter().filter(is_group).map(|group| group.id.clone()).collect();
        if context.policy.group_cycles == GroupCycles::Refuse && !groups.is_empty() {
            edits.nesting = Some(collection.check_cycles(&observed.sk, groups).await?);
        }
        let after = edits.after(self.writer, observed).map(|group| ChangedGroup::Known(Box::new(group)));
        let unread = |version| ChangedGroup::Unread(VersionAfter::Known(version));
        let seen = Version(observed.version);
        if edits.is_empty() {
            // Adding a value that exists changes nothing, not even `meta` (RFC 7644 s3.5.2.1).
            return Ok(Attempt::Applied(after.unwrap_or_else(|| unread(seen))));
        }
        let actions = 1 + edits.rows() + edits.moves() + usize::from(edits.nesting.is_some());
        let attempt = if actions <= MAX_ACTIONS {
            self.change_at_once(observed, &mut edits).await?
        } else if edits.moves() > MAX_STAGED {
            return Err(Error::TooManyChanges { changes: edits.moves() });
        } else {
            self.change_staged(observed, &mut edits).await?
        };
        Ok(match (attempt, after) {
            (Attempt::Conflict(current), _) => Attempt::Conflict(current),
            (Attempt::Applied(()), Some(after)) => Attempt::Applied(after),
            (Attempt::Applied(()), None) => Attempt::Applied(match (edits.exact, edits.is_empty()) {
                (true, false) => unread(seen.next()),
                // The members were as they should be.
                (true, true) => unread(seen),
                (false, true) => ChangedGroup::Unread(VersionAfter::Unchanged),
                (false, false) => ChangedGroup::Unread(VersionAfter::Written(self.write_id.clone())),
            }),
        })
    }

    /// Decides what to write of an observed group. `resolved` are the members to add, if the
    /// change names them all.
    async fn edits(
        &self,
        observed: &ResourceItem,
        change: &MemberChange<'_>,
        resolved: Option<&[ResolvedMember]>,
    ) -> Result<Edits, Error> {
        let mut edits = match (change.touched, resolved) {
            (Touched::Named(changes), Some(resolved)) => {
                self.named_edits(observed, change, (changes, resolved)).await?
            }
            _ => self.compared_edits(observed, change).await?,
        };
        // Named members commute: without `If-Match` no version is demanded, so concurrent
        // changes of different members do not fail each other.
        edits.exact |= *self.precondition != Precondition::Exists || edits.attributes.is_some();
        Ok(edits)
    }

    /// Decides the edits of a change that names each member: the others need not be read.
    async fn named_edits(
        &self,
        observed: &ResourceItem,
        change: &MemberChange<'_>,
        (changes, resolved): (&MemberChanges, &[ResolvedMember]),
    ) -> Result<Edits, Error> {
        let gone = changes.named.iter().filter(|(_, member)| member.is_none());
        let mut edits = Edits {
            added: resolved.to_vec(),
            // No tags are the usual case. A staged removal that meets others reads them and is
            // sent again.
            removed: gone.map(|(id, _)| (id.clone(), Tags::default())).collect(),
            attributes: self.new_attributes(change, observed, &observed.resource)?,
            exact: false,
            members: None,
            nesting: None,
            _room: None,
        };
        // A limit on removals counts members, not ids that a client names.
        let is_limited = edits.removed.len() > 1 && self.writer.context.policy.mass_removal.is_limited();
        if is_limited || edits.moves() >= MAX_ACTIONS {
            // A member that is added after this read would escape the removal, so the version
            // must be the observed one.
            edits.exact = !edits.removed.is_empty();
            edits.removed = self.existing_members(observed, edits.removed).await?;
        }
        Ok(edits)
    }

    /// Decides the edits of a change that depends on the present members: reads them all.
    async fn compared_edits(
        &self,
        observed: &ResourceItem,
        change: &MemberChange<'_>,
    ) -> Result<Edits, Error> {
        let collection = self.writer.collection;
        let visibility = observed.visibility();
        let room = visibility.members.min(MAX_MEMBERS_READ).try_into().unwrap_or(u32::MAX);
        let room = Arc::clone(&collection.table().members).acquire_many_owned(room).await;
        let room = room.map_err(|error| Error::fault("members", error.to_string()))?;
        let present = collection.memberships(&observed.sk, visibility).await?;
        let (wanted, attributes) = match change.touched {
            Touched::Named(changes) => {
                (changes.clone(), self.new_attributes(change, observed, &observed.resource)?)
            }
            Touched::Nothing | Touched::Any(_) => {
                let name = collection.kind.members.clone().unwrap_or_default();
                let mut elements: Vec<Value> =
                    present.iter().cloned().map(Membership::into_element).collect();
                if let Touched::Any(added) = change.touched {
                    // As if they were present: a filter on the type of a member matches those,
                    // too, that an earlier operation has added.
                    let is_new = |member: &&Member| {
                        present.binary_search_by(|membership| membership.sk.cmp(&member.id)).is_err()
                    };
                    let added = added.iter().filter(is_new).cloned().collect();
                    let (found, _) = collection.find_members(added).await?;
                    elements.extend(found.iter().map(ResolvedMember::to_element));
                }
                let mut before = observed.resource.clone();
                if !elements.is_empty() {
                    before.insert(name.clone(), elements.into());
                }
                let applied = change.apply.map_or(Ok(None), |apply| apply(&before))?;
                let mut after = applied.unwrap_or(before);
                let elements = after.shift_remove(&name);
                let members = elements.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let members = members.iter().map(Member::read).collect::<Result<Vec<_>, _>>()?;
                let attributes = (after != observed.resource).then_some(after);
                let new = attributes.map(|after| NewAttributes::checked(collection, observed, after));
                (MemberChanges::only(members), new.transpose()?)
            }
        };
        let is_wanted = |id: &String| wanted.named.get(id).is_some_and(Option::is_some);
        let new = wanted.named.iter().filter_map(|(id, member)| {
            // `memberships` returns them in the order of ids: DynamoDB compares keys as UTF-8
            // bytes, as `str` does.
            let is_new = present.binary_search_by(|membership| membership.sk.cmp(id)).is_err();
            member.as_ref().filter(|_| is_new).cloned()
        });
        let added = self.writer.resolve(new.collect()).await?;
        let (stay, go): (Vec<Membership>, Vec<Membership>) =
            present.into_iter().partition(|membership| is_wanted(&membership.sk));
        let members = stay
            .into_iter()
            .map(Membership::into_element)
            .chain(added.iter().map(ResolvedMember::to_element));
        let removed = go.into_iter().map(|gone| {
            let tags = gone.tags();
            (gone.sk, tags)
        });
        Ok(Edits {
            members: Some(members.collect()),
            removed: removed.collect(),
            added,
            attributes,
            exact: true,
            nesting: None,
            _room: Some(room),
        })
    }

    fn new_attributes(
        &self,
        change: &MemberChange<'_>,
        observed: &ResourceItem,
        attributes: &Attributes,
    ) -> Result<Option<NewAttributes>, Error> {
        let applied = change.apply.map_or(Ok(None), |apply| apply(attributes))?;
        applied.map(|after| NewAttributes::checked(self.writer.collection, observed, after)).transpose()
    }

    /// Returns those of these members that the group has, with the tags of their
    /// memberships.
    async fn existing_members(
        &self,
        observed: &ResourceItem,
        members: Vec<(String, Tags)>,
    ) -> Result<Vec<(String, Tags)>, Error> {
        let visibility = observed.visibility();
        let groups = self.writer.collection;
        let keys: Vec<Key> = members.iter().map(|(id, _)| groups.membership_key(&observed.sk, id)).collect();
        let mut existing = Vec::new();
        for item in groups.table().get_all(keys).await?.into_values() {
            let membership: Membership = read(item)?;
            if visibility.shows(membership.tags()) {
                let tags = membership.tags();
                existing.push((membership.sk, tags));
            }
        }
        Ok(existing)
    }
}

/// Returns the one member that a change names, if it names no other.
fn single(changes: &MemberChanges) -> Option<(&str, Option<&Member>)> {
    match changes.named.iter().collect::<Vec<_>>().as_slice() {
        [(id, member)] => Some((id, member.as_ref())),
        _ => None,
    }
}
