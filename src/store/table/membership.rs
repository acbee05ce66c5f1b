//! A membership: one item for each member of a group, in the partition of the
//! group, and in the index `members` under the member.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scim::member::Member;
use crate::scim::schema::ResourceType;
use crate::store::error::Error;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::resource_item::Item;
use crate::store::table::visibility::Tags;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) pk: String,
    /// Id of the member.
    pub(crate) sk: String,
    pub(crate) member_pk: String,
    /// Resource type of the member.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed_by: Option<u64>,
}

/// A member that was found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedMember {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) display: Option<String>,
}

impl Membership {
    pub(crate) fn new(tenant: &TenantName, group: &Key, member: ResolvedMember) -> Self {
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

    pub(crate) fn read(item: Item) -> Result<Self, Error> {
        serde_dynamo::from_item(item).map_err(|error| Error::fault("Membership", error))
    }

    pub(crate) fn into_item(self) -> Result<Item, Error> {
        serde_dynamo::to_item(self).map_err(|error| Error::fault("Membership", error))
    }

    pub(crate) fn tags(&self) -> Tags {
        Tags { added_by: self.added_by, removed_by: self.removed_by }
    }

    pub(crate) fn into_element(self) -> Value {
        Member { id: self.sk, kind: Some(self.kind), display: self.display }.into_element()
    }
}

/// The types that a member may have: those that its `$ref` may lead to.
pub(crate) fn member_types(kind: &ResourceType) -> impl Iterator<Item = &str> {
    let reference = kind
        .members
        .as_ref()
        .and_then(|name| kind.schema.attribute(name))
        .and_then(|attribute| attribute.sub_attribute("$ref"));
    reference.into_iter().flat_map(|reference| reference.reference_types.iter().map(String::as_str))
}

/// DynamoDB takes no key that is empty or over 1,024 bytes, and what is longer
/// than this is nobody's id.
pub(crate) fn is_member_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
}
