//! Indexed values: at most 96 for each user, of any content.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Policy, UserNameCharacters};
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;

#[tokio::test]
async fn a_user_with_100_emails_is_refused() {
    let client = Client::new().await;
    let emails = |n: usize| -> Vec<Value> {
        (0..n).map(|n| json!({ "value": format!("bo{n}@example.com") })).collect()
    };
    let user = |n: usize| json!({ "userName": "bo", "emails": emails(n) }).to_string();
    let refused = client.post("/Users", &user(100)).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the resource has 101 indexed values, the limit is 96: remove some emails"}"#);
    let path = client.post("/Users", &user(47)).await.path();
    assert_eq!(client.put(&path, &user(100)).await.to_string(), refused.to_string());
    let add = json!({ "Operations": [{ "op": "add", "path": "emails", "value": emails(100) }] });
    assert_eq!(client.patch(&path, &add.to_string()).await.to_string(), refused.to_string());
    // One transaction deletes every row of the old values and puts every row of the new ones.
    let others = user(47).replace("bo", "jo");
    assert_eq!(client.put(&path, &others).await.header("etag"), Some("W/\"2\""));
    assert_eq!(client.find(r#"emails.value eq "jo46@example.com""#).await.body["totalResults"], 1);
    assert_eq!(client.put(&path, &user(95).replace("bo", "jo")).await.header("etag"), Some("W/\"3\""));
    assert_snapshot!(client.put(&path, &user(0)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the change adds and removes 97 indexed values, the limit is 96: send several requests"}"#);
    assert_eq!(client.put(&path, &user(48).replace("bo", "jo")).await.header("etag"), Some("W/\"4\""));
    assert_eq!(client.put(&path, &user(95).replace("bo", "jo")).await.header("etag"), Some("W/\"5\""));
    assert_eq!(client.delete(&path).await.status, 204);
}

#[tokio::test]
async fn every_value_finds_its_user_and_no_other() {
    let directory = Directory::new().await;
    let any = Policy { user_name_characters: UserNameCharacters::Any, ..Policy::default() };
    directory.set_policy("demo", any).await;
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
