//! Tenant isolation, asserted below the SDK in every test: a request touches only partitions of its
//! tenant.

use scim_lambda::auth::Token;
use serde_json::{Value, json};

tokio::task_local! {
    /// The prefix of the partitions of the current request, and the partition with the record of
    /// the tenant that its URL names.
    static PARTITIONS: (String, String);
}

/// Does the work of this event, in which a call with a key of another tenant fails the test.
pub(crate) async fn watch<T>(event: &Value, work: impl Future<Output = T>) -> T {
    match tenant(event) {
        Some(tenant) => {
            let record = format!("{}#tenant", of_url(event).unwrap_or_default());
            PARTITIONS.scope((format!("{tenant}#"), record), work).await
        }
        None => work.await,
    }
}

/// Returns the tenant of the token, or of the path for an access token.
fn tenant(event: &Value) -> Option<String> {
    let headers = event["headers"].as_object()?;
    let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = header?.1.as_str()?.trim().split_once(' ')?.1.trim();
    if let Some(token) = Token::parse(token) {
        return Some(token.tenant.as_str().to_owned());
    }
    of_url(event)
}

/// Returns the segment before `/scim/v2`.
fn of_url(event: &Value) -> Option<String> {
    let path = ["rawPath", "path"].into_iter().find_map(|name| event[name].as_str());
    let path = event["requestContext"]["path"].as_str().or(path)?;
    let (before, _) = path.split_at(path.to_ascii_lowercase().find("/scim/v2")?);
    Some(before.rsplit('/').next()?.to_owned())
}

/// Asserts that a call has only keys of the current tenant.
pub(crate) fn assert_own(operation: &str, request: &Value) {
    let _outside = PARTITIONS.try_with(|(own, record)| {
        let mut keys = Vec::new();
        partitions(request, &mut keys);
        assert!(!keys.is_empty(), "{operation} without a key: {request}");
        for key in keys {
            // A token under the URL of another tenant is refused, which takes a look at its record.
            let is_look = key == *record && operation == "BatchGetItem";
            // The secrets of the deployment are those of all tenants.
            let is_shared = key == "#secrets";
            // The sweep finds the jobs of all tenants. A request can put one, and read none.
            let is_shared = is_shared || key.starts_with("#due#") && operation != "Query";
            assert!(
                is_look || is_shared || key.starts_with(own),
                "{operation} in {key}, which is not one of {own}: {request}"
            );
        }
    });
}

/// Collects the values of keys in items, in conditions of queries, and in parameters of statements.
fn partitions(request: &Value, keys: &mut Vec<String>) {
    match request {
        Value::Object(members) => {
            if let (Some(text), Some(parameters)) =
                (request["Statement"].as_str(), request["Parameters"].as_array())
            {
                let before = text.split('?').map(|part| part.trim_end_matches([' ', '=', ':', '\'']));
                let named = before.zip(parameters).filter(|(part, _)| part.ends_with("pk"));
                keys.extend(named.map(|(_, value)| value["S"].as_str().unwrap().to_owned()));
                return;
            }
            for (name, value) in members {
                match (name.as_str(), value["S"].as_str()) {
                    ("pk" | ":pk" | "change_pk" | "member_pk", Some(key)) => keys.push(key.to_owned()),
                    _ => partitions(value, keys),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| partitions(element, keys)),
        _ => {}
    }
}

#[test]
fn a_key_is_found_wherever_a_call_has_it() {
    for (request, expected) in [
        (json!({ "Key": { "pk": { "S": "a#User" }, "sk": { "S": "b#x" } } }), "a#User"),
        (json!({ "ExpressionAttributeValues": { ":pk": { "S": "a#Group" } } }), "a#Group"),
        (
            json!({ "Item": { "pk": { "S": "a#1" }, "member_pk": { "S": "a#2" }, "change_pk": { "S": "a#3" } } }),
            "a#1 a#2 a#3",
        ),
        (
            json!({ "Statements": [{ "Statement": r#"DELETE FROM "t" WHERE pk = ? AND sk = ?"#, "Parameters": [{ "S": "a#1" }, { "S": "b#2" }] }] }),
            "a#1",
        ),
        (
            json!({ "Statement": "INSERT INTO \"t\" VALUE {'sk': ?, 'member_pk': ?, 'pk': ?}", "Parameters": [{ "S": "b#1" }, { "S": "a#2" }, { "S": "a#3" }] }),
            "a#2 a#3",
        ),
    ] {
        let mut keys = Vec::new();
        partitions(&request, &mut keys);
        assert_eq!(keys.join(" "), expected, "{request}");
    }
}
