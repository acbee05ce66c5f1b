//! A tenant as JSON Lines: one line for the tenant; one for each resource, followed by lines
//! with its members, up to a thousand in each; and one at the end.

use jiff::Timestamp;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::resource::Attributes;
use scim_lambda::store::Oauth;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Line {
    Tenant(TenantLine),
    Resource(ResourceLine),
    Members(MembersLine),
    /// The last line: the file is complete.
    End,
}

/// A tenant without its tokens, of which the table has only hashes.
#[derive(Serialize, Deserialize)]
pub(crate) struct TenantLine {
    pub(crate) policy: Policy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oauth: Option<Oauth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) definitions: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceLine {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) last_modified: Timestamp,
    pub(crate) resource: Attributes,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct MembersLine {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) members: Vec<Value>,
}
