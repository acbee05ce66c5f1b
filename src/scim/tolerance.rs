//! What identity providers send that the RFCs would refuse, and how it is
//! read. Every quirk stands here, with the client it was seen from; under the
//! policy `strict` none applies but [`op`].

use serde_json::{Map, Value, json};

use super::filter::{CompareOp, Filter};
use super::patch::Op;
use super::schema::{Attribute, Type};

/// RFC 7644 s3.5.2 spells these in lower case. Entra ID sends `Add`, `Replace`
/// and `Remove`, so case is ignored.
pub fn op(text: &str) -> Option<Op> {
    [("add", Op::Add), ("remove", Op::Remove), ("replace", Op::Replace)]
        .into_iter()
        .find_map(|(name, op)| name.eq_ignore_ascii_case(text).then_some(op))
}

/// Entra ID sends `"active": "False"` unless its tenant URL carries a feature
/// flag; OneLogin's templates make strings of booleans.
pub fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(name, value)| name.eq_ignore_ascii_case(text).then_some(value))
}

/// OneLogin sends `emails` as one object instead of an array of one.
pub fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        one => std::slice::from_ref(one),
    }
}

/// Entra ID sends a manager as `"<id>"` where the schema wants
/// `{"value": "<id>"}`.
pub fn complex(attribute: &Attribute, value: &Value) -> Option<Map<String, Value>> {
    attribute.sub_attribute("value")?;
    value.is_string().then(|| Map::from_iter([("value".to_owned(), value.clone())]))
}

/// Entra ID clears a manager with `""` or `{"value": ""}`.
pub fn is_cleared(attribute: &Attribute, object: &Map<String, Value>) -> bool {
    let value = object.iter().find(|(name, _)| name.eq_ignore_ascii_case("value"));
    !attribute.multi_valued && value.is_some_and(|(_, value)| value == "")
}

/// Entra ID and JumpCloud send the members to remove as the `value` of a remove
/// whose path is `members`, a form that RFC 7644 s3.5.2.2 does not have; others
/// wrap them in an object once more.
pub fn removed<'v>(attribute: &Attribute, value: &'v Value) -> &'v [Value] {
    let wrapped = value
        .as_object()
        .and_then(|object| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(&attribute.name)));
    elements(wrapped.map_or(value, |(_, inner)| inner))
}

/// RFC 7643 s4.2 requires no part of a member, so a client may name one by its
/// `$ref` alone: the id and the resource type that it ends in.
pub fn referred(reference: &str) -> Option<(&str, &'static str)> {
    let (path, id) = reference.rsplit_once('/')?;
    let endpoint = path.rsplit('/').next()?;
    [("Users", "User"), ("Groups", "Group")]
        .into_iter()
        .find_map(|(name, kind)| name.eq_ignore_ascii_case(endpoint).then_some((id, kind)))
}

/// Entra ID sets `phoneNumbers[type eq "mobile"].value` on a user that has no
/// mobile number, where RFC 7644 s3.5.2.3 asks for `noTarget`: the element that
/// the filter describes, to be added. `replace` makes one only for values that
/// the schema suggests, so that a mistyped `type` is still reported.
pub fn element(op: Op, attribute: &Attribute, filter: &Filter) -> Option<Map<String, Value>> {
    let Filter::Compare { path, op: CompareOp::Eq, value } = filter else {
        return None;
    };
    let sub = attribute.sub_attribute(&path.attr)?;
    let value = match value {
        Value::String(text) if sub.kind == Type::Boolean => json!(boolean(text)?),
        Value::Null => return None,
        value => value.clone(),
    };
    let suggested = match &value {
        Value::String(text) => sub.canonical_values.iter().any(|known| known.eq_ignore_ascii_case(text)),
        Value::Bool(primary) => *primary && sub.name == "primary",
        _ => false,
    };
    (suggested || op == Op::Add).then(|| Map::from_iter([(sub.name.clone(), value)]))
}
