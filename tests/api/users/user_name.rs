//! The user name: unique without regard to case, renamed, and made immutable by a policy.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Mutable, Policy, UserNameCharacters};
use serde_json::json;

use crate::support::builders::{DEACTIVATE, SARAH};
use crate::support::client::Client;
use crate::support::directory::Directory;

fn rename(user_name: &str) -> String {
    json!({ "Operations": [{ "op": "replace", "path": "userName", "value": user_name }] }).to_string()
}

#[tokio::test]
async fn a_name_is_taken_in_every_case() {
    let client = Client::new().await;
    let sarah = client.post("/Users", SARAH).await;
    let bo = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let taken = client.post("/Users", r#"{"userName":"SARAH.Jones@Example.COM"}"#).await;
    assert_snapshot!(taken, @r#"409 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"userName is already used by the resource with the id 00000000-0000-4000-8000-000000000001: choose another value or update that resource"}"#);
    assert!(taken.detail().contains(sarah.id()));
    let put = client.put(&bo, r#"{"userName":"Sarah.Jones@example.com"}"#).await;
    assert_eq!(put.to_string(), taken.to_string());
    let patched = client.patch(&bo, &rename("sarah.jones@EXAMPLE.com")).await;
    assert_eq!(patched.to_string(), taken.to_string());
    assert_eq!(client.get(&bo).await.body["userName"], "bo");
}

#[tokio::test]
async fn a_user_changes_name() {
    let client = Client::new().await;
    let user = client.post("/Users", SARAH).await.path();
    for (version, name) in [(2, "sarah.smith@example.com"), (3, "Sarah.SMITH@example.com")] {
        let put = client.put(&user, &SARAH.replace("sarah.jones@example.com", name)).await;
        assert_eq!((put.status, put.header("etag")), (200, Some(format!("W/\"{version}\"").as_str())));
        assert_eq!(put.body["userName"], name);
    }
    let patched = client.patch(&user, &rename("s.smith")).await;
    assert_eq!((patched.status, patched.header("etag")), (200, Some("W/\"4\"")));
    assert_eq!(client.find(r#"userName eq "S.Smith""#).await.list("userName"), "s.smith");
    for former in ["sarah.jones@example.com", "sarah.smith@example.com"] {
        let found = client.find(&format!("userName eq {former:?}")).await;
        assert_eq!(found.body["totalResults"], 0, "{former}");
        assert_eq!(client.post("/Users", &json!({ "userName": former }).to_string()).await.status, 201);
    }
}

#[tokio::test]
async fn a_tenant_can_make_names_immutable() {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { user_name: Mutable::Immutable, ..Policy::default() }).await;
    let client = directory.client();
    let user = client.post("/Users", SARAH).await.path();
    let refused = client.put(&user, &SARAH.replace("jones@", "smith@")).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"mutability","detail":"userName cannot be changed once it is set"}"#);
    let patched = client.patch(&user, &rename("sarah.smith@example.com")).await;
    assert_eq!(patched.to_string(), refused.to_string());
    // RFC 7644 s3.5.1: the values match. An immutable value keeps its spelling.
    let in_capitals = SARAH.replace("\"userName\":\"sarah.jones@", "\"userName\":\"Sarah.Jones@");
    for answer in [
        client.patch(&user, &rename("Sarah.Jones@example.com")).await,
        client.put(&user, &in_capitals).await,
        client.put(&user, &in_capitals).await,
    ] {
        assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"1\"")), "{answer}");
        assert_eq!(answer.body["userName"], "sarah.jones@example.com");
    }
    assert_eq!(client.patch(&user, &rename("sarah.jones@example.com")).await.header("etag"), Some("W/\"1\""));
    assert_eq!(client.put(&user, &SARAH.replace("Jones", "Smith")).await.header("etag"), Some("W/\"2\""));
    assert_eq!(client.patch(&user, DEACTIVATE).await.header("etag"), Some("W/\"3\""));

    let schema = client.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await.body;
    let attributes = schema["attributes"].as_array().unwrap();
    let user_name = attributes.iter().find(|attribute| attribute["name"] == "userName").unwrap();
    assert_eq!(user_name["mutability"], "immutable");
}

async fn with_characters(user_name_characters: UserNameCharacters) -> Client {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { user_name_characters, ..Policy::default() }).await;
    directory.client()
}

/// RFC 8265 s3.3, for every request that sets a name.
#[tokio::test]
async fn a_name_that_deceives_is_refused_wherever_it_is_set() {
    let client = Client::new().await;
    let bo = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    for name in ["b\u{200B}o", "bo ", " ", "b\no", "\u{202E}bo", "b\u{AD}o", "b\0o"] {
        let user = json!({ "userName": name });
        let posted = client.post("/Users", &user.to_string()).await;
        assert_eq!((posted.status, &posted.body["scimType"]), (400, &json!("invalidValue")), "{name:?}");
        for answer in [
            client.put(&bo, &user.to_string()).await,
            client.patch(&bo, &rename(name)).await,
            client.patch(&bo, &json!({ "Operations": [{ "op": "add", "value": user }] }).to_string()).await,
        ] {
            assert_eq!(answer.to_string(), posted.to_string(), "{name:?}");
        }
        let operation = json!({ "method": "POST", "path": "/Users", "bulkId": "a", "data": user });
        let bulk = client.post("/Bulk", &json!({ "Operations": [operation] }).to_string()).await;
        assert_eq!(bulk.body["Operations"][0]["response"], posted.body, "{name:?}");
    }
    assert_eq!(client.get("/Users").await.list("userName"), "bo");
    let invisible = client.post("/Users", r#"{"userName":"b\u200bo"}"#).await;
    assert_snapshot!(invisible, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"userName cannot contain the character U+200B: remove it, or ask the operator to set the policy userNameCharacters to any"}"#);
    let blank = client.post("/Users", r#"{"userName":"bo "}"#).await;
    assert_snapshot!(blank, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"userName cannot begin or end with the blank U+0020: remove it, or ask the operator to set the policy userNameCharacters to any"}"#);
}

#[tokio::test]
async fn a_user_whose_name_is_from_before_the_rule_can_be_changed() {
    let directory = Directory::new().await;
    let any = Policy { user_name_characters: UserNameCharacters::Any, ..Policy::default() };
    directory.set_policy("demo", any).await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"b\u200bo","active":true}"#).await.path();
    directory.set_policy("demo", Policy::default()).await;
    let client = directory.client();
    assert_eq!(client.patch(&user, DEACTIVATE).await.body["active"], false);
    let put = client.put(&user, r#"{"userName":"b\u200bo","title":"x","active":false}"#).await;
    assert_eq!((put.status, &put.body["title"]), (200, &json!("x")), "{put}");
    assert_eq!(client.put(&user, r#"{"userName":"b\u200bo "}"#).await.status, 400);
    assert_eq!(client.patch(&user, &rename("B\u{200B}o")).await.status, 400);
    assert_eq!(client.patch(&user, &rename("bo")).await.body["userName"], "bo");
}

/// Names that differ only in blanks, control characters, or far from their start are different
/// names.
#[tokio::test]
async fn every_name_that_differs_is_a_user_of_its_own() {
    let client = with_characters(UserNameCharacters::Any).await;
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
