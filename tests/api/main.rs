//! The wire: every test sends events to the handler, over the real SDK and an
//! emulator of DynamoDB, and looks at what a client would see.

mod client;
mod faults;
mod filters;
mod patch;
mod users;
