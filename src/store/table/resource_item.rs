//! The item of a resource.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scim::etag::Version;
use crate::scim::resource::{Attributes, Resource};
use crate::store::error::Error;
use crate::store::table::visibility::Visibility;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// DynamoDB takes 400 KB an item. The attributes' JSON is never shorter than
/// what DynamoDB counts for them; the rest is for the keys and numbers beside them.
pub const MAX_RESOURCE_BYTES: usize = 390 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) version: u64,
    /// Random for each logical write: whoever finds his own after a lost
    /// answer knows that he has won.
    pub(crate) write_id: String,
    /// Of the write before: he may come back when another has written since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_write_id: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// Digest of the index keys, see [`crate::store::table::keys::IndexKeys`].
    pub(crate) index_digest: String,
    pub(crate) change_pk: String,
    /// Of the last change. Moving an index entry costs two units, so the index
    /// `changes` is sorted by the hour and most changes do not move theirs.
    pub(crate) hour: String,
    pub(crate) resource: Attributes,
    /// Of a type that has members.
    #[serde(rename = "roster", skip_serializing_if = "Option::is_none")]
    pub(crate) visibility: Option<Visibility>,
}

impl ResourceItem {
    pub(crate) fn read(operation: &'static str, item: Item) -> Result<Self, Error> {
        serde_dynamo::from_item(item).map_err(|error| Error::fault(operation, error))
    }

    pub(crate) fn into_item(self, operation: &'static str) -> Result<Item, Error> {
        serde_dynamo::to_item(self).map_err(|error| Error::fault(operation, error))
    }

    /// Whether this holds the write with that id: it won, though its answer was lost.
    pub(crate) fn is_by(&self, write_id: &str) -> bool {
        self.write_id == write_id || self.previous_write_id.as_deref() == Some(write_id)
    }

    /// Whether a staged change has a hold of it.
    pub(crate) fn is_marked(&self) -> bool {
        self.visibility.as_ref().is_some_and(|visibility| visibility.staged.is_some())
    }

    pub(crate) fn into_resource(self) -> Resource {
        Resource {
            id: self.sk,
            version: Version(self.version),
            created: self.created,
            last_modified: self.modified,
            attributes: self.resource,
        }
    }
}

pub(crate) fn hour(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H").to_string()
}

pub(crate) fn attribute_value(
    operation: &'static str,
    value: &impl Serialize,
) -> Result<AttributeValue, Error> {
    serde_dynamo::to_attribute_value(value).map_err(|error| Error::fault(operation, error))
}

pub(crate) fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

pub(crate) fn check_size(attributes: &Attributes) -> Result<(), Error> {
    let bytes = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_RESOURCE_BYTES { Err(Error::TooLarge { bytes }) } else { Ok(()) }
}
