mod attributes;
mod me;
mod patch;
mod preconditions;
mod properties;
pub(crate) mod races;
