//! A membership: one item for each member of a group, in the partition of the
//! group, and in the index `members` under the member.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Error;
use super::item::Item;
use super::keys::{self, Key, TenantName};
use super::roster::Tags;
use crate::scim::member::Member;
use crate::scim::schema::ResourceType;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) pk: String,
    /// Id of the member.
    pub(super) sk: String,
    pub(super) member_pk: String,
    /// Resource type of the member.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed_by: Option<u64>,
}

/// A member that was found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) display: Option<String>,
}

impl Membership {
    pub(super) fn new(tenant: &TenantName, group: &Key, member: Known) -> Self {
        Self {
            pk: format!("{}#{}", group.pk, group.sk),
            member_pk: keys::member_of(tenant, &member.id),
            sk: member.id,
            kind: member.kind,
            display: member.display,
            added_by: None,
            removed_by: None,
        }
    }

    pub(super) fn read(item: Item) -> Result<Self, Error> {
        serde_dynamo::from_item(item).map_err(|error| Error::fault("Membership", error))
    }

    pub(super) fn into_item(self) -> Result<Item, Error> {
        serde_dynamo::to_item(self).map_err(|error| Error::fault("Membership", error))
    }

    pub(super) fn tags(&self) -> Tags {
        Tags { added_by: self.added_by, removed_by: self.removed_by }
    }

    pub(super) fn into_element(self) -> Value {
        Member { id: self.sk, kind: Some(self.kind), display: self.display }.into_element()
    }
}

/// The types that a member may have: those that its `$ref` may lead to.
pub(super) fn member_types(kind: &ResourceType) -> impl Iterator<Item = &str> {
    let reference = kind
        .members
        .as_ref()
        .and_then(|name| kind.schema.attribute(name))
        .and_then(|attribute| attribute.sub_attribute("$ref"));
    reference.into_iter().flat_map(|reference| reference.reference_types.iter().map(String::as_str))
}

/// DynamoDB takes no key that is empty or over 1,024 bytes, and what is longer
/// than this is nobody's id.
pub(super) fn is_member_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
}
