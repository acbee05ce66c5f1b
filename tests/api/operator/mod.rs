mod audit;
mod check;
mod function;
mod local;
mod log;
mod scimctl;
mod template;
mod transfer;
