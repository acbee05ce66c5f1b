//! The one error that a client can see (RFC 7644 s3.12). Status and `scimType`
//! follow from its kind; nobody else chooses a status code.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// RFC 9865 s2.1, as the next two.
    ExpiredCursor,
    InvalidCount,
    InvalidCursor,
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    TooMany,
    Unauthorized,
    /// A filter on a discovery endpoint (s4).
    Forbidden,
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    Uniqueness,
    /// A reference to what another operation of the request failed to create (s3.7.1).
    Conflict,
    /// An `If-Match` that does not hold (s3.14).
    VersionMismatch,
    TooLarge,
    UnsupportedMediaType,
    /// Another writer or the capacity of the table is in the way.
    Busy {
        retry_after: u32,
    },
    Internal,
    NotImplemented,
    /// DynamoDB did not answer; whether a write happened may be unknown.
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
            Self::Unauthorized => 401,
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

    /// Table 9 of RFC 7644; an error outside the table has none.
    pub fn scim_type(self) -> Option<&'static str> {
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
            Self::Unauthorized
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
