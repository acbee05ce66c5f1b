//! The wire: every test sends events to the handler, over the real SDK and an
//! emulator of DynamoDB, and looks at what a client would see.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot go on has failed"
)]

mod auth;
mod bulk;
mod costs;
mod discovery;
mod events;
mod faults;
mod gateway;
mod groups;
mod limits;
mod operator;
mod panics;
mod query;
mod support;
mod tenants;
mod users;
