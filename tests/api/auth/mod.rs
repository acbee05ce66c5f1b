//! Authentication: bearer tokens and access tokens.

mod access_tokens;
mod refusals;
mod tokens;
