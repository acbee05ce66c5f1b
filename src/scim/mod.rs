//! The protocol (RFC 7643, RFC 7644). Pure: no I/O, no clock, no randomness, no storage.
//!
//! In reading order, which is also the order of imports:
//!
//! - [`error`]: the errors that clients see, with status and `scimType`;
//! - [`etag`]: versions, `If-Match` and `If-None-Match`;
//! - `number`: numbers that are stored as they were sent;
//! - [`json`]: bodies, with the ambiguities of JSON refused;
//! - [`policy`]: the settings of a tenant;
//! - [`attr_path`]: attribute paths, and the parts that parsers share;
//! - [`date_time`]: values of type dateTime;
//! - [`schema`]: schemas, resource types, and the places of attributes;
//! - [`resource`]: a resource as it is stored;
//! - [`quirks`]: the deviations of identity providers, by name;
//! - [`message`]: the members of a message, and its `schemas`;
//! - [`work`]: the comparisons of a request, counted;
//! - [`filter`]: filters, from text to a match;
//! - `equality`: equality of values;
//! - [`member`]: members of a group, and changes of them;
//! - [`user_name`]: the characters of a `userName`;
//! - [`mod@reference`]: attributes that refer to another resource;
//! - [`decode`]: the attributes in a body, read against the schema;
//! - [`patch`]: PATCH, from a body to changed attributes;
//! - [`query`]: the parameters of a list, and the `ListResponse`;
//! - [`sort`]: the order of a list;
//! - [`projection`]: the attributes that an answer has;
//! - [`registry`]: the schemas and resource types of a tenant;
//! - [`bulk`]: bulk requests, and the order of their operations.

pub mod attr_path;
pub mod bulk;
pub mod date_time;
pub mod decode;
pub(crate) mod equality;
pub mod error;
pub mod etag;
pub mod filter;
pub mod json;
pub mod member;
pub mod message;
pub(crate) mod number;
pub mod patch;
pub mod policy;
pub mod projection;
pub mod query;
pub mod quirks;
pub mod reference;
pub mod registry;
pub mod resource;
pub mod schema;
pub mod sort;
pub mod user_name;
pub mod work;
