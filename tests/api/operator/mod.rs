mod audit;
mod check;
mod function;
pub(crate) mod local;
pub(crate) mod log;
pub(crate) mod scimctl;
mod template;
mod transfer;
