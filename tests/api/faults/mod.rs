//! Faults of DynamoDB, of the network and of processes, at every call.

mod clocks;
mod contention;
mod deletions;
mod lost_messages;
mod pending_deletions;
mod staged_changes;
mod sweeps;
mod timeouts;
