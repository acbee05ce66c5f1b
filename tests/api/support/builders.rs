//! Parts of requests: users, groups, PATCH messages, and values of queries.

use serde_json::{Value, json};

/// The URN of the enterprise extension of users.
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A user as an identity provider creates it.
pub(crate) const SARAH: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"00u987zyx654wvu321","active":true,
    "userName":"sarah.jones@example.com","name":{"givenName":"Sarah","familyName":"Jones"},
    "emails":[{"value":"sarah.jones@example.com","type":"work"}]}"#;

/// A PATCH that deactivates a user.
pub(crate) const DEACTIVATE: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations":[{"op":"replace","path":"active","value":false}]}"#;

/// Returns the body of a POST or PUT of a user. Every value of it derives from `name`.
pub(crate) fn user(name: &str) -> String {
    format!(
        r#"{{"userName":"{name}","externalId":"{name}","active":true,"emails":[{{"value":"{name}@example.com"}}]}}"#
    )
}

/// Returns the body of a POST or PUT of a group.
pub(crate) fn group(name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    json!({ "displayName": name, "members": members }).to_string()
}

/// Returns a PATCH of these operations.
pub(crate) fn patch(operations: &Value) -> String {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
        .to_string()
}

/// Returns a PATCH that adds members.
pub(crate) fn add(ids: &[&str]) -> String {
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    patch(&json!([{ "op": "add", "path": "members", "value": members }]))
}

/// Returns a PATCH that removes a member.
pub(crate) fn remove(id: &str) -> String {
    patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]))
}

/// Encodes a value of a query string.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
