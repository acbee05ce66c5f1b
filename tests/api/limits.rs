//! What is too much, and what is only odd.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::client::{Client, Directory};
use crate::consistency::check;
use crate::outages::user;

#[tokio::test]
async fn a_name_may_hold_anything() {
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
        let created = client
            .create(
                &json!({ "userName": name, "externalId": name, "emails": [{ "value": name }] }).to_string(),
            )
            .await;
        assert_eq!(created.body["userName"], *name);
        let duplicate = client.post("/Users", &json!({ "userName": name.to_uppercase() }).to_string()).await;
        if !name.contains('ß') {
            assert_eq!(duplicate.status, 409, "{name:?}: {duplicate}");
        }
    }
    check(&directory).await;
    for name in names {
        for attribute in ["userName", "externalId", "emails.value"] {
            let filter = format!("{attribute} eq {}", json!(name));
            let query: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
            let found = client.get(&format!("/Users?filter={query}")).await;
            assert_eq!(found.body["totalResults"], 1, "{attribute} {name:?}: {found}");
            assert_eq!(found.body["Resources"][0]["userName"], *name);
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
async fn a_user_of_390_kb_is_taken_and_a_byte_more_is_413() {
    const MAX: usize = scim_lambda::store::MAX_RESOURCE_BYTES;
    let client = Client::new().await;
    let add = |name: &str, bytes: usize| {
        let operation = json!({ "op": "add", "path": name, "value": "d".repeat(bytes) });
        json!({ "Operations": [operation] }).to_string()
    };
    for filler in ["", "ü", &"x".repeat(9_000)] {
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
async fn values_to_be_found_by_are_limited_to_what_a_transaction_can_move() {
    let directory = Directory::new().await;
    let client = directory.client();
    let emails = |name: &str, count: usize| {
        let emails: Vec<Value> =
            (0..count).map(|n| json!({ "value": format!("{name}{n}@example.com") })).collect();
        json!({ "userName": name, "emails": emails }).to_string()
    };
    assert_snapshot!(client.post("/Users", &emails("bo", 100)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the resource would have 101 values to be found by, at most 48 are allowed: send fewer e-mails"}"#);
    let bo = client.create(&emails("bo", 47)).await.path();
    let moved = client.put(&bo, &emails("bea", 47)).await;
    assert!(moved.to_string().starts_with("200 W/\"2\""), "{moved}");
    check(&directory).await;
    assert_eq!(client.put(&bo, &emails("bea", 48)).await.status, 400);
    assert_eq!(client.delete(&bo).await.status, 204);
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
