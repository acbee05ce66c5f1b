//! HTTP as API Gateway hands it over.

mod decoding;
mod location;
mod media_types;
mod odd_events;
mod routes;
