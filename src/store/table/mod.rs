//! The items of the one table.

pub(crate) mod audit_trail;
pub(crate) mod keys;
pub(crate) mod membership;
pub(crate) mod resource_item;
pub(crate) mod visibility;
