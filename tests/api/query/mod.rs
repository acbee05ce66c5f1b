//! Lists: filters, pages, order and `.search` (RFC 7644 s3.4.2, s3.4.3).

mod cursors;
mod filters;
mod index_pages;
mod invalid_queries;
mod lookups;
mod membership;
mod plans;
mod search;
