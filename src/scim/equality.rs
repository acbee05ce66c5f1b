//! Equality of values: that of texts is without regard to case, unless their attribute
//! is `caseExact` (RFC 7643 s2.2).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value};

use crate::scim::filter::case_fold::fold;
use crate::scim::schema::Attribute;

pub(crate) fn is_equal(attribute: &Attribute, one: &Value, other: &Value) -> bool {
    match (one, other) {
        // The usual case, without a copy.
        (Value::String(one), Value::String(other)) if one.is_ascii() && other.is_ascii() => {
            if attribute.is_case_exact() { one == other } else { one.eq_ignore_ascii_case(other) }
        }
        _ => one == other || comparable(attribute, one) == comparable(attribute, other),
    }
}

/// Returns a value, or an element of a multi-valued attribute, in the form in which it is
/// compared.
pub(crate) fn comparable(attribute: &Attribute, value: &Value) -> Value {
    match value {
        Value::String(text) if !attribute.is_case_exact() => fold(text).into(),
        Value::Array(elements) => elements.iter().map(|element| comparable(attribute, element)).collect(),
        Value::Object(object) => Value::Object(parts(attribute, object, |_| true)),
        other => other.clone(),
    }
}

/// Returns sub-attributes of a value in the order of the schema.
fn parts(
    attribute: &Attribute,
    object: &Map<String, Value>,
    is_wanted: impl Fn(&str) -> bool,
) -> Map<String, Value> {
    let subs = attribute.sub_attributes.iter().filter(|sub| is_wanted(&sub.name));
    subs.filter_map(|sub| Some((sub.name.clone(), comparable(sub, object.get(&sub.name)?)))).collect()
}

/// Joins the elements that are the same value: the combination of `value` and `type`
/// appears once (RFC 7643 s2.4). The first of them stays, and the others add what it omits.
pub(crate) fn joined(attribute: &Attribute, elements: Vec<Value>) -> Vec<Value> {
    let mut places = HashMap::new();
    let mut joined: Vec<Value> = Vec::with_capacity(elements.len());
    for element in elements {
        let identity = match &element {
            Value::Object(object) if object.contains_key("value") => {
                parts(attribute, object, |name| name == "value" || name == "type").into()
            }
            // Postal addresses have no `value`: only the same address appears once.
            whole => comparable(attribute, whole),
        };
        match places.entry(identity.to_string()) {
            Entry::Vacant(place) => {
                place.insert(joined.len());
                joined.push(element);
            }
            Entry::Occupied(place) => {
                if let (Some(Value::Object(first)), Value::Object(again)) =
                    (joined.get_mut(*place.get()), element)
                {
                    complete(first, again);
                }
            }
        }
    }
    joined
}

fn complete(first: &mut Map<String, Value>, again: Map<String, Value>) {
    for (name, value) in again {
        // One of the two is meant to be primary.
        if name == "primary" && value == true {
            first.insert(name, value);
        } else {
            first.entry(name).or_insert(value);
        }
    }
}
