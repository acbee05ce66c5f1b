//! The reasons of a 401. The log has them for the operator; no answer has.

use crate::scim::error::{Error, ErrorKind};

/// The first check that a request did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization: Bearer`.
    Missing,
    /// Neither a token of our own nor an access token.
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

impl Refusal {
    /// Returns the word of the log and of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::WrongSecret => "wrong_secret",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::Scope => "scope",
            Self::Signature => "signature",
            Self::NotYet => "not_yet",
        }
    }
}

impl From<Refusal> for Error {
    /// Returns the same error for every reason, so that no answer reveals whether a tenant or
    /// key exists.
    fn from(refusal: Refusal) -> Self {
        // RFC 6750 s3.1: no error code for a request without a token.
        let challenge = match refusal {
            Refusal::Missing => r#"Bearer realm="scim""#,
            _ => r#"Bearer realm="scim", error="invalid_token""#,
        };
        ErrorKind::Unauthorized { challenge }
            .with("the bearer token is missing or not valid: send Authorization: Bearer <token>")
    }
}
