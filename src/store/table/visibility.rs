//! The visibility of a membership: it counts as a member, or it is void.
//!
//! A membership is an item of its own. A change that fits one transaction writes the
//! memberships and the group together. A larger change is staged: its memberships are
//! written one by one, tagged with the number of the change, and one write of the
//! group's item makes all of them count. A reader therefore takes the group's item first
//! and then asks it, for each membership, whether the changes that tagged it happened.
//!
//! Numbers only grow. A reader holds an item of the group that is older than the
//! memberships that it reads: a number above the item's own is a change that began later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of a group's item that decides which memberships count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visibility {
    /// The number of members.
    pub(crate) members: u64,
    /// The number of the last staged change that began; 0 before the first.
    pub(crate) epoch: u64,
    /// The staged change with the number `epoch`, until it is committed or aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<Staged>,
    /// True if a group was ever a member. Only then can a cycle lead through this group.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) nests: bool,
    /// The time of the last addition of members, but for those that the group was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grown: Option<Timestamp>,
    /// The number of the last staged change of which nothing is left behind, nor of any before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) cleaned: u64,
    /// Staged changes that never happened and may have left memberships behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aborted: Vec<u64>,
}

/// The lock of a staged change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    pub(crate) write_id: String,
    /// The end of the lease. The request that set the lock has ended by then, and every
    /// other writer may abort the change.
    pub(crate) until: Timestamp,
}

/// The staged changes that touched a membership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tags {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed_by: Option<u64>,
}

/// The visibility of a resource that has no members.
static NONE: Visibility = Visibility {
    members: 0,
    epoch: 0,
    staged: None,
    nests: false,
    grown: None,
    cleaned: 0,
    aborted: Vec::new(),
};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Visibility {
    /// Returns the visibility of an item, which only a type with members has.
    pub(crate) fn of(stored: Option<&Self>) -> &Self {
        stored.unwrap_or(&NONE)
    }

    /// Returns true if a membership with these tags counts.
    pub(crate) fn shows(&self, tags: Tags) -> bool {
        tags.added_by.is_none_or(|epoch| self.happened(epoch))
            && !tags.removed_by.is_some_and(|epoch| self.happened(epoch))
    }

    fn happened(&self, epoch: u64) -> bool {
        let pending = self.staged.is_some() && epoch == self.epoch;
        // Without the first comparison a slow reader would see half of a change that began
        // after it had read the group.
        epoch <= self.epoch && !pending && !self.aborted.contains(&epoch)
    }

    /// Returns true if every change that touched a membership with these tags has begun under this
    /// item of the group.
    pub(crate) fn knows(&self, tags: Tags) -> bool {
        tags.added_by.max(tags.removed_by) <= Some(self.epoch)
    }

    /// Returns true if staged changes that have ended may have left memberships that do not count.
    pub(crate) fn has_void(&self) -> bool {
        self.cleaned < self.epoch
    }

    /// Returns true if the lease of a staged change is over.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.until <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Staged, Tags, Visibility};

    /// Two processes that each add the same two members in a staged change, and a reader.
    /// Either change may be aborted at any time while its process continues to write.
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct State {
        version: u64,
        epoch: u64,
        staged: bool,
        aborted: Vec<u64>,
        memberships: [Option<u64>; 2],
        /// For each process: its number once it has locked the group, the memberships that it
        /// has written, and whether it has committed.
        writers: [(Option<u64>, [bool; 2], bool); 2],
        /// The state that the reader holds: the group, then one membership after the other.
        reader: Option<(u64, u64, bool, Vec<u64>)>,
        read: Vec<Option<u64>>,
    }

    fn visibility(epoch: u64, staged: bool, aborted: &[u64]) -> Visibility {
        let until = jiff::Timestamp::UNIX_EPOCH;
        let staged = staged.then(|| Staged { write_id: String::new(), until });
        Visibility { epoch, staged, aborted: aborted.to_vec(), ..Visibility::default() }
    }

    fn shows(visibility: &Visibility, added_by: u64) -> bool {
        visibility.shows(Tags { added_by: Some(added_by), removed_by: None })
    }

    impl State {
        fn visibility(&self) -> Visibility {
            visibility(self.epoch, self.staged, &self.aborted)
        }

        /// Returns every state that one step of a process leads to.
        fn next(&self) -> Vec<Self> {
            let mut next = Vec::new();
            for (who, (number, written, done)) in self.writers.into_iter().enumerate() {
                let mut after = self.clone();
                match number {
                    None if !self.staged => {
                        (after.epoch, after.staged) = (self.epoch + 1, true);
                        after.writers[who].0 = Some(after.epoch);
                        next.push(after);
                    }
                    Some(number) if written == [true; 2] && !done => {
                        if self.staged && self.epoch == number {
                            (after.staged, after.version) = (false, self.version + 1);
                        }
                        after.writers[who].2 = true;
                        next.push(after);
                    }
                    _ => {}
                }
                for place in (0..2).filter(|place| number.is_some() && !written[*place]) {
                    let mut after = self.clone();
                    let own = number.unwrap_or_default();
                    // A membership that counts stays. One that does not is taken over, by a
                    // condition that a dead process can no longer meet.
                    let dead = |tag| !shows(&self.visibility(), tag) && self.staged && self.epoch == own;
                    if self.memberships[place].is_none_or(dead) {
                        after.memberships[place] = Some(own);
                    }
                    after.writers[who].1[place] = true;
                    next.push(after);
                }
            }
            if self.staged {
                let mut after = self.clone();
                after.staged = false;
                after.aborted.push(self.epoch);
                next.push(after);
            }
            let mut after = self.clone();
            match (&self.reader, self.read.len()) {
                (None, _) => {
                    after.reader = Some((self.version, self.epoch, self.staged, self.aborted.clone()));
                }
                (Some(_), read @ 0..2) => after.read.push(self.memberships[read]),
                (Some(_), _) => (after.reader, after.read) = (None, Vec::new()),
            }
            next.push(after);
            next
        }

        fn check(&self) {
            let members = |visibility: &Visibility, memberships: &[Option<u64>]| {
                memberships.iter().filter(|tag| tag.is_some_and(|tag| shows(visibility, tag))).count()
            };
            let now = members(&self.visibility(), &self.memberships);
            assert_eq!(now, if self.version == 0 { 0 } else { 2 }, "the group itself");
            if let Some((version, epoch, staged, aborted)) = &self.reader
                && self.read.len() == 2
                && *version == self.version
            {
                let seen = members(&visibility(*epoch, *staged, aborted), &self.read);
                assert_eq!(seen, now, "a reader");
            }
        }
    }

    #[test]
    fn a_staged_change_is_seen_whole_or_not_at_all_in_every_order_of_steps() {
        let mut states = vec![State {
            version: 0,
            epoch: 0,
            staged: false,
            aborted: Vec::new(),
            memberships: [None; 2],
            writers: [(None, [false; 2], false); 2],
            reader: None,
            read: Vec::new(),
        }];
        let mut seen = HashSet::new();
        while let Some(state) = states.pop() {
            if seen.insert(state.clone()) {
                state.check();
                states.extend(state.next());
            }
        }
        assert!(seen.len() > 1_000, "{}", seen.len());
    }
}
