//! A SCIM 2.0 endpoint on AWS Lambda and DynamoDB.
//!
//! The flow of a request: API Gateway hands an [`lambda`] to the function, and
//! [`app`] makes one request of either kind of event. [`auth`] finds the tenant by
//! the bearer token, [`route`] finds what is asked. [`scim`] reads the body, path
//! and filter against the tenant's schemas and says what the change is. [`store`]
//! carries it out by one conditional write or one transaction, and what is then
//! in the table is rendered and answered.

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
