mod cursors;
mod filters;
mod index_pages;
mod invalid_queries;
mod lookups;
mod membership;
mod plans;
mod search;
