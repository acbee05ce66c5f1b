//! Which memberships of a group count.
//!
//! A membership is an item of its own, and a change of up to some 90 of them is
//! one transaction. A greater change is staged: its memberships are written one
//! by one, tagged with its number, and one write of the group's item makes all of
//! them count. So whoever reads takes the group's item first and then asks it, for
//! each membership, whether the changes that tagged it have happened.
//!
//! Numbers only grow. A reader holds a group's item that is older than the
//! memberships he reads: a number above its own is a change that began later.

use serde::{Deserialize, Serialize};

/// What the item of a group says of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visibility {
    /// How many there are.
    pub(crate) members: u64,
    /// Number of the last staged change that began; 0 before the first.
    pub(crate) epoch: u64,
    /// Of the change with the number `epoch`, until it is committed or aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<Staged>,
    /// Whether a group was ever a member: only then can a cycle lead through here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) nests: bool,
    /// Staged changes that never happened and may have left memberships behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aborted: Vec<u64>,
}

/// The mark of a staged change. While it stands nobody else changes the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    pub(crate) write_id: String,
    /// Whoever set the mark is cut off by then, and anybody may abort the change.
    pub(crate) until: jiff::Timestamp,
}

/// The staged changes that a membership was touched by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tags {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed_by: Option<u64>,
}

impl Visibility {
    /// Whether a membership with these tags counts.
    pub(crate) fn shows(&self, tags: Tags) -> bool {
        tags.added_by.is_none_or(|epoch| self.happened(epoch))
            && !tags.removed_by.is_some_and(|epoch| self.happened(epoch))
    }

    fn happened(&self, epoch: u64) -> bool {
        let pending = self.staged.is_some() && epoch == self.epoch;
        epoch <= self.epoch && !pending && !self.aborted.contains(&epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Staged, Tags, Visibility};

    /// Two processes that each add the same two members in a staged change, either
    /// of which may be aborted at any time and goes on writing, and a reader.
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct State {
        version: u64,
        epoch: u64,
        staged: bool,
        aborted: Vec<u64>,
        memberships: [Option<u64>; 2],
        /// Of each process: its number once it has marked the group, what it has
        /// written, and whether it has committed.
        writers: [(Option<u64>, [bool; 2], bool); 2],
        /// What the reader has: the group, then one membership after the other.
        reader: Option<(u64, u64, bool, Vec<u64>)>,
        read: Vec<Option<u64>>,
    }

    fn visibility(epoch: u64, staged: bool, aborted: &[u64]) -> Visibility {
        let until = jiff::Timestamp::UNIX_EPOCH;
        let staged = staged.then(|| Staged { write_id: String::new(), until });
        Visibility { members: 0, epoch, staged, nests: false, aborted: aborted.to_vec() }
    }

    fn shows(visibility: &Visibility, added_by: u64) -> bool {
        visibility.shows(Tags { added_by: Some(added_by), removed_by: None })
    }

    impl State {
        fn visibility(&self) -> Visibility {
            visibility(self.epoch, self.staged, &self.aborted)
        }

        /// Every state that one step of anybody leads to.
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
                    // One that stands and counts stays; one that does not is taken over, by
                    // a condition that a dead process cannot meet any more.
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
