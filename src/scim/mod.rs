//! The protocol. Pure: no I/O, no clock, no randomness, no AWS.

pub mod agenda;
pub mod bulk;
pub mod bulk_id;
pub mod catalogue;
mod change;
mod compare;
pub mod discovery;
pub mod error;
pub mod etag;
pub mod filter;
pub mod fold;
pub mod input;
pub mod json;
pub mod list;
pub mod matches;
pub mod members;
pub mod message;
pub mod needs;
pub mod patch;
pub mod path;
pub mod plan;
pub mod policy;
pub mod resource;
pub mod schema;
pub mod select;
pub mod sort;
pub mod tolerance;
