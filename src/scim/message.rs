//! Protocol messages (RFC 7644 s3.1): PATCH, search and bulk requests.

use serde_json::Value;

use crate::scim::error::{ErrorKind, Result};
use crate::scim::quirks::{Leeway, Tolerance};

/// Names in a message are matched without case, as attribute names are.
pub fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A body says in `schemas` what it is (RFC 7643 s3).
pub fn check_schema(body: &Value, urn: &str, leeway: Leeway<'_>) -> Result<()> {
    let schemas = member(body, "schemas").and_then(Value::as_array);
    let named = schemas.is_some_and(|schemas| {
        schemas.iter().filter_map(Value::as_str).any(|schema| schema.eq_ignore_ascii_case(urn))
    });
    if named || leeway.tolerates(Tolerance::SchemasMissing) {
        return Ok(());
    }
    Err(ErrorKind::InvalidSyntax.with(format!("schemas has to hold {urn}")))
}
