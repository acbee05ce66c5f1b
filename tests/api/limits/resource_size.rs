//! The size of a user: at most 390 kB as JSON.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;

/// DynamoDB takes items of up to 400 KB. The limit leaves room for the attributes of the store.
#[tokio::test]
async fn a_user_over_390_kb_is_refused() {
    let client = Client::new().await;
    let user = |bytes: usize| user_of(bytes, &"x".repeat(60_000));
    let created = client.post("/Users", &user(390 * 1024)).await;
    assert_eq!(created.status, 201, "{}", created.detail());
    let path = created.path();
    let refused = client.post("/Users", &user(390 * 1024 + 1)).await;
    assert_snapshot!(refused, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the resource has 399361 bytes, the limit is 399360: send fewer or shorter values"}"#);
    assert_eq!(client.put(&path, &user(390 * 1024 + 1)).await.to_string(), refused.to_string());
    for (attribute, value) in [("nickName", "y".repeat(300)), ("userName", "bo the second".to_owned())] {
        let change = json!({ "Operations": [{ "op": "add", "path": attribute, "value": value }] });
        let answer = client.patch(&path, &change.to_string()).await;
        assert_eq!(answer.status, 413, "{attribute}: {}", answer.detail());
    }
    assert_eq!(client.get(&path).await.header("etag"), Some("W/\"1\""));
    // A change in one trip may use a little of the room up to DynamoDB's own limit.
    let texts =
        ["displayName", "nickName", "profileUrl", "userType", "preferredLanguage", "locale", "timezone"];
    for attribute in texts {
        let change = json!({ "Operations": [{ "op": "add", "path": attribute, "value": "y".repeat(256) }] });
        assert_eq!(client.patch(&path, &change.to_string()).await.status, 200, "{attribute}");
    }
}

/// Returns the body of a user whose attributes have this many bytes as JSON, most of them
/// in values that end in `filler`.
fn user_of(bytes: usize, filler: &str) -> String {
    let value = |n: usize| json!({ "value": format!("{n:04}{filler}") });
    let mut user = json!({ "userName": "bo", "active": true, "photos": [value(0)] });
    let element = value(0).to_string().len() + 1;
    let free = bytes - user.to_string().len();
    user["photos"] = (0..=free.saturating_sub(100) / element).map(value).collect();
    user["title"] = "".into();
    let free = bytes - user.to_string().len();
    user["title"] = "t".repeat(free).into();
    assert_eq!(user.to_string().len(), bytes);
    user.to_string()
}

/// DynamoDB counts three bytes for each value in addition to its content, so many small values are
/// tested as well as few long ones.
#[tokio::test]
async fn a_user_of_390_kb_in_values_of_any_length_is_taken_and_a_byte_more_is_413() {
    const MAX: usize = scim_lambda::store::MAX_RESOURCE_BYTES;
    let client = Client::new().await;
    let add = |name: &str, bytes: usize| {
        let operation = json!({ "op": "add", "path": name, "value": "d".repeat(bytes) });
        json!({ "Operations": [operation] }).to_string()
    };
    for filler in [&"ü".repeat(300), &"😀".repeat(200), &"x".repeat(9_000)] {
        let bo = client.create(&user_of(MAX, filler)).await.path();
        for (act, answer) in [
            ("POST", client.post("/Users", &user_of(MAX + 1, filler)).await),
            ("PUT", client.put(&bo, &user_of(MAX + 1, filler)).await),
            ("PATCH", client.patch(&bo, &add("name.givenName", 1)).await),
            ("PATCH that needs no read", client.patch(&bo, &add("displayName", 60_000)).await),
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
    let filler = "x".repeat(9_000);
    let bo = client.create(&user_of(MAX, &filler)).await.path();
    let renamed = client.put(&bo, &user_of(MAX, &filler).replace("\"bo\"", "\"al\"")).await;
    assert_eq!((renamed.status, &renamed.body["userName"]), (200, &json!("al")), "{}", renamed.detail());
    check(&directory).await;
}
