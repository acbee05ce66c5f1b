//! The wire: every test sends events to the handler, over the real SDK and an
//! emulator of DynamoDB, and looks at what a client would see.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot go on has failed"
)]

mod audit;
mod auth;
mod bulk;
mod bulk_properties;
mod client;
mod concurrency;
mod conditions;
mod consistency;
mod costs;
mod definitions;
mod deletions;
mod discovery;
mod events;
mod faults;
mod fill;
mod filters;
mod function;
mod gateway;
mod group_costs;
mod group_filters;
mod group_policies;
mod group_races;
mod groups;
mod isolation;
mod large_groups;
mod limits;
mod listing;
mod local;
mod log;
mod me;
mod members;
mod oauth;
mod outages;
mod pages;
mod panics;
mod patch;
mod permissions;
mod plans;
mod policies;
mod properties;
mod repair;
mod roles;
mod scimctl;
mod search;
mod staged;
mod template;
mod transfer;
mod users;
