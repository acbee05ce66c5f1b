//! The errors of `scimctl`, and its commands `stats` and `sweep`.

use insta::assert_snapshot;
use tokio::process::Command;

use crate::support::directory::Directory;
use crate::support::scimctl::{json, run};

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
    scimctl: tenant demo already exists
    scimctl: tenant none not found: create it with scimctl tenant create none
    scimctl: tenant none not found: create it with scimctl tenant create none
    scimctl: tenant none not found: create it with scimctl tenant create none
    scimctl: tenant none not found: create it with scimctl tenant create none
    scimctl: token none of demo not found: see scimctl token list demo
    scimctl: token none of demo not found: see scimctl token list demo
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
        let error = String::from_utf8(ended.unwrap().stderr).unwrap();
        assert!(error.contains("be a URL with http:// or https://, not "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimctl"));
    command.args(["--endpoint", directory.endpoint(), "--table", "nope", "tenant", "list"]);
    let ended = command.output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_snapshot!(
        String::from_utf8(ended.stderr).unwrap(),
        @"scimctl: table nope not found: check --table and AWS_REGION"
    );
    let changed = run(&directory, &["tenant", "set", "demo", "shoeSize=1"]).await.unwrap_err();
    assert!(changed.contains("unknown field `shoeSize`"), "{changed}");
}

#[tokio::test]
async fn stats_say_what_there_is_and_sweep_does_what_is_due() {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"ann"}"#).await.path();
    client.post("/Users", r#"{"userName":"bo"}"#).await;
    client.delete(&user).await;
    let stats = json(&directory, &["stats"]).await;
    assert_eq!(
        stats,
        serde_json::json!([{ "tenant": "demo", "User": 1, "Group": 0, "tokens": 1, "jobs": 1, "oldestJobDue": "2026-01-31T09:02:33Z" }])
    );
    let swept = json(&directory, &["sweep", "demo"]).await;
    assert_eq!(
        swept,
        serde_json::json!({ "tenants": 1, "done": 1, "left": 0, "errors": 0, "complete": true })
    );
    assert_eq!(json(&directory, &["stats", "demo"]).await[0]["jobs"], 0);
}
