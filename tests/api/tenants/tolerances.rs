//! Tolerances: departures from the RFCs, which a tolerant tenant accepts and logs and a strict one
//! refuses.

use scim_lambda::scim::policy::{Interpretation, Policy};
use scim_lambda::scim::quirks::Tolerance;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::{ENTERPRISE, encoded};
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::recording::Recording;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// Returns the answer, and the tolerances in the log line of the request.
async fn tolerances(client: &Client, (method, path, body): (&str, &str, &Value)) -> (Answer, String) {
    let recording = Recording::new();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(method, path).body(&body).send().await;
    let text = recording.text();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    (answer, line["tolerances"].as_str().unwrap_or_default().to_owned())
}

fn patch(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

fn bulk(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [operation] })
}

/// Returns requests about a user and a group, each with the tolerances that it needs.
fn requests(user: &str, group: &str) -> Vec<(&'static str, String, Value, &'static str)> {
    let (users, groups) = (format!("/Users/{user}"), format!("/Groups/{group}"));
    let of_user = |operation: Value, used| ("PATCH", users.clone(), patch(&operation), used);
    let of_group = |operation: Value, used| ("PATCH", groups.clone(), patch(&operation), used);
    let post = |user: Value, used| ("POST", "/Users".to_owned(), user, used);
    let find = |filter: &str, used| {
        let filter = encoded(filter);
        ("GET", format!("/Users?filter={filter}"), Value::Null, used)
    };
    let one = json!([{ "value": user }]);
    vec![
        of_user(json!({ "op": "replace", "path": "active", "value": true }), ""),
        of_user(json!({ "op": "replace", "value": { "title": "a", ENTERPRISE: { "department": "b" } } }), ""),
        of_user(json!({ "op": "Replace", "path": "title", "value": "b" }), "opInAnyCase"),
        of_user(json!({ "op": "replace", "path": "", "value": { "title": "c" } }), "emptyPath"),
        of_user(json!({ "op": "replace", "value": { "name.givenName": "S" } }), "pathAsName"),
        of_user(json!({ "op": "replace", "path": "active", "value": "False" }), "booleanAsString"),
        of_user(json!({ "op": "Add", "path": "active", "value": "True" }), "opInAnyCase,booleanAsString"),
        post(
            json!({ "schemas": [USER], "userName": "a", "emails": { "value": "a@example.com" } }),
            "singleValueForArray",
        ),
        of_user(
            json!({ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": "7" }),
            "stringForComplex",
        ),
        of_user(
            json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": { "value": "" } }),
            "emptyValueClears",
        ),
        of_group(json!({ "op": "add", "path": "members", "value": one }), ""),
        of_group(json!({ "op": "remove", "path": "members", "value": one }), "removeWithValue"),
        of_group(
            json!({ "op": "remove", "path": "members", "value": { "members": one } }),
            "removeWithValue,wrappedValue",
        ),
        of_group(
            json!({ "op": "add", "path": "members", "value": [{ "$ref": format!("../Users/{user}") }] }),
            "memberByReference",
        ),
        of_user(
            json!({ "op": "replace", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1" }),
            "elementMade",
        ),
        of_user(
            json!({ "op": "replace", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "2" }),
            "",
        ),
        of_user(json!({ "op": "add", "path": "department", "value": "x" }), "extensionWithoutUrn"),
        of_user(json!({ "op": "replace", "value": { "division": "x" } }), "extensionWithoutUrn"),
        post(json!({ "schemas": [USER], "userName": "f", "costCenter": "1" }), "extensionWithoutUrn"),
        of_user(
            json!({ "op": "add", "path": format!("{ENTERPRISE}.employeeNumber"), "value": "7" }),
            "dotAfterUrn",
        ),
        of_user(json!({ "op": "add", "path": USER, "value": { "title": "x" } }), "coreAsExtension"),
        of_user(
            json!({ "op": "remove", "path": format!("{ENTERPRISE}:manager[value eq \"7\"]") }),
            "filterOfSingleValue",
        ),
        of_user(
            json!({ "op": "replace", "value": { "emails[type eq \"work\"].value": "n@x" } }),
            "pathAsName,elementMade",
        ),
        (
            "PATCH",
            users.clone(),
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [] }),
            "noOperations",
        ),
        of_user(json!({ "op": "add", "path": "shoeSize", "value": 43 }), "unknownAttributeIgnored"),
        post(json!({ "schemas": [USER], "userName": "b", "shoeSize": 43 }), "unknownAttributeIgnored"),
        of_user(json!({ "op": "replace", "value": { "id": user, "title": "d" } }), "readOnlyIgnored"),
        post(json!({ "schemas": [USER], "userName": "c", "id": "mine", "meta": {} }), ""),
        post(json!({ "userName": "d" }), "schemasMissing"),
        (
            "POST",
            "/Bulk".to_owned(),
            bulk(&json!({ "method": "delete", "path": "/Users/none" })),
            "methodInAnyCase",
        ),
        (
            "POST",
            "/Bulk".to_owned(),
            bulk(&json!({ "method": "POST", "path": "/Users", "data": { "userName": "e" } })),
            "schemasMissing,bulkIdMissing",
        ),
        find("emails[type eq \"work\"].value eq \"x\"", "valuePathCompared"),
        find("manager.value eq \"7\"", "extensionWithoutUrn"),
        find("manager eq \"7\"", "extensionWithoutUrn,complexAsValue"),
        find(&format!("{ENTERPRISE}:manager.value eq \"7\" and active eq true"), ""),
    ]
}

async fn directory(interpretation: Interpretation) -> (Client, String, String) {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { interpretation, ..Policy::default() }).await;
    let client = directory.client();
    let user = client.post("/Users", &json!({ "schemas": [USER], "userName": "sarah" }).to_string()).await;
    let group = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Crew" });
    let group = client.post("/Groups", &group.to_string()).await;
    (client, user.id().to_owned(), group.id().to_owned())
}

#[tokio::test]
async fn a_request_says_what_was_tolerated_in_it() {
    let (client, user, group) = directory(Interpretation::Tolerant).await;
    let mut seen = Vec::new();
    for (method, path, body, expected) in requests(&user, &group) {
        let (answer, tolerated) = tolerances(&client, (method, &path, &body)).await;
        assert!(answer.status < 300, "{body}: {answer}");
        assert_eq!(tolerated, expected, "{path} {body}");
        seen.extend(tolerated.split(',').map(str::to_owned));
    }
    for tolerance in Tolerance::ALL {
        assert!(seen.iter().any(|name| name == tolerance.name()), "{tolerance:?} is never seen");
    }
}

#[tokio::test]
async fn a_strict_tenant_tolerates_nothing() {
    let (client, user, group) = directory(Interpretation::Strict).await;
    for (method, path, body, expected) in requests(&user, &group) {
        let (answer, tolerated) = tolerances(&client, (method, &path, &body)).await;
        assert_eq!(tolerated, "", "{path} {body}");
        let status = match answer.body.pointer("/Operations/0/status") {
            Some(status) => status.as_str().unwrap().parse().unwrap(),
            None => answer.status,
        };
        // To a strict tenant an empty value is a value, and the number to be replaced does not
        // exist, because it was not made.
        let is_refused = match expected {
            "emptyValueClears" => false,
            expected => !expected.is_empty() || body.to_string().contains("mobile"),
        };
        assert_eq!(status >= 400, is_refused, "{path} {body}: {answer}");
    }
}

#[test]
fn every_tolerance_is_explained_in_the_readme() {
    let readme = include_str!("../../../docs/tolerances.md");
    for tolerance in Tolerance::ALL {
        assert!(readme.contains(&format!("| `{}` |", tolerance.name())), "{tolerance:?}");
    }
}
