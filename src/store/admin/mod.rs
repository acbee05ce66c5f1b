//! The operator's commands on a whole tenant.

pub(crate) mod check;
mod erase;
mod export;
mod scan;
mod snapshot;
