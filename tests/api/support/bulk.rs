//! Operations of bulk requests, and their outcomes.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;

/// Sends a bulk request.
pub(crate) async fn send(client: &Client, operations: &[Value]) -> Answer {
    client.post("/Bulk", &body(operations).to_string()).await
}

/// Returns the body of a bulk request.
pub(crate) fn body(operations: &[Value]) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

/// Returns an operation that creates a resource.
pub(crate) fn post(bulk_id: &str, path: &str, data: impl Into<Value>) -> Value {
    json!({ "method": "POST", "path": path, "bulkId": bulk_id, "data": data.into() })
}

/// Returns an operation that creates a user, whose name is also its bulkId.
pub(crate) fn user(name: &str) -> Value {
    post(name, "/Users", json!({ "userName": name }))
}

/// Returns an operation that patches one attribute.
pub(crate) fn patch(path: &str, op: &str, name: &str, value: impl Into<Value>) -> Value {
    json!({ "method": "PATCH", "path": path, "data": { "Operations": [{ "op": op, "path": name, "value": value.into() }] } })
}

/// Returns an operation that deletes a resource.
pub(crate) fn delete(path: &str) -> Value {
    json!({ "method": "DELETE", "path": path })
}

/// Returns a line for each operation: method, bulkId, status, version and detail.
pub(crate) fn outcomes(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer}");
    let lines = answer.body["Operations"].as_array().unwrap().iter().map(|operation| {
        let text = |pointer| operation.pointer(pointer).and_then(Value::as_str);
        let texts =
            [text("/method"), text("/bulkId"), text("/status"), text("/version"), text("/response/detail")];
        texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the status of each operation.
pub(crate) fn statuses(answer: &Answer) -> Vec<&str> {
    let operations = answer.body["Operations"].as_array().unwrap_or_else(|| panic!("{answer}"));
    operations.iter().map(|operation| operation["status"].as_str().unwrap()).collect()
}

/// Returns the id of the resource of an operation.
pub(crate) fn id(answer: &Answer, operation: usize) -> String {
    let location = answer.body["Operations"][operation]["location"].as_str().unwrap();
    location.rsplit('/').next().unwrap().to_owned()
}
