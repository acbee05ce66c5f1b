//! `/Bulk` (RFC 7644 s3.7).

mod order;
mod properties;
mod references;
mod requests;
