mod deletions;
mod outages;
mod staged_changes;
