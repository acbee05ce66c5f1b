//! The operator's view: commands, logs, the template, and both binaries as processes.

mod audit;
mod check;
mod function;
mod keys;
mod local;
mod log;
mod reindex;
mod reindex_stages;
mod scimctl;
mod template;
mod tenants;
mod tokens;
mod transfer;
