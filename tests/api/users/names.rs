//! The names of attributes (RFC 7644 s3.10): one name means one attribute, wherever a request has it.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Interpretation, Policy};
use serde_json::{Value, json};

use crate::support::builders::{ENTERPRISE, encoded, patch};
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::recording::Recording;

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// Every spelling of the department of the enterprise extension.
fn spellings() -> [String; 5] {
    [
        format!("{ENTERPRISE}:department"),
        format!("{}:DEPARTMENT", ENTERPRISE.to_uppercase()),
        format!("{ENTERPRISE}.department"),
        "department".to_owned(),
        "Department".to_owned(),
    ]
}

fn department(user: &Value) -> &Value {
    &user[ENTERPRISE]["department"]
}

#[tokio::test]
async fn an_attribute_has_the_same_names_everywhere() {
    for name in spellings() {
        let client = Client::new().await;
        let body = |value: &str| json!({ "userName": "bj", name.as_str(): value }).to_string();
        let created = client.post("/Users", &body("A")).await;
        assert_eq!(department(&created.body), "A", "POST {name}");
        let user = created.path();
        assert_eq!(department(&client.put(&user, &body("B")).await.body), "B", "PUT {name}");
        for (value, operation) in [
            ("C", json!({ "op": "replace", "path": name, "value": "C" })),
            ("D", json!({ "op": "add", "value": { name.as_str(): "D" } })),
        ] {
            let changed = client.patch(&user, &patch(&json!([operation]))).await;
            assert_eq!(department(&changed.body), value, "{operation}");
        }
        let list =
            async |query: String| client.get(&format!("/Users?{query}")).await.body["Resources"].clone();
        let found = list(format!("filter={}", encoded(&format!("{name} eq \"d\"")))).await;
        assert_eq!(found[0]["userName"], "bj", "filter {name}");
        let shown = list(format!("attributes={}", encoded(&name))).await;
        let schemas = json!([CORE, ENTERPRISE]);
        let id = &shown[0]["id"];
        let expected = json!({ "schemas": schemas, "id": id, ENTERPRISE: { "department": "D" } });
        assert_eq!(shown[0], expected, "attributes {name}");
        let hidden = list(format!("excludedAttributes={}", encoded(&name))).await;
        assert_eq!(department(&hidden[0]), &Value::Null, "excludedAttributes {name}");
        client.post("/Users", r#"{"userName":"al","department":"E"}"#).await;
        let sorted = list(format!("sortOrder=descending&sortBy={}", encoded(&name))).await;
        assert_eq!(
            (&sorted[0]["userName"], &sorted[1]["userName"]),
            (&json!("al"), &json!("bj")),
            "sortBy {name}"
        );
        let removed = client.patch(&user, &patch(&json!([{ "op": "remove", "path": name }]))).await;
        assert_eq!(department(&removed.body), &Value::Null, "remove {name}");
    }
}

/// Two extensions with a `level` leave open which one is meant.
#[tokio::test]
async fn a_name_of_two_extensions_means_neither() {
    let directory = Directory::new().await;
    let schema = |id: &str| {
        let level = json!({ "name": "level", "type": "string" });
        json!({ "id": id, "name": "x", "description": "", "attributes": [level] })
    };
    let extensions = [
        json!({ "schema": "urn:a:A", "required": false }),
        json!({ "schema": "urn:b:B", "required": false }),
    ];
    let definitions = json!({
        "schemas": [schema("urn:a:A"), schema("urn:b:B")],
        "resourceTypes": [{ "name": "User", "schemaExtensions": extensions }],
    });
    directory.set_definitions("demo", &definitions.to_string()).await.unwrap();
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"bj","level":"1","urn:a:A":{"level":"2"}}"#).await;
    assert_eq!((&user.body["urn:a:A"]["level"], &user.body["urn:b:B"]), (&json!("2"), &Value::Null));
    let found = client.get("/Users?filter=level+eq+%222%22").await;
    assert_eq!(
        (found.status, found.detail()),
        (400, "User has no attribute level: /Schemas lists its attributes")
    );
}

