//! `/Users` and `/Me`.

mod attributes;
mod groups;
mod lifecycle;
mod managers;
mod me;
mod names;
mod patch;
mod preconditions;
mod properties;
mod races;
mod representation;
mod user_name;
mod value_types;
