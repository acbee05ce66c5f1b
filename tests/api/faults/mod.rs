mod deletions;
pub(crate) mod outages;
mod staged_changes;
