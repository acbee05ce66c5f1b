pub(crate) mod lifecycle;
mod member_changes;
mod policies;
pub(crate) mod races;
