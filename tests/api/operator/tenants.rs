//! The commands of `scimctl tenant`.

use aws_sdk_dynamodb::types::AttributeValue;
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::consistency;
use crate::support::directory::{Directory, TOKEN};
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
async fn a_deleted_tenant_leaves_nothing_and_an_interrupted_deletion_is_resumed() {
    let directory = Directory::new().await;
    run(&directory, &["tenant", "create", "demo-2"]).await.unwrap();
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"ann"}"#).await.id().to_owned();
    let group = serde_json::json!({ "displayName": "Crew", "members": [{ "value": user }] }).to_string();
    assert_eq!(client.post("/Groups", &group).await.status, 201);

    let refused = run(&directory, &["tenant", "delete", "demo", "--yes"]).await.unwrap_err();
    assert_eq!(refused, "scimctl: tenant demo is enabled: run scimctl tenant disable demo first\n");
    let asked = run(&directory, &["tenant", "disable", "demo"]).await.unwrap_err();
    assert_eq!(asked, "scimctl: All requests for demo will be rejected. Pass --yes to confirm\n");
    run(&directory, &["tenant", "disable", "demo", "--yes"]).await.unwrap();
    let refused = run(&directory, &["tenant", "delete", "demo", "--yes"]).await.unwrap_err();
    assert!(refused.contains("requests of demo may still be in flight: retry in 1"), "{refused}");
    set_disabled(&directory, "2026-01-31T09:00:00Z").await;
    let asked = run(&directory, &["tenant", "delete", "demo"]).await.unwrap_err();
    assert_eq!(
        asked,
        "scimctl: All users, groups and tokens of demo will be deleted. Pass --yes to confirm\n"
    );
    assert!(consistency::count(&directory, "demo#").await > 8);

    // This is the state after a deletion that was interrupted at its beginning.
    let key =
        |sk: &str| [("pk", "demo#tenant"), ("sk", sk)].map(|(name, value)| (name.to_owned(), text(value)));
    let delete = directory.dynamodb().delete_item().table_name(directory.table());
    delete.set_key(Some(key("!").into())).send().await.unwrap();
    let taken = run(&directory, &["tenant", "create", "demo"]).await.unwrap_err();
    assert_eq!(taken, "scimctl: tenant demo already exists\n");
    run(&directory, &["tenant", "delete", "demo"]).await.unwrap();
    assert_eq!(consistency::count(&directory, "demo#").await, 0);
    let names = json(&directory, &["tenant", "list"]).await;
    assert_eq!((names.as_array().unwrap().len(), &names[0]["tenant"]), (1, &"demo-2".into()));
    assert_eq!(directory.client().get("/Users").await.status, 401);
    // The name is free, and the new tenant is empty.
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
            "--client",
            "idp",
            "--client",
            "other idp",
            "--subject",
            "service",
            "--max-age",
            "3600",
            "--algorithms",
            "RS256,ES256",
        ])
        .await
        .unwrap(),
    )
    .unwrap();
    assert_snapshot!(shown["oauth"], @r#"{"issuer":"https://login.example.com","audience":"scim","keys":{"jwksUrl":"https://login.example.com/keys"},"clients":["idp","other idp"],"subjects":["service"],"scope":"scim","maxAge":3600,"algorithms":["RS256","ES256"]}"#);
    let shown = set(&["--jwks", keys.to_str().unwrap(), "--client", "idp"]).await.unwrap();
    assert!(shown.contains(r#""algorithms":["RS256","ES256","EdDSA"]"#), "{shown}");
    std::fs::write(&keys, r#"{"keys":[{"kty":"oct","use":"enc","k":"AA"}]}"#).unwrap();
    let url = ["--jwks-url", "https://login.example.com/keys"];
    for (more, why) in [
        (&[][..], "the audience alone cannot identify a client: pass --client, --subject or --scope"),
        (&["--max-age", "3600"], "the audience alone"),
        (&["--client", ""], "client and subject must not be empty"),
        (&["--client", "idp", "--subject", ""], "client and subject must not be empty"),
        (&["--scope", ""], "scope must be one value without spaces"),
        (&["--scope", "a b"], "scope must be one value without spaces"),
        (&["--client", "idp", "--max-age", "0"], "max-age must be above 0"),
        (&["--client", "idp", "--max-age", "1h"], "invalid value '1h'"),
    ] {
        let refused = set(&[&url[..], more].concat()).await.unwrap_err();
        assert!(refused.contains(why), "{more:?}: {refused}");
    }
    for (refused, why) in [
        (
            set(&["--client", "idp", "--jwks-url", "http://login.example.com/keys"]).await,
            "must begin with https://",
        ),
        (
            set(&["--client", "idp", "--jwks", keys.to_str().unwrap()]).await,
            "no key in it can check a signature",
        ),
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

/// One of several operators who start from the same policies wins. The others get an error.
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
    let changes =
        settings.map(|(name, value)| {
            let directory = &directory;
            async move {
                run(directory, &["tenant", "set", "demo", &format!("{name}={value}"), "--wait", "0"]).await
            }
        });
    let done = futures_util::future::join_all(changes).await;
    let policy = json(&directory, &["tenant", "show", "demo"]).await["policy"].clone();
    assert!(done.iter().any(Result::is_ok));
    for ((name, value), done) in settings.into_iter().zip(done) {
        match done {
            Ok(_) => assert_eq!(policy[name], value, "{policy}"),
            Err(error) => {
                assert_eq!(error, "scimctl: the tenant was changed by another process: retry\n");
                assert_ne!(policy[name], value, "{policy}");
            }
        }
    }
}

#[tokio::test]
async fn a_person_sees_one_row_for_each_setting_of_a_tenant() {
    let directory = Directory::new().await;
    let server = ["--issuer", "https://login.example.com", "--audience", "scim", "--jwks-url", "https://x/"];
    let server = [&server[..], &["--client", "idp", "--client", "other"]].concat();
    run(&directory, &[&["tenant", "oauth", "demo"], &server[..]].concat()).await.unwrap();
    let shown = run(&directory, &["tenant", "set", "demo", "massRemoval.percent=50"]).await.unwrap();
    assert_snapshot!(shown, @"
    tenant               demo
    disabled             -
    created              2026-01-31T09:00:00Z
    definitions          false
    reindex              -
    oauth.issuer         https://login.example.com
    oauth.audience       scim
    oauth.jwks-url       https://x/
    oauth.client         idp, other
    oauth.subject        -
    oauth.scope          -
    oauth.max-age        -
    oauth.algorithms     RS256, ES256, EdDSA
    interpretation       tolerant
    unknownAttributes    ignore
    userName             readWrite
    userNameCharacters   safe
    userGroups           default
    password             ignore
    groupNames           unique
    unknownMembers       refuse
    unknownManagers      accept
    memberDisplay        stored
    unknownRoles         accept
    groupCycles          refuse
    patchAnswer          default
    massRemoval.members  null
    massRemoval.percent  50
    pageSize.default     100
    pageSize.max         100
    rateLimit.perSecond  null
    rateLimit.burst      null
    ");
}
