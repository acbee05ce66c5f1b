//! The audit log: one record for each change.

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::consistency;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::recording::Recording;
use crate::support::scimctl;

/// Returns the audit records among these lines, without the members that are equal in all.
fn records(text: &str) -> String {
    let mut records = String::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let line = line.as_object_mut().unwrap();
        if line["message"] != "audit" {
            continue;
        }
        assert!(line["time"].as_str().unwrap().starts_with("2026-01-31T09:"));
        for name in ["level", "message", "time", "request_id"] {
            line.shift_remove(name);
        }
        assert_eq!(line.shift_remove("tenant").unwrap(), "demo");
        records += &Value::Object(line.clone()).to_string();
        records += "\n";
    }
    records
}

#[tokio::test]
async fn each_change_leaves_one_record_and_nothing_else_does() {
    let directory = Directory::new().await;
    let client = directory.client();
    let recording = Recording::new();
    let sarah = client.post("/Users", r#"{"userName":"sarah","title":"Dr. Sarah"}"#).await;
    let user = sarah.path();
    let patch = |path: &str, value: Value| {
        json!({ "Operations": [{ "op": "replace", "path": path, "value": value }] }).to_string()
    };
    client.put(&user, r#"{"userName":"sarah","nickName":"sarah"}"#).await;
    client.put(&user, r#"{"userName":"sarah","nickName":"sarah"}"#).await;
    client.patch(&user, &patch("active", json!(false))).await;
    client.patch(&user, &patch("name.givenName", json!("Sarah"))).await;
    client.patch(&user, &patch("userName", json!("sarah.smith"))).await;
    client.patch(&user, &patch("userName", json!("sarah.smith"))).await;
    client.get(&user).await;
    client.post("/Users", r#"{"userName":"Sarah.Smith"}"#).await;
    let member = json!({ "displayName": "Crew of Sarah", "members": [{ "value": sarah.id() }] }).to_string();
    let group = client.post("/Groups", &member).await.path();
    let members = |op: &str| json!({ "Operations": [{ "op": op, "path": "members", "value": [{ "value": sarah.id() }] }] });
    client.patch(&group, &members("remove").to_string()).await;
    client.request("PATCH", &group).if_match("W/\"2\"").body(&members("add").to_string()).send().await;
    client.put(&group, r#"{"displayName":"Nobody"}"#).await;
    client.patch(&group, &members("add").to_string()).await;
    let bulk = json!({ "Operations": [
        { "method": "PATCH", "path": user, "data": { "Operations": [{ "op": "add", "value": { "title": "Sarah" } }] } },
        { "method": "POST", "path": "/Users", "bulkId": "x", "data": { "userName": "bo" } },
        { "method": "DELETE", "path": "/Users/none" },
    ]});
    client.post("/Bulk", &bulk.to_string()).await;
    client.delete(&user).await;
    client.delete(&user).await;
    let text = recording.text();
    assert!(!text.to_lowercase().contains("sarah"), "{text}");
    assert_snapshot!(records(&text), @r#"
    {"client":"events","action":"create","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_after":1,"attributes":"active,title,userName"}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":1,"version_after":2,"attributes":"nickName,title"}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":2,"version_after":3,"attributes":"active"}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":3,"version_after":4,"attributes":"name"}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":4,"version_after":5,"attributes":"userName"}
    {"client":"events","action":"create","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","version_after":1,"attributes":"displayName,members"}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","attributes":"members"}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","version_before":2,"version_after":3,"attributes":"members"}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","version_before":3,"version_after":4,"attributes":"displayName,members"}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","attributes":"members"}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":5,"version_after":6,"attributes":"title"}
    {"client":"events","action":"create","resource_type":"User","id":"00000000-0000-4000-8000-00000000001a","version_after":1,"attributes":"active,userName"}
    {"client":"events","action":"delete","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":6}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-00000000000e","attributes":"members"}
    "#);
}

/// The writer does not see its answer, and the SDK sends the write again.
#[tokio::test]
async fn a_change_whose_answer_was_lost_is_recorded_once() {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let group = client.post("/Groups", r#"{"displayName":"Crew"}"#).await.path();
    let recording = Recording::new();
    client.faults.inject("UpdateItem", Fault::LoseResponse);
    assert_eq!(client.put(&user, r#"{"userName":"bo","title":"Dr."}"#).await.status, 200);
    client.faults.inject("TransactWriteItems", Fault::LoseResponse);
    assert_eq!(client.put(&user, r#"{"userName":"jo"}"#).await.status, 200);
    client.faults.inject_times("TransactWriteItems", 9, Fault::LoseResponse);
    assert_eq!(client.put(&group, r#"{"displayName":"Nobody"}"#).await.status, 200);
    assert_eq!(client.faults.unmet(), 1, "the attempts of the SDK");
    assert_snapshot!(records(&recording.text()), @r#"
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":1,"version_after":2}
    {"client":"events","action":"change","resource_type":"User","id":"00000000-0000-4000-8000-000000000001","version_before":2,"version_after":3,"attributes":"title,userName"}
    {"client":"events","action":"change","resource_type":"Group","id":"00000000-0000-4000-8000-000000000004","version_before":1,"version_after":2}
    "#);
}

#[tokio::test]
async fn the_table_keeps_a_copy_for_as_long_as_the_operator_wants() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.audit_days = Some(60_000);
    let client = directory.client_with(config);
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    client.delete(&user).await;
    let kept = scimctl::json(&directory, &["audit", "demo", "2026-01-31"]).await;
    let id = user.trim_start_matches("/Users/");
    let expected = json!([
        { "time": kept[0]["time"], "client": "events", "requestId": kept[0]["requestId"], "action": "create",
          "resourceType": "User", "id": id, "versionAfter": 1, "attributes": ["active", "userName"] },
        { "time": kept[1]["time"], "client": "events", "requestId": kept[1]["requestId"], "action": "delete",
          "resourceType": "User", "id": id, "versionBefore": 1 },
    ]);
    assert_eq!(kept, expected);
    consistency::check(&directory).await;
    assert_eq!(scimctl::json(&directory, &["audit", "demo", "2026-02-01"]).await, json!([]));

    // A request succeeds even if its record cannot be written.
    client.faults.inject_times("BatchExecuteStatement", 9, Fault::ServerError);
    assert_eq!(client.post("/Users", r#"{"userName":"jo"}"#).await.status, 201);
}

#[tokio::test]
async fn the_record_of_another_day_that_is_past_its_time_is_not_shown() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.audit_days = Some(1);
    directory.client_with(config).post("/Users", r#"{"userName":"bo"}"#).await;
    // The command takes the time of the machine, not of the directory.
    assert_eq!(consistency::count(&directory, "demo#audit#2026-01-31").await, 1);
    assert_eq!(scimctl::json(&directory, &["audit", "demo", "2026-01-31"]).await, json!([]));
}
