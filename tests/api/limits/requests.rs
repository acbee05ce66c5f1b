//! Limits on the size of requests.

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::builders::DEACTIVATE;
use crate::support::directory::Directory;

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.max_body_bytes = 100;
    let client = directory.client_with(config);
    let body = |bytes: usize| format!("{:<bytes$}", r#"{"userName":"bo"}"#);
    let user = client.post("/Users", &body(100)).await;
    assert_eq!(user.status, 201);
    assert_snapshot!(client.post("/Users", &body(101)).await, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the body has 101 bytes, the limit is 100"}"#);
    assert_eq!(client.put(&user.path(), &body(101)).await.status, 413);
    assert_eq!(client.patch(&user.path(), &format!("{DEACTIVATE:<101}")).await.status, 413);
}

/// Sends a request at each limit, and one just above it.
#[tokio::test]
async fn what_is_at_a_limit_is_taken_and_one_more_is_refused() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    (config.max_bulk_operations, config.max_bulk_bytes) = (3, 2_000);
    let client = directory.client_with(config);
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let patch = |operations: usize| {
        let operation = json!({ "op": "replace", "path": "title", "value": "Dr." });
        json!({ "Operations": vec![operation; operations] }).to_string()
    };
    let values = |values: usize| {
        let certificates: Vec<Value> = (0..values).map(|n| json!({ "value": format!("{n:04}") })).collect();
        json!({ "userName": "bo", "x509Certificates": certificates }).to_string()
    };
    let deep = |depth: usize| {
        format!(r#"{{"userName":"bo","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    let bulk = |operations: usize| {
        let operation = json!({ "method": "DELETE", "path": "/Users/none" });
        json!({ "Operations": vec![operation; operations] }).to_string()
    };
    let bytes = |bytes: usize| format!("{:<bytes$}", bulk(1));
    let filter = |bytes: usize| {
        let filter = format!(r#"userName eq "{:<1$}""#, "x", bytes - 14);
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter })
            .to_string()
    };
    for (method, path, at, beyond, status, why) in [
        (
            "PATCH",
            user.as_str(),
            patch(20_000),
            patch(20_001),
            413,
            "the body has 20001 operations, the limit is 20000",
        ),
        (
            "PUT",
            &user,
            values(1_000),
            values(1_001),
            400,
            "x509Certificates has 1001 values, the limit is 1000",
        ),
        ("PUT", &user, deep(32), deep(33), 400, "objects and arrays are nested more than 32 levels deep"),
        ("POST", "/Bulk", bulk(3), bulk(4), 413, "4 operations, the limit is 3 (maxOperations)"),
        ("POST", "/Bulk", bytes(2_000), bytes(2_001), 413, "2001 bytes, the limit is 2000 (maxPayloadSize)"),
        ("POST", "/Users/.search", filter(16_384), filter(16_385), 400, "16384"),
    ] {
        let taken = client.request(method, path).body(&at).send().await;
        assert_eq!(taken.status, 200, "{method} {path}: {}", taken.detail());
        let refused = client.request(method, path).body(&beyond).send().await;
        assert!(refused.status == status && refused.detail().contains(why), "{refused}");
    }
    // Values that are added count together with the existing ones.
    client.put(&user, &values(1_000)).await;
    let one = json!({ "Operations": [{ "op": "add", "path": "x509Certificates", "value": [{ "value": "AAAA" }] }] });
    let refused = client.patch(&user, &one.to_string()).await;
    assert!(refused.detail().starts_with("x509Certificates has 1001 values"), "{refused}");
}

#[tokio::test]
async fn a_request_that_changes_more_than_15000_members_is_413() {
    let client = Directory::new().await.client();
    let group = client.post("/Groups", r#"{"displayName":"All"}"#).await;
    let ids: Vec<String> = (0..15_001).map(|n| format!("{n:032x}")).collect();
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let created =
        client.post("/Groups", &json!({ "displayName": "B", "members": members }).to_string()).await;
    let expected = "the request changes 15001 members, the limit is 15000: send several requests";
    assert_eq!((created.status, created.detail()), (413, expected));
    assert_eq!(client.get(&group.path()).await.header("etag"), Some("W/\"1\""));
}
