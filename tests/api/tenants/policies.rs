//! Policies of a tenant: page sizes, unknown attributes, the rate limit. Those of groups are in
//! `groups/policies.rs`, that of roles in `discovery/roles.rs`.

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use serde_json::{Value, json};

use crate::support::builders::patch;
use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

async fn with_policy(policy: Value) -> Client {
    let directory = Directory::new().await;
    directory.set_policy("demo", serde_json::from_value::<Policy>(policy).unwrap()).await;
    directory.client()
}

#[tokio::test]
async fn a_page_has_as_many_resources_as_the_tenant_wants() {
    let client = with_policy(json!({ "pageSize": { "default": 2, "max": 3 } })).await;
    for n in 0..5 {
        client.post("/Users", &json!({ "userName": format!("u{n}") }).to_string()).await;
    }
    let size = |list: &Value| list["Resources"].as_array().unwrap().len();
    for (query, expected) in
        [("", 2), ("?count=1", 1), ("?count=100", 3), ("?cursor", 2), ("?cursor&count=9", 3)]
    {
        let list = client.get(&format!("/Users{query}")).await;
        assert_eq!((size(&list.body), &list.body["totalResults"]), (expected, &json!(5)), "{query}");
    }
    let search = client.post("/Users/.search", r#"{"filter":"userName pr"}"#).await;
    assert_eq!(size(&search.body), 2);
    let config = client.get("/ServiceProviderConfig").await.body;
    assert_eq!(config["filter"]["maxResults"], 3);
    assert_eq!(
        (&config["pagination"]["defaultPageSize"], &config["pagination"]["maxPageSize"]),
        (&json!(2), &json!(3))
    );

    let client = with_policy(json!({ "pageSize": { "max": 7 } })).await;
    assert_eq!(client.get("/ServiceProviderConfig").await.body["pagination"]["defaultPageSize"], 7);
    let beyond = json!({ "pageSize": { "max": 501 } });
    let error = serde_json::from_value::<Policy>(beyond).unwrap_err().to_string();
    assert_eq!(error, "a page size must be an integer from 1 to 500");
}

#[tokio::test]
async fn unknown_attributes_are_dropped_or_refused_as_the_tenant_wants() {
    const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
    let user = json!({ "schemas": [SCHEMA], "userName": "bo", "shoeSize": 43 }).to_string();
    let patch = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "shoeSize", "value": 44 }] });
    let client = with_policy(json!({ "interpretation": "tolerant", "unknownAttributes": "refuse" })).await;
    assert_snapshot!(client.post("/Users", &user).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"shoeSize is not an attribute of User: remove it or correct its name"}"#);
    let bo = client.post("/Users", r#"{"userName":"bo","active":"True"}"#).await.path();
    assert_snapshot!(client.patch(&bo, &patch.to_string()).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidPath","detail":"path shoeSize is not an attribute of User: /Schemas lists its attributes"}"#);

    let client = with_policy(json!({ "interpretation": "strict", "unknownAttributes": "ignore" })).await;
    let made = client.post("/Users", &user).await;
    assert_eq!((made.status, &made.body["shoeSize"]), (201, &Value::Null));
    assert_eq!(client.patch(&made.path(), &patch.to_string()).await.header("etag"), Some("W/\"1\""));
    let strict = client
        .post("/Users", &json!({ "schemas": [SCHEMA], "userName": "x", "active": "True" }).to_string())
        .await;
    assert_eq!(strict.status, 400);
}

#[tokio::test]
async fn whoever_asks_too_fast_is_told_when_to_come_back() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let limited = Policy::default().with(&[("rateLimit.burst".to_owned(), "30".to_owned())]).unwrap();
    directory.set_policy("demo", limited).await;
    let client = directory.client();
    let mut answers = Vec::new();
    for _ in 0..31 {
        answers.push(client.get("/Schemas").await);
        directory.stop_the_clock();
    }
    let refused = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_snapshot!(refused, @r#"429 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"429","detail":"too many requests: send fewer per second, or ask the operator to raise the policy rateLimit"}"#);
    assert_eq!(refused.header("retry-after"), Some("1"));
    client.faults.forget();
    assert_eq!(client.post("/Users", r#"{"userName":"bo"}"#).await.status, 429);
    assert_eq!(client.faults.calls(), Vec::<String>::new());
    directory.stop_the_clock();
    let other = client.with_token(&TOKEN.replace("demo", "other"));
    assert_eq!(other.get("/Schemas").await.status, 200);
    // Without a policy the limit is the rate that Entra ID expects of every endpoint.
    for status in [vec![200; 25], vec![429]].concat() {
        assert_eq!(client.get("/Schemas").await.status, status);
        directory.stop_the_clock();
    }
}

/// Otherwise one bulk request would be worth a thousand others. Its operations may be more than the
/// burst: later requests wait for them.
#[tokio::test]
async fn each_operation_of_a_bulk_request_counts() {
    let directory = Directory::new().await;
    let setting = |name: &str, value: &str| (format!("rateLimit.{name}"), value.to_owned());
    let limited = Policy::default().with(&[setting("perSecond", "1"), setting("burst", "10")]).unwrap();
    directory.set_policy("demo", limited).await;
    let bulk = |operations: usize| {
        let delete = json!({ "method": "DELETE", "path": "/Users/none" });
        json!({ "Operations": vec![delete; operations] }).to_string()
    };
    let client = directory.client();
    for (operations, wait) in [(9, None), (10, Some("1")), (30, Some("21"))] {
        // As full as a bucket can be.
        directory.pass(3_600);
        let done = client.post("/Bulk", &bulk(operations)).await;
        directory.stop_the_clock();
        assert_eq!(done.status, 200, "{operations}: {done}");
        let next = client.get("/Schemas").await;
        directory.stop_the_clock();
        assert_eq!(next.header("retry-after"), wait, "{operations}: {next}");
    }
    // A bulk request that cannot be read counts as one.
    directory.pass(3_600);
    for status in [vec![400; 10], vec![429]].concat() {
        assert_eq!(client.post("/Bulk", "{").await.status, status);
        directory.stop_the_clock();
    }
}

#[tokio::test]
async fn a_password_is_dropped_or_refused_as_the_tenant_wants() {
    let user = r#"{"userName":"bo","password":"t1meMa$heen"}"#;
    let set = patch(&json!([{ "op": "replace", "path": "password", "value": "t1meMa$heen" }]));
    let unset = patch(&json!([{ "op": "replace", "path": "password", "value": null }]));
    for (policy, status) in [(json!({}), 200), (json!({ "password": "refuse" }), 400)] {
        let client = with_policy(policy).await;
        let bo = client.post("/Users", r#"{"userName":"bo","password":null}"#).await.path();
        for answer in [
            client.put(&bo, user).await,
            client.patch(&bo, &set).await,
            client.patch(&bo, &set.replace("replace", "add")).await,
            client.patch(&bo, &patch(&json!([{ "op": "add", "value": { "password": "x" } }]))).await,
        ] {
            assert_eq!(answer.status, status, "{answer}");
            assert_eq!(answer.body.get("password"), None);
        }
        assert_eq!(client.patch(&bo, &unset).await.header("etag"), Some("W/\"1\""));
    }
    let client = with_policy(json!({ "password": "refuse" })).await;
    assert_snapshot!(client.post("/Users", user).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"password cannot be set, because it would not be stored: turn off its synchronization"}"#);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
}
