//! The operator's command, as a process of its own over the same table.

use insta::assert_snapshot;
use serde_json::Value;
use tokio::process::Command;

use crate::client::{Directory, TOKEN};
use crate::consistency;

/// What it prints, or its complaint.
async fn run(directory: &Directory, arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new(env!("CARGO_BIN_EXE_scimctl"))
        .args(["--endpoint", directory.endpoint(), "--table", directory.table()])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) }
}

async fn json(directory: &Directory, arguments: &[&str]) -> Value {
    let printed = run(directory, &[&["--json"], arguments].concat()).await.unwrap();
    serde_json::from_str(&printed).unwrap()
}

async fn token(directory: &Directory, arguments: &[&str]) -> String {
    let made = json(directory, &[&["token", "create"], arguments].concat()).await;
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_customer_is_let_in_by_two_commands() {
    let directory = Directory::new().await;
    let made = json(&directory, &["tenant", "create", "acme", "userName=immutable"]).await;
    assert_eq!(
        (&made["tenant"], &made["policy"]["userName"]),
        (&"acme".into(), &"immutable".into()),
        "{made}"
    );
    let client = directory.client().with_token(&token(&directory, &["acme"]).await);
    assert_eq!(client.post("/Users", r#"{"userName":"ann"}"#).await.status, 201);
    assert_eq!(directory.client().get("/Users").await.body["totalResults"], 0, "of another tenant");
    let names = run(&directory, &["tenant", "list"]).await.unwrap();
    let names: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["tenant", "acme", "demo"]);
    consistency::check(&directory).await;
}

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
    assert_snapshot!(refused, @r#"403 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"403","detail":"the token only reads: use one that the operator has made for reading and writing"}"#);
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
    // The command's clock is that of the machine, the directory's is its own.
    let key =
        |name: &str, value: String| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value));
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
    // An end that is sooner stays.
    let soon = json(&directory, &["token", "create", "demo", "--days", "1"]).await;
    let kid = soon["keyId"].as_str().unwrap();
    run(&directory, &["token", "rotate", "demo", kid]).await.unwrap();
    let listed = json(&directory, &["token", "list", "demo"]).await;
    let kept = listed.as_array().unwrap().iter().find(|token| token["keyId"] == kid).unwrap();
    assert_eq!(kept["expires"], soon["expires"]);
}

#[tokio::test]
async fn a_disabled_tenant_lets_nobody_in_until_it_is_enabled() {
    let directory = Directory::new().await;
    let client = directory.client();
    assert_eq!(client.get("/Users").await.status, 200);
    run(&directory, &["tenant", "disable", "demo", "--yes"]).await.unwrap();
    directory.pass(60);
    let refused = client.get("/Users").await;
    let unknown = client.with_token(&TOKEN.replace("demo", "none")).get("/Users").await;
    assert_eq!((refused.status, refused.body), (401, unknown.body));
    run(&directory, &["tenant", "enable", "demo"]).await.unwrap();
    directory.pass(60);
    assert_eq!(client.get("/Users").await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_on_one_line() {
    let directory = Directory::new().await;
    let refused = [
        &["tenant", "create", "demo"][..],
        &["tenant", "set", "none", "userName=immutable"],
        &["tenant", "disable", "none"],
        &["token", "create", "none"],
        &["token", "list", "none"],
        &["token", "revoke", "demo", "none"],
        &["token", "rotate", "demo", "none"],
    ];
    let mut lines = String::new();
    for arguments in refused {
        lines += &run(&directory, arguments).await.unwrap_err();
    }
    assert_snapshot!(lines, @"
    scimctl: there is a tenant demo already
    scimctl: there is no tenant none: make it with scimctl tenant create none
    scimctl: there is no tenant none: make it with scimctl tenant create none
    scimctl: there is no tenant none: make it with scimctl tenant create none
    scimctl: there is no tenant none: make it with scimctl tenant create none
    scimctl: there is no token none of demo: see scimctl token list demo
    scimctl: there is no token none of demo: see scimctl token list demo
    ");
    let changed = run(&directory, &["tenant", "set", "demo", "shoeSize=1"]).await.unwrap_err();
    assert!(changed.contains("unknown field `shoeSize`"), "{changed}");
}
