//! The commands of `scimctl token`, and the tokens that they create.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::scimctl::{json, run, token};

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let directory = Directory::new().await;
    let token = token(&directory, &["demo", "--days", "30", "--read-only"]).await;
    let (_, secret) = token.rsplit_once('_').unwrap();
    assert_eq!(secret.len(), 64);
    let listed = json(&directory, &["token", "list", "demo"]).await;
    let made = listed.as_array().unwrap().iter().find(|one| one["keyId"] != "events").unwrap();
    assert!(token.contains(made["keyId"].as_str().unwrap()));
    assert_eq!((&made["scope"], made["expires"].is_string()), (&"read".into(), true), "{made}");
    let items = directory.dynamodb().scan().table_name(directory.table()).send().await.unwrap();
    assert!(!format!("{:?}", items.items()).contains(secret));
}

#[tokio::test]
async fn a_token_that_only_reads_changes_nothing() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", r#"{"userName":"ann"}"#).await;
    let (path, id) = (user.path(), user.id());
    let reader =
        directory.client().with_token(&token(&directory, &["demo", "--read-only", "--user", id]).await);
    let refused = reader.post("/Users", r#"{"userName":"bo"}"#).await;
    assert_snapshot!(refused, @r#"403 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"403","detail":"this token is read-only: use a read-write token"}"#);
    for (method, path) in [
        ("PUT", path.as_str()),
        ("PATCH", &path),
        ("DELETE", &path),
        ("POST", "/Bulk"),
        ("PUT", "/Me"),
        ("PATCH", "/Me"),
        ("DELETE", "/Me"),
    ] {
        reader.faults.forget();
        let answer = reader.request(method, path).body("{}").send().await;
        assert_eq!((answer.status, reader.faults.calls().len()), (403, 0), "{method} {path}");
    }
    for (method, path) in
        [("GET", path.as_str()), ("HEAD", &path), ("GET", "/Me"), ("POST", "/Users/.search")]
    {
        let search = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}"#;
        assert_eq!(reader.request(method, path).body(search).send().await.status, 200, "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_like_any_other() {
    let directory = Directory::new().await;
    let expiring = token(&directory, &["demo", "--days", "1"]).await;
    let (kid, _) = expiring.trim_start_matches("scim_demo_").split_once('_').unwrap();
    // The command takes the time of the machine, and the directory has its own clock.
    let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    let soon = directory.now() + jiff::SignedDuration::from_secs(20);
    let update = directory.dynamodb().update_item().table_name(directory.table());
    let keys = [key("pk", "demo#tenant".to_owned()), key("sk", format!("token#{kid}"))];
    let update = update.set_key(Some(keys.into())).update_expression("SET expires = :soon");
    update.expression_attribute_values(":soon", key("", soon.to_string()).1).send().await.unwrap();
    let client = directory.client().with_token(&expiring);
    assert_eq!(client.get("/Users").await.status, 200);
    directory.pass(20);
    let refused = client.get("/Users").await;
    assert_eq!(refused.status, 401, "also while it is in memory");
    let unknown = client.with_token(&format!("scim_demo_none_{}", "0".repeat(64))).get("/Users").await;
    assert_eq!(refused.body, unknown.body);

    let revoked = token(&directory, &["demo"]).await;
    let client = directory.client().with_token(&revoked);
    assert_eq!(client.get("/Users").await.status, 200);
    let (kid, _) = revoked.trim_start_matches("scim_demo_").split_once('_').unwrap();
    run(&directory, &["token", "revoke", "demo", kid, "--yes"]).await.unwrap();
    directory.pass(60);
    assert_eq!(client.get("/Users").await.body, unknown.body);
}

#[tokio::test]
async fn both_tokens_of_a_rotation_are_good_until_the_old_one_ends() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", r#"{"userName":"ann"}"#).await.id().to_owned();
    let old = token(&directory, &["demo", "--read-only", "--user", &user]).await;
    let (kid, _) = old.trim_start_matches("scim_demo_").split_once('_').unwrap();
    let rotated = json(&directory, &["token", "rotate", "demo", kid]).await;
    assert_eq!(
        (&rotated["scope"], rotated["user"].as_str()),
        (&"read".into(), Some(user.as_str())),
        "{rotated}"
    );
    for token in [old.as_str(), rotated["token"].as_str().unwrap()] {
        assert_eq!(directory.client().with_token(token).get("/Me").await.status, 200);
    }
    let listed = json(&directory, &["token", "list", "demo"]).await;
    let ends = |kid: &Value| {
        let tokens = listed.as_array().unwrap();
        tokens.iter().find(|token| token["keyId"] == *kid).unwrap()["expires"].is_string()
    };
    assert_eq!((ends(&kid.into()), ends(&rotated["keyId"])), (true, false));
    // A token that expires sooner keeps its end.
    let soon = json(&directory, &["token", "create", "demo", "--days", "1"]).await;
    let kid = soon["keyId"].as_str().unwrap();
    let rotated = json(&directory, &["token", "rotate", "demo", kid]).await;
    assert!(rotated["expires"].is_string(), "and the new one lasts as long: {rotated}");
    let listed = json(&directory, &["token", "list", "demo"]).await;
    let kept = listed.as_array().unwrap().iter().find(|token| token["keyId"] == kid).unwrap();
    assert_eq!(kept["expires"], soon["expires"]);
}

#[tokio::test]
async fn it_is_seen_that_a_token_is_in_use_and_that_costs_one_write_an_hour() {
    let directory = Directory::new().await;
    let token = token(&directory, &["demo"]).await;
    let (kid, _) = token.trim_start_matches("scim_demo_").split_once('_').unwrap();
    let last_used = async || {
        let listed = json(&directory, &["token", "list", "demo"]).await;
        let tokens = listed.as_array().unwrap();
        tokens.iter().find(|one| one["keyId"] == kid).unwrap()["lastUsed"].clone()
    };
    assert_eq!(last_used().await, Value::Null);
    let wrong = directory.client().with_token(&token.replace(kid, "00000000"));
    assert_eq!(wrong.get("/Users").await.status, 401);
    let wrong = directory.client().with_token(&format!("scim_demo_{kid}_1"));
    assert_eq!(wrong.get("/Users").await.status, 401);
    assert_eq!(last_used().await, Value::Null, "a wrong secret is no use of it");

    let client = directory.client().with_token(&token);
    let writes = async || {
        client.faults.forget();
        assert_eq!(client.get("/Schemas").await.status, 200);
        client.faults.calls().iter().filter(|call| *call == "UpdateItem").count()
    };
    assert_eq!(writes().await, 1);
    let first = last_used().await;
    assert!(first.as_str().unwrap().starts_with("2026-01-31T09:00:"), "{first}");
    directory.pass(3_590);
    assert_eq!((writes().await, last_used().await), (0, first.clone()));
    directory.pass(10);
    assert_eq!(writes().await, 1);
    assert_ne!(last_used().await, first);
    // An instance that cannot note the use of the token serves the request all the same.
    client.faults.inject_times("UpdateItem", 9, Fault::ServerError);
    directory.pass(3_600);
    assert_eq!(writes().await, 4, "the attempts of the SDK; nobody waits for a note to succeed");
}
