mod attributes;
mod me;
mod patch;
mod preconditions;
mod properties;
mod races;
