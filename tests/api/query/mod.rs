mod cursors;
mod filters;
mod lookups;
mod membership;
mod plans;
mod search;
