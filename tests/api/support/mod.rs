pub(crate) mod client;
pub(crate) mod consistency;
pub(crate) mod faults;
pub(crate) mod fill;
pub(crate) mod isolation;
pub(crate) mod permissions;
