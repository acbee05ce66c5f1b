//! The one error that a client can see (RFC 7644 s3.12). Status and `scimType` follow
//! from its kind; no other code chooses a status.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A cursor whose time-out has passed (RFC 9865 s2.1).
    ExpiredCursor,
    /// A `count` that differs from that of the first page (RFC 9865 s2.1).
    InvalidCount,
    InvalidCursor,
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    TooMany,
    Unauthorized {
        challenge: &'static str,
    },
    /// A filter on a discovery endpoint (s4), or a request that the caller cannot make.
    Forbidden,
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    Uniqueness,
    /// A reference to a resource that another operation failed to create (s3.7.1).
    Conflict,
    /// An `If-Match` with another version (s3.14).
    VersionMismatch,
    TooLarge,
    UnsupportedMediaType,
    /// Contention with other writers, exhausted capacity, or the rate limit of the tenant.
    Busy {
        retry_after: u32,
    },
    Internal,
    NotImplemented,
    /// No answer from the directory. Whether a write was applied is unknown.
    Unavailable {
        retry_after: u32,
    },
}

impl ErrorKind {
    pub fn with(self, detail: impl Into<Cow<'static, str>>) -> Error {
        Error { kind: self, detail: detail.into() }
    }

    pub fn status(self) -> u16 {
        match self {
            Self::ExpiredCursor
            | Self::InvalidCount
            | Self::InvalidCursor
            | Self::InvalidFilter
            | Self::InvalidPath
            | Self::InvalidSyntax
            | Self::InvalidValue
            | Self::Mutability
            | Self::NoTarget
            | Self::TooMany => 400,
            Self::Unauthorized { .. } => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::Uniqueness | Self::Conflict => 409,
            Self::VersionMismatch => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Busy { .. } => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Unavailable { .. } => 503,
        }
    }

    /// Returns the error code of RFC 7644 Table 9, or of RFC 9865.
    pub fn scim_type(self) -> Option<&'static str> {
        // Table 9 covers 400 and 409 only. A made-up code for another status could be taken
        // for one of a later RFC.
        match self {
            Self::ExpiredCursor => Some("expiredCursor"),
            Self::InvalidCount => Some("invalidCount"),
            Self::InvalidCursor => Some("invalidCursor"),
            Self::InvalidFilter => Some("invalidFilter"),
            Self::InvalidPath => Some("invalidPath"),
            Self::InvalidSyntax => Some("invalidSyntax"),
            Self::InvalidValue => Some("invalidValue"),
            Self::Mutability => Some("mutability"),
            Self::NoTarget => Some("noTarget"),
            Self::TooMany => Some("tooMany"),
            Self::Uniqueness => Some("uniqueness"),
            Self::Unauthorized { .. }
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::Conflict
            | Self::VersionMismatch
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::Busy { .. }
            | Self::Internal
            | Self::NotImplemented
            | Self::Unavailable { .. } => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    pub detail: Cow<'static, str>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("schemas".to_owned(), json!([SCHEMA]));
        // s3.12: the status "expressed as a JSON string".
        body.insert("status".to_owned(), self.kind.status().to_string().into());
        if let Some(scim_type) = self.kind.scim_type() {
            body.insert("scimType".to_owned(), scim_type.into());
        }
        body.insert("detail".to_owned(), self.detail.as_ref().into());
        Value::Object(body)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
