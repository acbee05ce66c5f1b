//! What is too much, and what looks like it and is not.

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::builders::{DEACTIVATE, user};
use crate::support::client::Client;
use crate::support::consistency::check;
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
    assert_snapshot!(client.post("/Users", &body(101)).await, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the body has 101 bytes, at most 100 are allowed"}"#);
    assert_eq!(client.put(&user.path(), &body(101)).await.status, 413);
    assert_eq!(client.patch(&user.path(), &format!("{DEACTIVATE:<101}")).await.status, 413);
}

/// Scenario 14 of the store: `DynamoDB` itself takes no more than 400 KB.
#[tokio::test]
async fn a_user_over_390_kb_is_refused() {
    let client = Client::new().await;
    let user = |bytes: usize| json!({ "userName": "bo", "title": "x".repeat(bytes) }).to_string();
    // {"userName":"bo","title":""}
    let created = client.post("/Users", &user(390 * 1024 - 28)).await;
    assert_eq!(created.status, 201, "{}", created.detail());
    let path = created.path();
    let refused = client.post("/Users", &user(390 * 1024 - 27)).await;
    assert_snapshot!(refused, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the resource would have 399361 bytes, at most 399360 are allowed: send fewer or shorter values"}"#);
    assert_eq!(client.put(&path, &user(390 * 1024 - 27)).await.to_string(), refused.to_string());
    for (attribute, value) in [("nickName", "y".repeat(300)), ("userName", "bo the second".to_owned())] {
        let change = json!({ "Operations": [{ "op": "add", "path": attribute, "value": value }] });
        let answer = client.patch(&path, &change.to_string()).await;
        assert_eq!(answer.status, 413, "{attribute}: {}", answer.detail());
    }
    assert_eq!(client.get(&path).await.header("etag"), Some("W/\"1\""));
    // A change in one trip takes from what is left to DynamoDB's own limit, a little.
    let texts =
        ["displayName", "nickName", "profileUrl", "userType", "preferredLanguage", "locale", "timezone"];
    for attribute in texts {
        let change = json!({ "Operations": [{ "op": "add", "path": attribute, "value": "y".repeat(256) }] });
        assert_eq!(client.patch(&path, &change.to_string()).await.status, 200, "{attribute}");
    }
}

#[tokio::test]
async fn a_user_with_100_emails_is_refused() {
    let client = Client::new().await;
    let emails = |n: usize| -> Vec<Value> {
        (0..n).map(|n| json!({ "value": format!("bo{n}@example.com") })).collect()
    };
    let user = |n: usize| json!({ "userName": "bo", "emails": emails(n) }).to_string();
    let refused = client.post("/Users", &user(100)).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the resource would have 101 values to be found by, at most 96 are allowed: send fewer e-mails, roles or entitlements"}"#);
    let path = client.post("/Users", &user(47)).await.path();
    assert_eq!(client.put(&path, &user(100)).await.to_string(), refused.to_string());
    let add = json!({ "Operations": [{ "op": "add", "path": "emails", "value": emails(100) }] });
    assert_eq!(client.patch(&path, &add.to_string()).await.to_string(), refused.to_string());
    // Every row of the one is deleted and every row of the other put, in one transaction.
    let others = user(47).replace("bo", "jo");
    assert_eq!(client.put(&path, &others).await.header("etag"), Some("W/\"2\""));
    assert_eq!(client.find(r#"emails.value eq "jo46@example.com""#).await.body["totalResults"], 1);
    assert_eq!(client.put(&path, &user(95).replace("bo", "jo")).await.header("etag"), Some("W/\"3\""));
    assert_snapshot!(client.put(&path, &user(0)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the change would add and remove 97 values to be found by, at most 96 at once are allowed: send several requests"}"#);
    assert_eq!(client.put(&path, &user(48).replace("bo", "jo")).await.header("etag"), Some("W/\"4\""));
    assert_eq!(client.put(&path, &user(95).replace("bo", "jo")).await.header("etag"), Some("W/\"5\""));
    assert_eq!(client.delete(&path).await.status, 204);
}

/// Scenario 13 of the store.
#[tokio::test]
async fn every_name_that_differs_is_a_user_of_its_own() {
    let client = Client::new().await;
    let long = "n".repeat(1_099);
    let names = [
        &format!("{long}n"),
        &format!("{long}m"),
        long.as_str(),
        "bo",
        " bo",
        "bo ",
        "b o",
        "bo#",
        "bo#1",
        "#",
        "##",
        "bo\0",
        "bo\0\0",
        "\0",
        "😀",
        "😁",
        "👩\u{200d}🚀",
        "\u{200f}bo",
        "bo\u{200f}",
        "\u{202e}bo",
        "a\"b\\c",
        "!",
        "~",
    ];
    for name in names {
        let created = client.post("/Users", &json!({ "userName": name }).to_string()).await;
        assert_eq!((created.status, created.body["userName"].as_str()), (201, Some(name)), "{created}");
    }
    for name in names {
        let again = client.post("/Users", &json!({ "userName": name }).to_string()).await;
        assert_eq!(again.status, 409, "{name:?}: {again}");
        let found = client.find(&format!("userName eq {}", json!(name))).await;
        assert_eq!(found.body["totalResults"], 1, "{name:?}: {found}");
        assert_eq!(found.list("userName"), name);
    }
    assert_eq!(client.get("/Users").await.body["totalResults"], names.len());
}

#[tokio::test]
async fn every_value_finds_its_user_and_no_other() {
    let directory = Directory::new().await;
    let client = directory.client();
    let long = "ß".repeat(550);
    let longer = format!("{long}x");
    let names = [
        &long,
        &longer,
        "a",
        "a#b",
        "#",
        "a~b",
        "nul\0nul",
        "👩‍👩‍👧",
        " spaces ",
        "spaces",
        "\u{200F}rtl\u{200F}",
        "rtl",
    ];
    for name in names {
        let user = json!({ "userName": name, "externalId": name, "emails": [{ "value": name }] });
        client.create(&user.to_string()).await;
    }
    check(&directory).await;
    for name in names {
        for attribute in ["userName", "externalId", "emails.value"] {
            let found = client.find(&format!("{attribute} eq {}", json!(name))).await;
            assert_eq!(found.body["totalResults"], 1, "{attribute} {name:?}: {found}");
            assert_eq!(found.list("userName"), *name);
        }
    }
}

/// The body of a user whose attributes have this many bytes as JSON.
fn user_of(bytes: usize, filler: &Value) -> String {
    let mut user = json!({ "userName": "bo", "entitlements": [filler] });
    let element = filler.to_string().len() + 1;
    let free = bytes - user.to_string().len();
    let elements = vec![filler.clone(); 1 + (free.saturating_sub(100)) / element];
    user["entitlements"] = elements.into();
    user["title"] = "".into();
    let free = bytes - user.to_string().len();
    user["title"] = "t".repeat(free).into();
    assert_eq!(user.to_string().len(), bytes);
    user.to_string()
}

/// With many small values, which DynamoDB counts three bytes each beside what is in
/// them, and with few long ones.
#[tokio::test]
async fn a_user_of_390_kb_in_values_of_any_length_is_taken_and_a_byte_more_is_413() {
    const MAX: usize = scim_lambda::store::MAX_RESOURCE_BYTES;
    let client = Client::new().await;
    let add = |name: &str, bytes: usize| {
        let operation = json!({ "op": "add", "path": name, "value": "d".repeat(bytes) });
        json!({ "Operations": [operation] }).to_string()
    };
    for filler in [&"ü".repeat(300), &"😀".repeat(200), &"x".repeat(9_000)] {
        let filler = json!({ "value": filler });
        let bo = client.create(&user_of(MAX, &filler)).await.path();
        for (act, answer) in [
            ("POST", client.post("/Users", &user_of(MAX + 1, &filler)).await),
            ("PUT", client.put(&bo, &user_of(MAX + 1, &filler)).await),
            ("PATCH", client.patch(&bo, &add("name.givenName", 1)).await),
            ("PATCH that needs no read", client.patch(&bo, &add("displayName", 200_000)).await),
        ] {
            assert_eq!(answer.status, 413, "{act}: {}", answer.detail());
        }
        assert_eq!(client.delete(&bo).await.status, 204);
    }
}

#[tokio::test]
async fn a_user_of_390_kb_can_be_renamed() {
    const MAX: usize = scim_lambda::store::MAX_RESOURCE_BYTES;
    let directory = Directory::new().await;
    let client = directory.client();
    let filler = json!({ "value": "x".repeat(9_000) });
    let bo = client.create(&user_of(MAX, &filler)).await.path();
    let renamed = client.put(&bo, &user_of(MAX, &filler).replace("\"bo\"", "\"al\"")).await;
    assert_eq!((renamed.status, &renamed.body["userName"]), (200, &json!("al")), "{}", renamed.detail());
    check(&directory).await;
}

#[tokio::test]
async fn an_if_match_may_list_any_number_of_versions() {
    let directory = Directory::new().await;
    let client = directory.client();
    let bo = client.create(&user("bo")).await.path();
    let tags =
        |versions: std::ops::Range<u64>| versions.map(|n| format!("W/\"{n}\"")).collect::<Vec<_>>().join(",");
    let put = |tags: &str, name: &str| {
        client.request("PUT", &bo).if_match(tags).body(&json!({ "userName": name }).to_string())
    };
    let cases = [
        (tags(2..202), 412),
        ("\"never\"".to_owned(), 412),
        (tags(1..101), 200),
        (tags(1..201), 200),
        (tags(4..104), 412),
    ];
    for (n, (tags, status)) in cases.into_iter().enumerate() {
        let answer = put(&tags, &format!("bo{n}")).send().await;
        assert_eq!(answer.status, status, "{n}: {answer}");
    }
    check(&directory).await;
}

/// Each limit on what a client may send, and what is just within it.
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
            "the body has 20001 Operations, at most 20000 are",
        ),
        (
            "PUT",
            &user,
            values(1_000),
            values(1_001),
            400,
            "x509Certificates would have 1001 values, at most 1000 are",
        ),
        ("PUT", &user, deep(32), deep(33), 400, "more than 32 objects and arrays are within each other"),
        ("POST", "/Bulk", bulk(3), bulk(4), 413, "4 operations, which exceeds maxOperations (3)"),
        ("POST", "/Bulk", bytes(2_000), bytes(2_001), 413, "2001 bytes, which exceeds maxPayloadSize (2000)"),
        ("POST", "/Users/.search", filter(16_384), filter(16_385), 400, "16384"),
    ] {
        let taken = client.request(method, path).body(&at).send().await;
        assert_eq!(taken.status, 200, "{method} {path}: {}", taken.detail());
        let refused = client.request(method, path).body(&beyond).send().await;
        assert!(refused.status == status && refused.detail().contains(why), "{refused}");
    }
    // Values that are added count with those that are there.
    client.put(&user, &values(1_000)).await;
    let one = json!({ "Operations": [{ "op": "add", "path": "x509Certificates", "value": [{ "value": "AAAA" }] }] });
    let refused = client.patch(&user, &one.to_string()).await;
    assert!(refused.detail().starts_with("x509Certificates would have 1001 values"), "{refused}");
}
