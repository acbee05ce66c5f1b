//! `/Groups`.

mod display;
mod lifecycle;
mod member_changes;
mod patch;
mod policies;
mod races;
mod versions;