#[tokio::test]
async fn a_path_as_the_name_of_a_member_is_obeyed_or_refused() {
    let client = Client::new().await;
    let user =
        client.post("/Users", r#"{"userName":"bj","emails":[{"type":"work","value":"a@x"}]}"#).await.path();
    for (name, value, at, after) in [
        ("emails[type eq \"work\"].value", json!("n@x"), "/emails/0/value", json!("n@x")),
        (CORE, json!({ "title": "Dr." }), "/title", json!("Dr.")),
        ("urn:ietf:params:scim:schemas:core:2.0:User.nickName", json!("B"), "/nickName", json!("B")),
    ] {
        let operation = json!({ "op": "replace", "value": { name: value } });
        let changed = client.patch(&user, &patch(&json!([operation]))).await;
        assert_eq!(changed.body.pointer(at), Some(&after), "{name}: {changed}");
    }
    let core = json!({ "userName": "al", CORE: { "title": "Dr." } }).to_string();
    assert_eq!(client.post("/Users", &core).await.body["title"], "Dr.");
    for name in ["emails[type eq \"work\"].value", "name.givenName.x", &format!("{ENTERPRISE}.manager.value")]
    {
        let refused = client.post("/Users", &json!({ "userName": "cy", name: "x" }).to_string()).await;
        assert_eq!(
            (refused.status, &refused.body["scimType"]),
            (400, &json!("invalidSyntax")),
            "{name}: {refused}"
        );
    }
    assert_snapshot!(
        client.post("/Users", r#"{"userName":"cy","emails[type eq \"work\"].value":"x"}"#).await,
        @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"emails[type eq \"work\"].value cannot be the name of a member: send the attribute with its sub-attributes as an object"}"#
    );
    // A name that no schema explains is another matter (RFC 7644 s3.3).
    assert_eq!(client.post("/Users", r#"{"userName":"dy","@odata.type":"x"}"#).await.status, 201);
    let all = json!([{ "op": "remove", "path": CORE }]);
    assert_eq!(client.patch(&user, &patch(&all)).await.body["scimType"], "noTarget");
}

#[tokio::test]
async fn a_filter_on_a_single_value_selects_it_or_changes_nothing() {
    let client = Client::new().await;
    let user = json!({ "userName": "bj", ENTERPRISE: { "manager": { "value": "m1" } } });
    let user = client.post("/Users", &user.to_string()).await.path();
    let path = |id: &str, sub: &str| format!("{ENTERPRISE}:manager[value eq \"{id}\"]{sub}");
    for (operation, manager) in [
        (json!({ "op": "remove", "path": path("m2", "") }), json!("m1")),
        (json!({ "op": "replace", "path": path("m2", ".value"), "value": "m3" }), json!("m1")),
        (json!({ "op": "replace", "path": path("m1", ".value"), "value": "m3" }), json!("m3")),
        (json!({ "op": "remove", "path": path("m3", "") }), Value::Null),
    ] {
        let answer = client.patch(&user, &patch(&json!([operation]))).await;
        assert_eq!(
            (answer.status, &answer.body[ENTERPRISE]["manager"]["value"]),
            (200, &manager),
            "{operation}"
        );
    }
}

#[tokio::test]
async fn a_patch_without_operations_changes_nothing() {
    let client = Client::new().await;
    let user = client.post("/Users", r#"{"userName":"bj"}"#).await.path();
    let group = client.post("/Groups", r#"{"displayName":"g"}"#).await.path();
    let answer = client.patch(&user, &patch(&json!([]))).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"1\"")));
    assert_eq!(client.patch(&group, &patch(&json!([]))).await.status, 204);
}

#[tokio::test]
async fn the_log_names_the_attributes_that_were_ignored() {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"bj"}"#).await.path();
    let ignored = async |operation: Value| {
        let recording = Recording::new();
        assert_eq!(client.patch(&user, &patch(&json!([operation]))).await.status, 200);
        let text = recording.text();
        let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        line["ignored"].clone()
    };
    assert_eq!(ignored(json!({ "op": "add", "path": "shoe.size", "value": 43 })).await, "shoe.size");
    assert_eq!(ignored(json!({ "op": "add", "value": { "title": "x" } })).await, Value::Null);
    let many: Value = (0..20)
        .map(|n| (format!("x{n:02}\n{}", "y".repeat(200)), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let names = ignored(json!({ "op": "add", "value": many })).await;
    let names: Vec<&str> = names.as_str().unwrap().split(',').collect();
    assert_eq!((names.len(), names[0].chars().count()), (8, 80));
    assert!(names[0].starts_with("x00\u{FFFD}y"), "{names:?}");

    let refuse = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    directory.set_policy("demo", refuse).await;
    let client = directory.client();
    let strange = json!([{ "op": "add", "path": "shoe.size", "value": 43 }]);
    assert_eq!(client.patch(&user, &patch(&strange)).await.body["scimType"], "invalidPath");
}
