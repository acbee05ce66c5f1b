pub(crate) mod cursors;
mod filters;
mod lookups;
mod membership;
mod plans;
pub(crate) mod search;
