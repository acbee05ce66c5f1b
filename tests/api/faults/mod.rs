mod contention;
mod deletions;
mod lost_messages;
mod staged_changes;
mod timeouts;
