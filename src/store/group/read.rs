//! The members of a group, as they were together at one time.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::item::{Item, Key, read};
use crate::store::error::Error;
use crate::store::limits::{MAX_COMPLETED, MAX_GROUP_READS, MAX_MEMBERS_READ, MEMBERS_OF_A_PAGE};
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::job::Work;
use crate::store::table::membership::{Membership, is_member_id};
use crate::store::table::resource_item::{ResourceItem, is_id};
use crate::store::table::visibility::Visibility;

/// Ranges of member ids that are read at the same time. Ids are UUIDs, so the ranges
/// hold about the same number of members.
const RANGES: [(&str, &str); 8] =
    [("!", "2"), ("2", "4"), ("4", "6"), ("6", "8"), ("8", "a"), ("a", "c"), ("c", "e"), ("e", "\u{10ffff}")];

impl Collection<'_> {
    /// Reads a group with its members. Its version is never newer than the members.
    pub async fn get_with_members(self, id: &str, now: Timestamp) -> Result<Option<Resource>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        let mut group = self.observe(id).await?;
        let mut departed = HashSet::new();
        let mut retry = self.table().retry();
        let mut reads = 0;
        while let Some(seen) = group {
            let visibility = seen.visibility();
            let members = self.memberships(id, visibility).await?;
            // No membership was read after the group, so none can be newer than it.
            if visibility.members == 0 {
                return Ok(Some(with_members(self.kind, seen, members, &departed)));
            }
            // Before the group is read again: a member whose job ends after the memberships were
            // read has left the group before, which raises its version.
            departed.extend(self.directory.departed_among(&seen, &members, now).await?);
            reads += 1;
            let after = self.observe(id).await?;
            if after.as_ref().is_some_and(|after| is_same(&seen, after, reads)) {
                return Ok(Some(with_members(self.kind, seen, members, &departed)));
            }
            retry.pause("Query").await?;
            group = after;
        }
        Ok(None)
    }

    /// Reads the memberships that count, in the order of the members' ids.
    pub(crate) async fn memberships(
        self,
        group: &str,
        visibility: &Visibility,
    ) -> Result<Vec<Membership>, Error> {
        match visibility.members {
            0 => Ok(Vec::new()),
            members if members > MAX_MEMBERS_READ => Err(Error::TooManyMembers { members }),
            _ => self.every_membership(group, visibility).await,
        }
    }

    /// Reads all memberships that count, however many.
    pub(crate) async fn every_membership(
        self,
        group: &str,
        visibility: &Visibility,
    ) -> Result<Vec<Membership>, Error> {
        // Parallel ranges cost at least half a unit each, which a small group is not worth.
        let mut found = if visibility.members <= MEMBERS_OF_A_PAGE {
            self.memberships_between(group, ("!", "\u{10ffff}")).await?
        } else {
            self.all_memberships(group).await?
        };
        found.retain(|membership| visibility.shows(membership.tags()));
        Ok(found)
    }

    /// Reads every membership of a group, including those that do not count.
    pub(crate) async fn all_memberships(self, group: &str) -> Result<Vec<Membership>, Error> {
        let ranges = RANGES.map(|range| Box::pin(self.memberships_between(group, range)));
        let found: Vec<Vec<Membership>> = stream::iter(ranges).buffered(RANGES.len()).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn memberships_between(
        self,
        group: &str,
        (from, to): (&str, &str),
    ) -> Result<Vec<Membership>, Error> {
        let mut query = self.table().query(self.members_partition(group)).consistent().between(from, to);
        let mut found = Vec::new();
        while let Some(page) = query.next_page().await? {
            for item in page {
                let membership: Membership = read(item)?;
                // BETWEEN includes the end, which the next range begins with.
                if membership.sk != to {
                    found.push(membership);
                }
            }
        }
        Ok(found)
    }

    /// Reads groups with those of these members that they have, for a filter that looks at
    /// no others. One round trip for up to about 30 groups.
    pub async fn get_with_these_members(
        self,
        ids: &[String],
        members: &[String],
    ) -> Result<Vec<Resource>, Error> {
        let members: HashSet<&String> = members.iter().filter(|member| is_member_id(member)).collect();
        let ids: Vec<&String> = ids.iter().filter(|id| is_id(id)).collect();
        let job = |member: &str| self.directory.job_key(Work::Departed(member));
        let mut wanted: Vec<Key> = Vec::new();
        for id in &ids {
            wanted.push(self.key(id));
            wanted.extend(members.iter().map(|member| self.membership_key(id, member)));
        }
        // A deleted member must not show: its job is read with the memberships.
        wanted.extend(members.iter().map(|member| job(member)));
        let mut found: HashMap<Key, Item> = self.table().get_all(wanted).await?;
        let mut groups = Vec::new();
        for id in ids {
            let Some(group) = found.remove(&self.key(id)) else {
                continue;
            };
            let group: ResourceItem = read(group)?;
            let visibility = group.visibility();
            let mut these = Vec::new();
            for member in members.iter().filter(|member| !found.contains_key(&job(member))) {
                these.extend(
                    found
                        .get(&self.membership_key(id, member))
                        .cloned()
                        .map(read::<Membership>)
                        .transpose()?,
                );
            }
            these.retain(|membership| visibility.shows(membership.tags()));
            these.sort_unstable_by(|a, b| a.sk.cmp(&b.sk));
            groups.push(with_members(self.kind, group, these, &HashSet::new()));
        }
        groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }
}

impl Directory<'_> {
    /// Reads the ids of a group's members, where `kinds` are the types that have members.
    pub(crate) async fn member_ids(self, kinds: &[&ResourceType], group: &str) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        for kind in kinds.iter().filter(|_| is_id(group)) {
            let groups = self.collection(kind);
            let visibility =
                groups.observe(group).await?.and_then(|group| group.visibility).unwrap_or_default();
            if visibility.members > MAX_COMPLETED as u64 {
                return Err(Error::TooMuchToRead);
            }
            let members = groups.memberships(group, &visibility).await?;
            ids.extend(members.into_iter().map(|membership| membership.sk));
        }
        Ok(ids)
    }
}

/// Returns true if a group did not change while its members were read. A group in which single
/// members come and go all the time is shown as it is.
fn is_same(before: &ResourceItem, after: &ResourceItem, reads: usize) -> bool {
    let (first, second) = (before.visibility(), after.visibility());
    let same_stage = first.epoch == second.epoch && first.staged == second.staged;
    // A staged change between the reads would show in part, however often it is read.
    before.version == after.version || (reads >= MAX_GROUP_READS && same_stage)
}

/// Returns a group with these members, without those that were deleted.
pub(crate) fn with_members(
    kind: &ResourceType,
    group: ResourceItem,
    members: Vec<Membership>,
    departed: &HashSet<String>,
) -> Resource {
    let mut resource = group.into_resource();
    let elements: Vec<Value> = members
        .into_iter()
        .filter(|membership| !departed.contains(&membership.sk))
        .map(Membership::into_element)
        .collect();
    if let Some(name) = &kind.members
        && !elements.is_empty()
    {
        resource.attributes.insert(name.clone(), Value::Array(elements));
    }
    resource
}
