//! The protocol. Pure: no I/O, no clock, no randomness, no AWS.

pub mod attr_path;
pub mod bulk;
pub mod decode;
pub mod error;
pub mod etag;
pub mod filter;
pub mod json;
pub mod member;
pub mod message;
pub mod patch;
pub mod policy;
pub mod projection;
pub mod query;
pub mod quirks;
pub mod registry;
pub mod resource;
pub mod schema;
pub mod sort;
