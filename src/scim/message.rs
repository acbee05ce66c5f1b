//! Protocol messages (RFC 7644 s3.1): PATCH, search and bulk requests.

use serde_json::Value;

/// Names in a message are matched without case, as attribute names are.
pub fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether the body says that it is the message of this URN.
pub fn names(body: &Value, urn: &str) -> bool {
    let schemas = member(body, "schemas").and_then(Value::as_array);
    schemas.is_some_and(|schemas| {
        schemas.iter().filter_map(Value::as_str).any(|schema| schema.eq_ignore_ascii_case(urn))
    })
}
