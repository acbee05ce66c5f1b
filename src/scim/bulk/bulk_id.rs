//! `bulkId:<id>`, which stands for a resource that the same bulk request creates
//! (RFC 7644 s3.7.2): as a value, at the end of a URI, and as a value in the
//! filter of a PATCH path.

use serde_json::{Map, Value};

const PREFIX: &str = "bulkId:";

/// `name` gives what stands in the place of a `bulkId`; `None` leaves it.
pub fn rewrite(value: &Value, name: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    rewrite_under(value, false, name)
}

fn rewrite_under(value: &Value, is_path: bool, name: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => rewrite_text(text, is_path, name).map_or_else(|| value.clone(), Value::String),
        Value::Array(elements) => {
            elements.iter().map(|element| rewrite_under(element, is_path, name)).collect()
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| {
                let is_path = key.eq_ignore_ascii_case("path");
                (key.clone(), rewrite_under(value, is_path, name))
            });
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// `None` if nothing changes.
pub fn rewrite_text(
    text: &str,
    is_path: bool,
    name: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    if let Some(bulk_id) = text.strip_prefix(PREFIX) {
        return name(bulk_id);
    }
    if is_path {
        return rewrite_literals(text, name);
    }
    let (uri, last) = text.rsplit_once('/')?;
    let id = name(last.strip_prefix(PREFIX)?)?;
    Some(format!("{uri}/{id}"))
}

/// In a filter a value stands between quotes.
fn rewrite_literals(text: &str, name: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let mut changed = false;
    let parts: Vec<String> = text
        .split('"')
        .map(|part| match part.strip_prefix(PREFIX).and_then(&mut *name) {
            Some(id) => {
                changed = true;
                id
            }
            None => part.to_owned(),
        })
        .collect();
    changed.then(|| parts.join("\""))
}

/// Those that a text or value names.
pub fn named(path: &str, data: &Value) -> Vec<String> {
    let mut named = Vec::new();
    let mut note = |bulk_id: &str| {
        named.push(bulk_id.to_owned());
        None
    };
    rewrite_text(path, false, &mut note);
    rewrite(data, &mut note);
    named
}

/// A resource taken apart into what can be created now and the attributes that
/// have to wait until the resources that they name exist; of several values only
/// those wait that do.
pub fn split(data: &Value, is_open: &dyn Fn(&str) -> bool) -> (Value, Value) {
    let Value::Object(members) = data else {
        return (data.clone(), Value::Null);
    };
    let (mut now, mut later) = (Map::new(), Map::new());
    for (key, value) in members {
        let waits = |value: &Value| named("", value).iter().any(|bulk_id| is_open(bulk_id));
        match value {
            value if !waits(value) => {
                now.insert(key.clone(), value.clone());
            }
            // The attributes of an extension, which are no value together.
            Value::Object(_) if key.contains(':') => {
                let (ready, waiting) = split(value, is_open);
                now.insert(key.clone(), ready);
                later.insert(key.clone(), waiting);
            }
            Value::Array(elements) => {
                let (waiting, ready): (Vec<Value>, Vec<Value>) = elements.iter().cloned().partition(waits);
                now.insert(key.clone(), ready.into());
                later.insert(key.clone(), waiting.into());
            }
            value => {
                later.insert(key.clone(), value.clone());
            }
        }
    }
    (now.into(), later.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{named, rewrite, split};

    #[test]
    fn a_bulk_id_is_replaced_wherever_a_resource_is_named() {
        for (sent, expected) in [
            (json!("bulkId:q"), json!("7")),
            (json!({ "members": [{ "value": "bulkId:q" }] }), json!({ "members": [{ "value": "7" }] })),
            (
                json!({ "$ref": "https://example.com/v2/Users/bulkId:q" }),
                json!({ "$ref": "https://example.com/v2/Users/7" }),
            ),
            (
                json!({ "path": "members[value eq \"bulkId:q\"]" }),
                json!({ "path": "members[value eq \"7\"]" }),
            ),
            (
                json!({ "path": "members[value eq \"bulkId:q\" or value eq \"bulkId:x\"].display" }),
                json!({ "path": "members[value eq \"7\" or value eq \"bulkId:x\"].display" }),
            ),
            // It is no part of a longer text.
            (json!("see bulkId:q"), json!("see bulkId:q")),
            (json!({ "note": "\"bulkId:q\"" }), json!({ "note": "\"bulkId:q\"" })),
            (json!({ "bulkId:q": true }), json!({ "bulkId:q": true })),
            (json!([1, null, false]), json!([1, null, false])),
        ] {
            assert_eq!(rewrite(&sent, &mut |id| (id == "q").then(|| "7".to_owned())), expected);
        }
    }

    #[test]
    fn what_names_an_open_bulk_id_waits_and_the_rest_does_not() {
        let group = json!({
            "displayName": "A",
            "members": [{ "value": "bulkId:open" }, { "value": "bulkId:known" }],
            "urn:x:User": { "employeeNumber": "7", "manager": { "value": "bulkId:open" } },
        });
        let (now, later) = split(&group, &|id| id == "open");
        assert_eq!(
            now,
            json!({ "displayName": "A", "members": [{ "value": "bulkId:known" }], "urn:x:User": { "employeeNumber": "7" } })
        );
        assert_eq!(
            later,
            json!({ "members": [{ "value": "bulkId:open" }], "urn:x:User": { "manager": { "value": "bulkId:open" } } })
        );
        assert_eq!(split(&json!([]), &|_| true), (json!([]), Value::Null));
        assert_eq!(named("/Users/bulkId:open", &later), ["open", "open", "open"]);
    }
}
