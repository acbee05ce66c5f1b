//! DynamoDB, without a word of SCIM.

pub(crate) mod batch;
pub(crate) mod meter;
pub(crate) mod retry;
pub(crate) mod transaction;
