//! The item of a resource.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::roster::Roster;
use crate::scim::etag::Version;
use crate::scim::resource::{Attributes, Resource};

pub(super) type Item = HashMap<String, AttributeValue>;

/// DynamoDB takes 400 KB an item. The attributes' JSON is never shorter than
/// what DynamoDB counts for them; the rest is for the keys and numbers beside them.
pub const MAX_RESOURCE_BYTES: usize = 390 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) pk: String,
    pub(super) sk: String,
    pub(super) version: u64,
    /// Random for each logical write: whoever finds his own after a lost
    /// answer knows that he has won.
    pub(super) write_id: String,
    /// Of the write before: he may come back when another has written since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_write_id: Option<String>,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    /// Digest of the index keys, see [`super::keys::IndexKeys`].
    pub(super) index_digest: String,
    pub(super) change_pk: String,
    /// Of the last change. Moving an index entry costs two units, so the index
    /// `changes` is sorted by the hour and most changes do not move theirs.
    pub(super) hour: String,
    pub(super) resource: Attributes,
    /// Of a type that has members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) roster: Option<Roster>,
}

impl Stored {
    pub(super) fn read(operation: &'static str, item: Item) -> Result<Self, Error> {
        serde_dynamo::from_item(item).map_err(|error| Error::fault(operation, error))
    }

    pub(super) fn into_item(self, operation: &'static str) -> Result<Item, Error> {
        serde_dynamo::to_item(self).map_err(|error| Error::fault(operation, error))
    }

    /// Whether this holds the write with that id: it won, though its answer was lost.
    pub(super) fn is_by(&self, write_id: &str) -> bool {
        self.write_id == write_id || self.previous_write_id.as_deref() == Some(write_id)
    }

    /// Whether a staged change has a hold of it.
    pub(super) fn is_marked(&self) -> bool {
        self.roster.as_ref().is_some_and(|roster| roster.staged.is_some())
    }

    pub(super) fn into_resource(self) -> Resource {
        Resource {
            id: self.sk,
            version: Version(self.version),
            created: self.created,
            last_modified: self.modified,
            attributes: self.resource,
        }
    }
}

pub(super) fn hour(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H").to_string()
}

pub(super) fn attribute_value(
    operation: &'static str,
    value: &impl Serialize,
) -> Result<AttributeValue, Error> {
    serde_dynamo::to_attribute_value(value).map_err(|error| Error::fault(operation, error))
}

pub(super) fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

pub(super) fn check_size(attributes: &Attributes) -> Result<(), Error> {
    let bytes = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_RESOURCE_BYTES { Err(Error::TooLarge { bytes }) } else { Ok(()) }
}
