//! The operator's commands on a whole tenant. They read the whole table, which the
//! function must not.
//!
//! * `scan`: every item of a tenant.
//! * `snapshot`: those items, sorted by their partitions.
//! * `check`: what is wrong with them.
//! * `repair`: the transaction that repairs a finding.
//! * `export`: resources as an export writes them.
//! * `reindex`: all resources of a type brought into an index.
//! * `erase`: the end of a tenant.

pub(crate) mod check;
mod erase;
pub(crate) mod export;
pub(crate) mod reindex;
mod repair;
mod scan;
mod snapshot;
