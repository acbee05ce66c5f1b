//! The errors of the store, and the one place where they become an answer and are
//! logged.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::scim::decode::excerpt;
use crate::scim::error::{Error as ScimError, ErrorKind};
use crate::store::limits::{
    MAX_IN_ORDER, MAX_INDEX_ROWS, MAX_MEMBERS_READ, MAX_NESTED_GROUPS, MAX_RESOURCE_BYTES, MAX_SORTED,
    MAX_STAGED, RETRY_AFTER,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the resource does not exist")]
    NotFound,
    #[error("the resource has another version")]
    VersionMismatch,
    /// Another resource owns a unique value.
    #[error("{attribute} is taken by {owner}")]
    Taken { attribute: String, owner: String },
    /// The change does not fit the present state of the resource.
    #[error(transparent)]
    Refused(#[from] ScimError),
    #[error("the resource has {bytes} bytes")]
    TooLarge { bytes: usize },
    #[error("the resource has {values} indexed values")]
    TooManyValues { values: usize },
    #[error("the change moves {moves} indexed values")]
    TooManyMoves { moves: usize },
    /// New members that do not exist.
    #[error("no resource has the ids {}", ids.join(", "))]
    UnknownMembers { ids: Vec<String> },
    #[error("a group would be a member of itself")]
    Cycle,
    #[error("too many groups within groups to be followed")]
    TooManyGroups,
    #[error("the group has {members} members")]
    TooManyMembers { members: u64 },
    #[error("the request changes {changes} members")]
    TooManyChanges { changes: usize },
    /// The query reads so much that the answer would take too long.
    #[error("the query read more than its budget")]
    TooMuchToRead,
    #[error("the query finds more than can be sorted")]
    TooManyToSort,
    /// Only a scan finds the resources, and there are too many. `found_by` are the paths
    /// that need no scan.
    #[error("too many {endpoint} to scan for a filter")]
    TooMuchToFilter { endpoint: String, found_by: Vec<String>, by_cursor: bool },
    #[error("the page is too far in the order of {path}")]
    TooFarInOrder { path: String },
    /// Other writers, or the capacity of the table, until the retries were exhausted.
    #[error("{operation}: contention or throttling")]
    Busy { operation: &'static str },
    /// No answer. A write may have been applied.
    #[error("{operation}: no answer: {cause}")]
    Unavailable { operation: &'static str, cause: String },
    #[error("{operation}: {cause}")]
    Fault { operation: &'static str, cause: String },
}

impl Error {
    /// Names the error of a call whose conditions are not the reason.
    pub(crate) fn sdk<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let cause = match error.code() {
            Some(code) => format!("{code}: {}", error.message().unwrap_or_default()),
            None => aws_sdk_dynamodb::error::DisplayErrorContext(error).to_string(),
        };
        match error {
            SdkError::ServiceError(context) => match error.code() {
                Some(code) if is_contention(code) => Self::Busy { operation },
                Some("InternalServerError" | "ServiceUnavailable") => Self::Unavailable { operation, cause },
                _ if context.raw().status().is_server_error() => Self::Unavailable { operation, cause },
                _ => Self::Fault { operation, cause },
            },
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                Self::Unavailable { operation, cause }
            }
            _ => Self::Fault { operation, cause },
        }
    }

    pub(crate) fn fault(operation: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Fault { operation, cause: cause.to_string() }
    }
}

/// Returns true if the same write can succeed later, after this error or reason of a cancelled
/// transaction.
pub(crate) fn is_contention(code: &str) -> bool {
    matches!(
        code,
        "TransactionConflict"
            | "TransactionConflictException"
            | "TransactionInProgressException"
            | "ThrottlingError"
            | "ThrottlingException"
            | "ProvisionedThroughputExceeded"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
    )
}

/// Names the first few ids.
fn unknown_members(ids: &[String]) -> String {
    const NAMED: usize = 5;
    let mut names: Vec<String> = ids.iter().take(NAMED).map(|id| excerpt(id)).collect();
    if ids.len() > NAMED {
        names.push(format!("{} more", ids.len() - NAMED));
    }
    format!("no user or group has the id {}: create it before you add it as a member", names.join(", "))
}

impl From<Error> for ScimError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => {
                ErrorKind::NotFound.with("the resource does not exist: it was deleted or never created")
            }
            Error::VersionMismatch => ErrorKind::VersionMismatch
                .with("the version of the resource does not satisfy If-Match or If-None-Match: read it and repeat the change"),
            Error::Taken { attribute, owner } => ErrorKind::Uniqueness.with(format!(
                "{attribute} is already used by the resource with the id {owner}: choose another value or update that resource"
            )),
            Error::Refused(error) => error,
            Error::TooLarge { bytes } => ErrorKind::TooLarge.with(format!(
                "the resource has {bytes} bytes, the limit is {MAX_RESOURCE_BYTES}: send fewer or shorter values"
            )),
            Error::TooManyValues { values } => ErrorKind::InvalidValue.with(format!(
                "the resource has {values} indexed values, the limit is {MAX_INDEX_ROWS}: remove some emails"
            )),
            Error::TooManyMoves { moves } => ErrorKind::InvalidValue.with(format!(
                "the change adds and removes {moves} indexed values, the limit is {MAX_INDEX_ROWS}: send several requests"
            )),
            Error::UnknownMembers { ids } => ErrorKind::InvalidValue.with(unknown_members(&ids)),
            Error::Cycle => ErrorKind::InvalidValue.with(
                "a group cannot be a member of itself, directly or through other groups, unless the operator sets the policy groupCycles to accept",
            ),
            Error::TooManyGroups => ErrorKind::InvalidValue.with(format!(
                "a group that is added as a member cannot contain more than {MAX_NESTED_GROUPS} other groups"
            )),
            Error::TooManyMembers { members } => ErrorKind::TooMany.with(format!(
                "the group has {members} members, the limit is {MAX_MEMBERS_READ} for one answer: use excludedAttributes=members, \
                 filter for one member, or add and remove members by PATCH"
            )),
            Error::TooManyChanges { changes } => ErrorKind::TooLarge.with(format!(
                "the request changes {changes} members, the limit is {MAX_STAGED}: send several requests"
            )),
            Error::TooMuchToRead => ErrorKind::TooMany.with("the query reads too much: send a filter that matches fewer resources"),
            Error::TooManyToSort => ErrorKind::TooMany.with(format!(
                "cannot sort more than {} resources (12 MB): send a filter that matches fewer, or omit sortBy",
                thousands(MAX_SORTED)
            )),
            Error::TooMuchToFilter { endpoint, found_by, by_cursor } => {
                let or_cursor = if by_cursor { ", or page by cursor" } else { "" };
                ErrorKind::TooMany.with(format!(
                    "too many {endpoint} to filter one by one: narrow the filter by eq on one of id, {}{or_cursor}",
                    found_by.join(", ")
                ))
            }
            Error::TooFarInOrder { path } => ErrorKind::TooMany.with(format!(
                "cannot list more than the first {} resources in the order of {path}: send a filter that matches fewer, or omit sortBy",
                thousands(MAX_IN_ORDER)
            )),
            Error::Busy { .. } => {
                tracing::warn!(%error, "retries exhausted");
                ErrorKind::Busy { retry_after: RETRY_AFTER }
                    .with("too many changes at the same time: send the request again later")
            }
            Error::Unavailable { .. } => {
                tracing::error!(%error, "no answer from DynamoDB");
                ErrorKind::Unavailable { retry_after: RETRY_AFTER }
                    .with("the directory did not answer: read the resource, or send the request again later")
            }
            Error::Fault { .. } => {
                tracing::error!(%error, "internal error");
                ErrorKind::Internal.with("internal error: report the time and the id of this request to the operator")
            }
        }
    }
}

/// Writes a number with a comma before each three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let start = digits.len() % 3;
    let places = digits.char_indices();
    places.fold(String::new(), |text, (place, digit)| {
        let comma = if place > 0 && place % 3 == start { "," } else { "" };
        format!("{text}{comma}{digit}")
    })
}
