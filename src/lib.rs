//! A SCIM 2.0 endpoint on AWS Lambda and DynamoDB.
//!
//! The flow of a request:
//!
//! 1. [`lambda`] converts the events of both kinds of API Gateway to one kind of request.
//! 2. [`app`] authenticates, routes and answers it.
//! 3. [`auth`] finds the tenant by the bearer token, and [`route`] the operation.
//! 4. [`scim`] reads body, path and filter against the tenant's schemas, without I/O.
//! 5. [`store`] carries the change out by one conditional write or one transaction.
//!
//! [`scim`] imports nothing but itself, and only [`store`] names the SDK of DynamoDB.

pub mod app;
pub mod audit;
pub mod auth;
pub mod config;
pub mod cursor;
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
pub mod route;
pub mod scim;
pub mod sources;
pub mod store;
pub mod telemetry;
