//! Helpers of more than one test file.
//!
//! * A directory and its clients: `directory`, `client`, `answer`, `signer` of their tokens.
//! * Content: `builders` makes bodies, `seed` creates resources through the API, `fill` puts them
//!   into the table.
//! * Requests: `bulk`, `paging`, `races`, `user_write`.
//! * Faults: `faults` is the network between the function and DynamoDB.
//! * Assertions: `consistency` of the table, `isolation` of tenants, `permissions` of the function,
//!   `service_limits` that the emulator lacks, `cost_table`.
//! * Processes and their output: `local_server`, `scimctl`, `recording`.

pub(crate) mod answer;
pub(crate) mod builders;
pub(crate) mod bulk;
pub(crate) mod client;
pub(crate) mod consistency;
pub(crate) mod cost_table;
pub(crate) mod directory;
pub(crate) mod faults;
pub(crate) mod fill;
pub(crate) mod isolation;
pub(crate) mod local_server;
pub(crate) mod paging;
pub(crate) mod permissions;
pub(crate) mod races;
pub(crate) mod recording;
pub(crate) mod scimctl;
pub(crate) mod seed;
pub(crate) mod service_limits;
pub(crate) mod signer;
pub(crate) mod user_write;
