//! Changing who is a member of a group: in one transaction, or as a staged
//! change where that would not hold it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scim::etag::{Precondition, Version};
use crate::scim::member::{Member, MemberChanges, Touched};
use crate::scim::policy::{GroupCycles, UnknownMembers};
use crate::scim::resource::{Attributes, Resource};
use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction;
use crate::store::error::Error;
use crate::store::group::cycles::Nesting;
use crate::store::group::staged::MAX_STAGED;
use crate::store::resource::{Apply, Write, is_id};
use crate::store::table::audit_trail::differing;
use crate::store::table::keys::Key;
use crate::store::table::membership::{Membership, ResolvedMember, member_types};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::{Tags, Visibility};

/// What DynamoDB takes in one transaction.
pub(crate) const MAX_ACTIONS: usize = 100;

/// A change of a group's members, and of its own attributes with them.
pub struct MemberChange<'a> {
    /// As in [`super::Change`], where more than members can change. The members
    /// are among the attributes if it depends on them who comes or goes.
    pub apply: Option<Apply<'a>>,
    pub touched: &'a Touched,
}

/// What is to be written of a group that was seen.
pub(crate) struct Edits {
    pub(crate) puts: Vec<ResolvedMember>,
    pub(crate) deletes: Vec<(String, Tags)>,
    pub(crate) attributes: Option<Attributes>,
    /// Only right for the version that was seen.
    pub(crate) exact: bool,
    /// All members afterwards, where they are known.
    members: Option<Vec<Value>>,
    pub(crate) nesting: Option<Nesting>,
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
        let mut retry = Retry::new(&*self.jitter);
        let changed = self.change_members_as(write, id, precondition, &change, &write_id, &mut retry).await;
        match changed {
            Err(error) => {
                let won = |there: Option<ResourceItem>| there.filter(|there| there.is_by(&write_id));
                let there = self.settle(error, write, id, won).await?;
                write.note_found(&there, &write_id);
                Ok(None)
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
                write.note_found(&seen, write_id);
                return Ok(None);
            }
        }
    }

    /// `None` if the group is no longer what was seen.
    async fn carry_out(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        mut edits: Edits,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Option<Option<Resource>>, Error> {
        let members = usize::try_from(seen.visibility.as_ref().map_or(0, |visibility| visibility.members));
        write.policy.mass_removal.check(edits.deletes.len(), members.unwrap_or(usize::MAX))?;
        let groups = || edits.puts.iter().filter(|known| known.kind == write.kind.name);
        if write.policy.group_cycles == GroupCycles::Refuse && groups().next().is_some() {
            let groups = groups().map(|known| known.id.clone());
            edits.nesting = Some(self.check_nesting(write, &seen.sk, groups).await?);
        }
        let after = |seen: &ResourceItem, edits: &Edits, version: u64| {
            let members = edits.members.clone()?;
            let mut after = ResourceItem { version, ..seen.clone() };
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
            self.change_staged(write, seen, &edits, write_id).await?
        };
        Ok(done.then_some(changed))
    }

    /// Whoever is to be added, with his type.
    pub(crate) async fn known(
        &self,
        write: Write<'_>,
        members: Vec<Member>,
    ) -> Result<Vec<ResolvedMember>, Error> {
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
                ResolvedMember {
                    kind: kind.unwrap_or_default().to_owned(),
                    id: member.id,
                    display: member.display,
                }
            })),
        }
        Ok(known)
    }

    async fn edits(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        change: &MemberChange<'_>,
        known: Option<&[ResolvedMember]>,
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
            // A limit is on those who are members.
            let limited = edits.deletes.len() > 1 && write.policy.mass_removal.is_limited();
            if limited || edits.puts.len() + edits.deletes.len() >= MAX_ACTIONS {
                edits.exact = !edits.deletes.is_empty();
                self.find_tags(write, seen, &mut edits.deletes).await?;
            }
            return Ok(edits);
        }
        let visibility = seen.visibility.clone().unwrap_or_default();
        let there = self.memberships(write.tenant, write.kind, &seen.sk, &visibility).await?;
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
            stay.into_iter().map(Membership::into_element).chain(puts.iter().map(ResolvedMember::to_element));
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
        seen: &ResourceItem,
        deletes: &mut Vec<(String, Tags)>,
    ) -> Result<(), Error> {
        let visibility = seen.visibility.clone().unwrap_or_default();
        let keys = deletes.drain(..).map(|(id, _)| Key::member(write.tenant, write.kind, &seen.sk, &id));
        for item in self.items(keys.collect()).await?.into_values() {
            let membership = Membership::read(item)?;
            if visibility.shows(membership.tags()) {
                deletes.push((membership.sk.clone(), membership.tags()));
            }
        }
        Ok(())
    }

    /// A group that no staged change has a hold of. One that is past its lease is
    /// aborted.
    pub(crate) async fn unmarked(
        &self,
        write: Write<'_>,
        id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<ResourceItem, Error> {
        loop {
            let key = Key::resource(write.tenant, write.kind, id);
            let seen = self.read(key.clone()).await?.ok_or(Error::NotFound)?;
            let Some(Visibility { staged: Some(staged), .. }) = &seen.visibility else {
                return Ok(seen);
            };
            if staged.until <= write.now {
                self.abort(key, &seen.visibility.clone().unwrap_or_default()).await?;
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

impl Edits {
    /// That they were made to this group; `exact` if it was still as it was seen.
    pub(crate) fn note(&self, write: Write<'_>, seen: &ResourceItem, exact: bool) {
        let attributes = self.attributes.as_ref();
        let mut names =
            attributes.map_or_else(BTreeSet::new, |attributes| differing(&seen.resource, attributes));
        if !(self.puts.is_empty() && self.deletes.is_empty()) {
            names.extend(write.kind.members.clone());
        }
        write.note_changed(&seen.sk, exact.then_some(seen.version), names);
    }
}

impl ResolvedMember {
    pub(crate) fn to_element(&self) -> Value {
        let Self { id, kind, display } = self.clone();
        Member { id, kind: Some(kind), display }.into_element()
    }
}

fn single(changes: &MemberChanges) -> Option<(&str, Option<&Member>)> {
    match changes.named.iter().collect::<Vec<_>>().as_slice() {
        [(id, member)] => Some((id, member.as_ref())),
        _ => None,
    }
}
