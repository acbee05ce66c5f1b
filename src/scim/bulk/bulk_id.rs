//! `bulkId:<id>`, a reference to a resource that the same bulk request creates (RFC
//! 7644 s3.7.2): as a value, at the end of a URI, and as a value in the filter of a
//! PATCH path.

use serde_json::{Map, Value};

const PREFIX: &str = "bulkId:";

/// Replaces every reference in a value by the id that `id_of` returns for it. `None`
/// leaves the reference as it is.
pub fn rewrite(value: Value, id_of: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    rewrite_under(value, false, id_of)
}

fn rewrite_under(value: Value, is_path: bool, id_of: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => Value::String(rewrite_text(&text, is_path, id_of).unwrap_or(text)),
        Value::Array(elements) => {
            elements.into_iter().map(|element| rewrite_under(element, is_path, id_of)).collect()
        }
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| {
                // Only a path has literals. Elsewhere, quotes are part of a client's text.
                let is_path = key.eq_ignore_ascii_case("path");
                (key, rewrite_under(value, is_path, id_of))
            });
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Returns the text with its reference replaced, or `None` if nothing changes.
pub fn rewrite_text(
    text: &str,
    is_path: bool,
    id_of: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    if let Some(bulk_id) = text.strip_prefix(PREFIX) {
        return id_of(bulk_id);
    }
    if is_path {
        return rewrite_literals(text, id_of);
    }
    let (uri, last) = text.rsplit_once('/')?;
    let id = id_of(last.strip_prefix(PREFIX)?)?;
    Some(format!("{uri}/{id}"))
}

fn rewrite_literals(text: &str, id_of: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    let mut changed = false;
    // Split at quotes rather than parsed: the path is parsed later, against the schema. A
    // literal with an escaped quote before `bulkId:` is misread, but no id has a quote.
    let parts: Vec<String> = text
        .split('"')
        .map(|part| match part.strip_prefix(PREFIX).and_then(&mut *id_of) {
            Some(id) => {
                changed = true;
                id
            }
            None => part.to_owned(),
        })
        .collect();
    changed.then(|| parts.join("\""))
}

/// Returns the bulk ids that a path or a value refers to.
pub fn named(path: &str, data: &Value) -> Vec<String> {
    let mut named = Vec::new();
    // A rewrite that replaces nothing: one code decides what a reference is.
    let mut note = |bulk_id: &str| {
        named.push(bulk_id.to_owned());
        None
    };
    rewrite_text(path, false, &mut note);
    rewrite(data.clone(), &mut note);
    named
}

/// Splits a resource into the part that can be created now and the attributes that
/// must wait until the resources that they refer to exist.
pub fn split(data: Value, is_open: &dyn Fn(&str) -> bool) -> (Value, Value) {
    let Value::Object(members) = data else {
        return (data, Value::Null);
    };
    let (mut now, mut later) = (Map::new(), Map::new());
    let waits = |value: &Value| named("", value).iter().any(|bulk_id| is_open(bulk_id));
    for (key, value) in members {
        match value {
            value if !waits(&value) => {
                now.insert(key, value);
            }
            // An extension is a name space, not a value: its attributes wait one by one.
            Value::Object(_) if key.contains(':') => {
                let (ready, waiting) = split(value, is_open);
                now.insert(key.clone(), ready);
                later.insert(key, waiting);
            }
            // Members that exist are added with the group. Only the others wait, so a circle
            // through one member does not leave a group empty for a while.
            Value::Array(elements) => {
                let (waiting, ready): (Vec<Value>, Vec<Value>) = elements.into_iter().partition(waits);
                now.insert(key.clone(), ready.into());
                later.insert(key, waiting.into());
            }
            // Any other attribute is useless in part: `manager` without its value.
            value => {
                later.insert(key, value);
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
            assert_eq!(rewrite(sent, &mut |id| (id == "q").then(|| "7".to_owned())), expected);
        }
    }

    #[test]
    fn what_names_an_open_bulk_id_waits_and_the_rest_does_not() {
        let group = json!({
            "displayName": "A",
            "members": [{ "value": "bulkId:open" }, { "value": "bulkId:known" }],
            "urn:x:User": { "employeeNumber": "7", "manager": { "value": "bulkId:open" } },
        });
        let (now, later) = split(group, &|id| id == "open");
        assert_eq!(
            now,
            json!({ "displayName": "A", "members": [{ "value": "bulkId:known" }], "urn:x:User": { "employeeNumber": "7" } })
        );
        assert_eq!(
            later,
            json!({ "members": [{ "value": "bulkId:open" }], "urn:x:User": { "manager": { "value": "bulkId:open" } } })
        );
        assert_eq!(split(json!([]), &|_| true), (json!([]), Value::Null));
        assert_eq!(named("/Users/bulkId:open", &later), ["open", "open", "open"]);
    }
}
