//! The operator's commands on a whole tenant. They read the whole table, which the
//! function must not.
//!
//! * `scan`: every item of a tenant, or of all.
//! * `part`: the part that an item plays among the others.
//! * `balance`: a first look at all items, which finds where they disagree.
//! * `snapshot`: a second look at the items that disagree.
//! * `check`: what is wrong with them.
//! * `repair`: the transaction that repairs a finding.
//! * `export`: resources as an export writes them.
//! * `reindex`: all resources of a type brought into an index.
//! * `erase`: the end of a tenant.

mod balance;
pub(crate) mod check;
mod erase;
pub(crate) mod export;
mod part;
pub(crate) mod reindex;
mod repair;
mod scan;
mod snapshot;
