//! What can go wrong in the store, and the one place where that becomes an
//! answer and is logged.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::scim::decode::excerpt;
use crate::scim::error::{Error as ScimError, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such resource")]
    NotFound,
    #[error("the resource has another version")]
    VersionMismatch,
    /// Another resource owns a value that is unique.
    #[error("{attribute} is taken by {owner}")]
    Taken { attribute: String, owner: String },
    /// The change does not fit the resource as it is.
    #[error(transparent)]
    Refused(#[from] ScimError),
    #[error("the resource has {bytes} bytes")]
    TooLarge { bytes: usize },
    #[error("the resource has {values} values to be found by")]
    TooManyValues { values: usize },
    #[error("the change moves {moves} values to be found by")]
    TooManyMoves { moves: usize },
    /// Members to be added that there are not.
    #[error("there is nobody with the ids {}", ids.join(", "))]
    UnknownMembers { ids: Vec<String> },
    #[error("a group would be a member of itself")]
    Cycle,
    #[error("too many groups within groups to be followed")]
    TooManyGroups,
    #[error("the group has {members} members")]
    TooManyMembers { members: u64 },
    #[error("the request changes {changes} members")]
    TooManyChanges { changes: usize },
    /// Read so much that the answer would take too long.
    #[error("the query read more than its budget")]
    TooMuchToRead,
    /// Other writers or the capacity of the table, to the end of the retries.
    #[error("{operation}: contention or throttling")]
    Busy { operation: &'static str },
    /// No answer. Whether a write happened is not known.
    #[error("{operation}: no answer: {cause}")]
    Unavailable { operation: &'static str, cause: String },
    #[error("{operation}: {cause}")]
    Fault { operation: &'static str, cause: String },
}

impl Error {
    /// Names the error of a call that is not about one of its conditions.
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

/// Whether the condition of a write held.
pub(crate) fn held<T, E>(operation: &'static str, written: Result<T, SdkError<E>>) -> Result<bool, Error>
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(Error::sdk(operation, &error)),
    }
}

/// Errors, and reasons of a cancelled transaction, after which the same write
/// can succeed.
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

/// Seconds, as an integer: Okta reads nothing else.
pub const RETRY_AFTER: u32 = 2;

/// Names the first few.
fn unknown(ids: &[String]) -> String {
    const NAMED: usize = 5;
    let mut names: Vec<String> = ids.iter().take(NAMED).map(|id| excerpt(id)).collect();
    if ids.len() > NAMED {
        names.push(format!("{} more", ids.len() - NAMED));
    }
    format!(
        "there is no user or group with the id {}: create it before it is made a member",
        names.join(", ")
    )
}

impl From<Error> for ScimError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => ErrorKind::NotFound.with("there is no such resource: it was deleted, or never existed"),
            Error::VersionMismatch => ErrorKind::VersionMismatch
                .with("the resource has changed since the version in If-Match: read it again and repeat the change"),
            Error::Taken { attribute, owner } => ErrorKind::Uniqueness.with(format!(
                "{attribute} is already taken by the resource with id {owner}: choose another or update that one"
            )),
            Error::Refused(error) => error,
            Error::TooLarge { bytes } => ErrorKind::TooLarge.with(format!(
                "the resource would have {bytes} bytes, at most {} are allowed: send fewer or shorter values",
                crate::store::table::resource_item::MAX_RESOURCE_BYTES
            )),
            Error::TooManyValues { values } => ErrorKind::InvalidValue.with(format!(
                "the resource would have {values} values to be found by, at most {} are allowed: send fewer e-mails, roles or entitlements",
                crate::store::resource::MAX_INDEX_ROWS
            )),
            Error::TooManyMoves { moves } => ErrorKind::InvalidValue.with(format!(
                "the change would add and remove {moves} values to be found by, at most {} at once are allowed: send several requests",
                crate::store::resource::MAX_INDEX_ROWS
            )),
            Error::UnknownMembers { ids } => ErrorKind::InvalidValue.with(unknown(&ids)),
            Error::Cycle => ErrorKind::InvalidValue.with(
                "the group would become a member of itself: a group cannot have a member that it is in, directly or through others, unless the operator accepts it by the policy groupCycles",
            ),
            Error::TooManyGroups => ErrorKind::InvalidValue
                .with("too many groups are within each other: a group that is added may hold a thousand others at most"),
            Error::TooManyMembers { members } => ErrorKind::TooMany.with(format!(
                "the group has {members} members, at most {} can be read at once: use excludedAttributes=members, \
                 ask for one member by a filter, or add and remove members by PATCH",
                crate::store::group::read::MAX_MEMBERS_READ
            )),
            Error::TooManyChanges { changes } => ErrorKind::TooLarge.with(format!(
                "the request changes {changes} members, at most {} are allowed: send several requests",
                crate::store::group::staged::MAX_STAGED
            )),
            Error::TooMuchToRead => ErrorKind::TooMany.with("the query reads too much: narrow its filter"),
            Error::Busy { .. } => {
                tracing::warn!(%error, "gave up");
                ErrorKind::Busy { retry_after: RETRY_AFTER }
                    .with("too many changes at once: send the request again later")
            }
            Error::Unavailable { .. } => {
                tracing::error!(%error, "no answer from DynamoDB");
                ErrorKind::Unavailable { retry_after: RETRY_AFTER }
                    .with("the directory did not answer: read the resource, or send the request again later")
            }
            Error::Fault { .. } => {
                tracing::error!(%error, "fault");
                ErrorKind::Internal.with("internal error: tell the operator the time and the id of this request")
            }
        }
    }
}
