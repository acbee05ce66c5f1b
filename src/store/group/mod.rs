//! Groups and their members.

pub(crate) mod change;
pub(crate) mod cycles;
pub(crate) mod edits;
pub(crate) mod groups_of;
pub(crate) mod initial;
pub(crate) mod one_transaction;
pub(crate) mod read;
pub(crate) mod staged;
