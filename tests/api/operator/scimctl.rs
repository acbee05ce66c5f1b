//! The operator's command, as a process of its own over the same table.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_snapshot;
use serde_json::Value;
use tokio::process::Command;

use crate::support::consistency;
use crate::support::directory::{Directory, TOKEN};
use crate::support::faults::Fault;
use crate::support::scimctl::{json, run, token};

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
    // An end that is sooner stays.
    let soon = json(&directory, &["token", "create", "demo", "--days", "1"]).await;
    let kid = soon["keyId"].as_str().unwrap();
    let rotated = json(&directory, &["token", "rotate", "demo", kid]).await;
    assert!(rotated["expires"].is_string(), "and the new one lasts as long: {rotated}");
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
    for (endpoint, environment) in
        [("", "http://127.0.0.1:9"), ("localhost:8000", ""), ("none", "localhost:8000")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scimctl"));
        if endpoint != "none" {
            command.args(["--endpoint", endpoint]);
        }
        let ended =
            command.args(["tenant", "list"]).env("AWS_ENDPOINT_URL_DYNAMODB", environment).output().await;
        let told = String::from_utf8(ended.unwrap().stderr).unwrap();
        assert!(told.contains("has to be a URL with http:// or https://, not "), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let changed = run(&directory, &["tenant", "set", "demo", "shoeSize=1"]).await.unwrap_err();
    assert!(changed.contains("unknown field `shoeSize`"), "{changed}");
}

#[tokio::test]
async fn a_deleted_tenant_leaves_nothing_and_a_cut_off_deletion_is_taken_up() {
    let directory = Directory::new().await;
    run(&directory, &["tenant", "create", "demo-2"]).await.unwrap();
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"ann"}"#).await.id().to_owned();
    let group = serde_json::json!({ "displayName": "Crew", "members": [{ "value": user }] }).to_string();
    assert_eq!(client.post("/Groups", &group).await.status, 201);

    let refused = run(&directory, &["tenant", "delete", "demo", "--yes"]).await.unwrap_err();
    assert_eq!(refused, "scimctl: the tenant demo is in use: first scimctl tenant disable demo\n");
    run(&directory, &["tenant", "disable", "demo", "--yes"]).await.unwrap();
    let refused = run(&directory, &["tenant", "delete", "demo", "--yes"]).await.unwrap_err();
    assert!(refused.contains("requests of demo may still be under way: try again in 1"), "{refused}");
    set_disabled(&directory, "2026-01-31T09:00:00Z").await;
    let asked = run(&directory, &["tenant", "delete", "demo"]).await.unwrap_err();
    assert_eq!(asked, "scimctl: Users, groups and tokens of demo are lost. Say --yes if that is meant\n");
    assert!(consistency::count(&directory, "demo#").await > 8);

    // As a deletion leaves it that is cut off at its beginning.
    let key =
        |sk: &str| [("pk", "demo#tenant"), ("sk", sk)].map(|(name, value)| (name.to_owned(), text(value)));
    let delete = directory.dynamodb().delete_item().table_name(directory.table());
    delete.set_key(Some(key("!").into())).send().await.unwrap();
    let taken = run(&directory, &["tenant", "create", "demo"]).await.unwrap_err();
    assert_eq!(taken, "scimctl: there is a tenant demo already\n");
    run(&directory, &["tenant", "delete", "demo"]).await.unwrap();
    assert_eq!(consistency::count(&directory, "demo#").await, 0);
    let names = json(&directory, &["tenant", "list"]).await;
    assert_eq!((names.as_array().unwrap().len(), &names[0]["tenant"]), (1, &"demo-2".into()));
    assert_eq!(directory.client().get("/Users").await.status, 401);
    // The name is free, and nothing of the old one is there.
    run(&directory, &["tenant", "create", "demo"]).await.unwrap();
    let client = directory.client().with_token(&token(&directory, &["demo"]).await);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
    consistency::check(&directory).await;
}

