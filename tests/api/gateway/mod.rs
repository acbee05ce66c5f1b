mod decoding;
mod location;
mod media_types;
mod routes;
