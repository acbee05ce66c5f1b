//! The reasons of a 401. The log has them for the operator; no answer has.

/// The first check that a request did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization` header.
    Missing,
    /// No bearer token, or a JWT that is no access token.
    Malformed,
    /// A key id or tenant that does not exist, or a signature by a key that is not published.
    UnknownKey,
    WrongSecret,
    /// A token past its end, or with a longer life than the tenant accepts.
    Expired,
    Revoked,
    /// A disabled tenant.
    Disabled,
    Issuer,
    /// A token for another service, or for another tenant than that of the URL.
    Audience,
    /// A client or subject that is not pinned, or settings that pin nothing.
    Client,
    Scope,
    Signature,
    NotYet,
}