async fn set_disabled(directory: &Directory, since: &str) {
    let update = directory.dynamodb().update_item().table_name(directory.table());
    let update = update.key("pk", text("demo#tenant")).key("sk", text("!"));
    let update = update.update_expression("SET disabled = :since");
    update.expression_attribute_values(":since", text(since)).send().await.unwrap();
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[tokio::test]
async fn stats_say_what_there_is_and_sweep_does_what_is_due() {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"ann"}"#).await.path();
    client.post("/Users", r#"{"userName":"bo"}"#).await;
    client.faults.on_nth_call(3, Fault::Die);
    client.delete(&user).await;
    let stats = json(&directory, &["stats"]).await;
    assert_eq!(
        stats,
        serde_json::json!([{ "tenant": "demo", "User": 1, "Group": 0, "tokens": 1, "jobs": 1, "oldestJobDue": "2026-01-31T09:01:33Z" }])
    );
    let swept = json(&directory, &["sweep", "demo"]).await;
    assert_eq!(swept, serde_json::json!({ "tenants": 1, "done": 1, "left": 0 }));
    assert_eq!(json(&directory, &["stats", "demo"]).await[0]["jobs"], 0);
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
    // Another instance that read the token before does not write again.
    client.faults.inject_times("UpdateItem", 9, Fault::ServerError);
    directory.pass(3_600);
    assert_eq!(writes().await, 4, "the attempts of the SDK; nobody waits for a note to succeed");
}

#[tokio::test]
async fn a_tenant_takes_the_tokens_of_a_server_or_none() {
    let directory = Directory::new().await;
    let keys = std::env::temp_dir().join(format!("{}.json", directory.table()));
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(&keys, format!(r#"{{"keys":[{jwk}]}}"#)).unwrap();
    let server = ["tenant", "oauth", "demo", "--issuer", "https://login.example.com", "--audience", "scim"];
    let set = async |more: &[&str]| run(&directory, &[&["--json"], &server[..], more].concat()).await;
    let shown: Value = serde_json::from_str(
        &set(&[
            "--jwks-url",
            "https://login.example.com/keys",
            "--scope",
            "scim",
            "--algorithms",
            "RS256,ES256",
        ])
        .await
        .unwrap(),
    )
    .unwrap();
    assert_snapshot!(shown["oauth"], @r#"{"issuer":"https://login.example.com","audience":"scim","keys":{"jwksUrl":"https://login.example.com/keys"},"scope":"scim","algorithms":["RS256","ES256"]}"#);
    let shown = set(&["--jwks", keys.to_str().unwrap()]).await.unwrap();
    assert!(shown.contains(r#""algorithms":["RS256","ES256","EdDSA"]"#), "{shown}");
    std::fs::write(&keys, r#"{"keys":[{"kty":"oct","use":"enc","k":"AA"}]}"#).unwrap();
    for (refused, why) in [
        (set(&["--jwks-url", "http://login.example.com/keys"]).await, "has to be https://"),
        (set(&["--jwks", keys.to_str().unwrap()]).await, "no key in it can check a signature"),
        (set(&["--jwks", "/none.json"]).await, "/none.json: No such file"),
        (
            set(&["--jwks-url", "https://x/", "--algorithms", "HS256"]).await,
            "[possible values: RS256, ES256, EdDSA]",
        ),
        (set(&[]).await, "--jwks-url"),
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let shown = json(&directory, &["tenant", "oauth", "demo", "--off"]).await;
    assert_eq!(shown["oauth"], Value::Null);
    std::fs::remove_file(keys).unwrap();
}

#[tokio::test]
async fn a_tenant_is_given_schemas_of_its_own() {
    let directory = Directory::new().await;
    let shown = json(&directory, &["tenant", "define", "demo", "tests/api/definitions/roles.json"]).await;
    assert_eq!(shown["definitions"], true);
    assert_eq!(directory.client().get("/Roles").await.status, 200);
    let refused = run(&directory, &["tenant", "define", "demo", "Cargo.toml"]).await.unwrap_err();
    assert!(refused.starts_with("scimctl: "), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
}

/// Of operators who start from the same policies, one wins, and the others are told.
#[tokio::test]
async fn no_change_of_a_policy_is_lost() {
    let directory = Directory::new().await;
    let settings = [
        ("userName", "immutable"),
        ("groupNames", "free"),
        ("unknownMembers", "accept"),
        ("unknownRoles", "refuse"),
        ("groupCycles", "accept"),
        ("patchAnswer", "representation"),
    ];
    let changes = settings.map(|(name, value)| {
        let directory = &directory;
        async move { run(directory, &["tenant", "set", "demo", &format!("{name}={value}")]).await }
    });
    let done = futures_util::future::join_all(changes).await;
    let policy = json(&directory, &["tenant", "show", "demo"]).await["policy"].clone();
    assert!(done.iter().any(Result::is_ok));
    for ((name, value), done) in settings.into_iter().zip(done) {
        match done {
            Ok(_) => assert_eq!(policy[name], value, "{policy}"),
            Err(told) => {
                assert_eq!(told, "scimctl: somebody else has changed the policies meanwhile: try again\n");
                assert_ne!(policy[name], value, "{policy}");
            }
        }
    }
}
