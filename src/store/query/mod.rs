//! Queries.

pub(crate) mod list;
pub(crate) mod lookup;
pub mod member_scope;
pub(crate) mod members_of;
pub mod plan;
