//! Mechanics of DynamoDB, without a word of SCIM.
//!
//! * `client`: the one table, its client, and calls on a single item.
//! * `item`: items, keys, and their conversion from and to Rust types.
//! * `expression`: an update with its condition, for a call or a transaction.
//! * `transaction`: several conditional writes, all or none.
//! * `batch`: many reads or conditional writes in few round trips.
//! * `query`: the items of one partition, page by page.
//! * `retry`: pauses between attempts that meet other writers.
//! * `meter`: calls and capacity units of one request.

pub(crate) mod batch;
pub(crate) mod client;
pub(crate) mod expression;
pub(crate) mod item;
pub(crate) mod meter;
pub(crate) mod query;
pub(crate) mod retry;
pub(crate) mod transaction;
