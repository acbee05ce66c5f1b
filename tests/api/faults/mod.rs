//! Faults of DynamoDB, of the network and of processes, at every call.

mod contention;
mod deletions;
mod lost_messages;
mod staged_changes;
mod sweeps;
mod timeouts;
