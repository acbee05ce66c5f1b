//! Groups and their members. A group of a million members costs what a group of one
//! costs, until all of its members are read.
//!
//! * `read`: the members of a group, as they were together at one time.
//! * `departed`: members that are deleted, and whose memberships are still there.
//! * `groups_of`: the groups of a member.
//! * `resolve`: the members that a client names, found in the directory.
//! * `cycles`: groups within groups.
//! * `planned_edits`: the memberships and attributes that a change will write.
//! * `initial`: the members that a group is created with.
//! * `change`: the entry, which chooses between the next two.
//! * `one_transaction`: a change of up to about 99 members.
//! * `staged`: a larger change, still all or nothing.
//! * `leave`: deleted members leave a group together.

pub(crate) mod change;
pub(crate) mod cycles;
pub(crate) mod departed;
pub(crate) mod groups_of;
pub(crate) mod initial;
pub(crate) mod leave;
pub(crate) mod one_transaction;
pub(crate) mod planned_edits;
pub(crate) mod read;
pub(crate) mod resolve;
pub(crate) mod staged;
