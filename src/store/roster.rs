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
pub(super) struct Roster {
    /// How many there are.
    pub(super) members: u64,
    /// Number of the last staged change that began; 0 before the first.
    pub(super) epoch: u64,
    /// Of the change with the number `epoch`, until it is committed or aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) staged: Option<Staged>,
    /// Whether a group was ever a member: only then can a cycle lead through here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) nests: bool,
    /// Staged changes that never happened and may have left memberships behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aborted: Vec<u64>,
}

/// The mark of a staged change. While it stands nobody else changes the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    pub(super) write_id: String,
    /// Whoever set the mark is cut off by then, and anybody may abort the change.
    pub(super) until: jiff::Timestamp,
}

/// The staged changes that a membership was touched by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tags {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_by: Option<u64>,
}

impl Roster {
    /// Whether a membership with these tags counts.
    pub(super) fn shows(&self, tags: Tags) -> bool {
        tags.added_by.is_none_or(|epoch| self.happened(epoch))
            && !tags.removed_by.is_some_and(|epoch| self.happened(epoch))
    }

    fn happened(&self, epoch: u64) -> bool {
        let pending = self.staged.is_some() && epoch == self.epoch;
        epoch <= self.epoch && !pending && !self.aborted.contains(&epoch)
    }
}
