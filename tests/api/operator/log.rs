//! The line that each request leaves in the log.

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::recording::Recording;

#[tokio::test]
async fn an_explained_request_says_its_plan_and_cost_and_no_value() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.explain = true;
    let client = directory.client_with(config);
    let recording = Recording::new();
    let user =
        r#"{"userName":"sarah.jones","emails":[{"value":"sarah@example.com"}],"password":"t1meMa$heen"}"#;
    let created = client.post("/Users", user).await;
    client.get(&created.path()).await;
    client.get("/Users?filter=userName+eq+%22sarah.jones%22").await;
    client.get("/Users?filter=emails+eq+%22sarah%40example.com%22+or+id+eq+%22sarah%22").await;
    client.get("/Users?filter=title+pr").await;
    client.get("/Users").await;
    let text = recording.text();
    for private in ["sarah", "t1meMa", "0000000000000000", "filter="] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    let mut shown = String::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let line = line.as_object_mut().unwrap();
        if line["message"] != "request" {
            continue;
        }
        assert!(line.shift_remove("duration_ms").unwrap().is_u64());
        shown.push_str(&serde_json::to_string(line).unwrap());
        shown.push('\n');
    }
    assert_snapshot!(shown, @r#"
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"POST","path":"/scim/v2/Users","route":"POST /Users","status":201,"server_errors":0,"dynamodb_calls":2,"retries":0,"conflicts":0,"throttles":0,"read_units":2.0,"write_units":9.0,"tolerances":"schemasMissing","items_read":2}
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"GET","path":"/scim/v2/Users/00000000-0000-4000-8000-000000000001","route":"GET /Users/{id}","status":200,"server_errors":0,"dynamodb_calls":2,"retries":0,"conflicts":0,"throttles":0,"read_units":1.5,"write_units":0.0,"items_read":1}
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"GET","path":"/scim/v2/Users","route":"GET /Users","status":200,"server_errors":0,"dynamodb_calls":3,"retries":0,"conflicts":0,"throttles":0,"read_units":2.5,"write_units":0.0,"plan":"userName","items_read":2}
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"GET","path":"/scim/v2/Users","route":"GET /Users","status":200,"server_errors":0,"dynamodb_calls":3,"retries":0,"conflicts":0,"throttles":0,"read_units":2.5,"write_units":0.0,"plan":"emails.value or id","items_read":2}
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"GET","path":"/scim/v2/Users","route":"GET /Users","status":200,"server_errors":0,"dynamodb_calls":5,"retries":0,"conflicts":0,"throttles":0,"read_units":2.5,"write_units":0.0,"plan":"scan","items_read":2}
    {"level":"INFO","message":"request","request_id":"","tenant":"demo","method":"GET","path":"/scim/v2/Users","route":"GET /Users","status":200,"server_errors":0,"dynamodb_calls":3,"retries":0,"conflicts":0,"throttles":0,"read_units":1.5,"write_units":0.0,"items_read":2}
    "#);
}

/// Each is counted once, whether the SDK retries or the store does.
#[tokio::test]
async fn retries_conflicts_and_throttles_are_counted() {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let put = async |title: &str, faults: &[(&str, Fault)]| {
        for (operation, fault) in faults {
            client.faults.inject(operation, fault.clone());
        }
        let recording = Recording::new();
        let body = json!({ "userName": title, "active": true, "title": title }).to_string();
        assert_eq!(client.put(&user, &body).await.status, 200);
        let text = recording.text();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.rfind(|line| line["message"] == "request").unwrap();
        ["retries", "conflicts", "throttles", "server_errors"].map(|name| line[name].as_u64().unwrap())
    };
    assert_eq!(put("a", &[]).await, [0, 0, 0, 0]);
    assert_eq!(put("b", &[("UpdateItem", Fault::Throttle)]).await, [1, 0, 1, 0]);
    assert_eq!(put("c", &[("UpdateItem", Fault::LoseResponse)]).await, [1, 0, 0, 0]);
    let conflict = Fault::Cancelled(vec!["TransactionConflict", "None", "None"]);
    assert_eq!(put("d", &[("TransactWriteItems", conflict)]).await, [1, 1, 0, 0]);
    let both = [("UpdateItem", Fault::Conflict), ("TransactWriteItems", Fault::Throttle)];
    assert_eq!(put("e", &both).await, [2, 1, 1, 0]);
}
