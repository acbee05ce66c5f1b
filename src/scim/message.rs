//! Protocol messages (RFC 7644 s3.1): PATCH, search and bulk requests.

use serde_json::Value;

use crate::scim::error::{ErrorKind, Result};
use crate::scim::quirks::{Leeway, Tolerance};

/// Returns the member of this name.
pub fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    // Without regard to case. RFC 7643 s2.1 says so of attribute names only, but a client
    // errs as easily in `Operations`.
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Checks that `schemas` names the kind of a body (RFC 7643 s3).
pub fn check_schema(body: &Value, urn: &str, leeway: Leeway<'_>) -> Result<()> {
    // Other URNs may be in it: a client need not list extensions exactly.
    let schemas = member(body, "schemas").and_then(Value::as_array);
    let named = schemas.is_some_and(|schemas| {
        schemas.iter().filter_map(Value::as_str).any(|schema| schema.eq_ignore_ascii_case(urn))
    });
    if named || leeway.tolerates(Tolerance::SchemasMissing) {
        return Ok(());
    }
    Err(ErrorKind::InvalidSyntax.with(format!("schemas must contain {urn}")))
}
