//! A policy or definitions that change what is unique or looked up, of a tenant that has resources.
//! The rules of before hold until all resources are indexed by the new ones, wherever the command
//! is interrupted; no state of it refuses a change or a deletion, and no filter misses anybody.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::builders::encoded;
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::races::at_once;
use crate::support::scimctl::{command, json, run};

const UNIQUE: [&str; 6] = ["tenant", "set", "demo", "groupNames=unique", "--wait", "0"];
const FREE: [&str; 6] = ["tenant", "set", "demo", "groupNames=free", "--wait", "0"];

async fn free() -> (Directory, Client) {
    let directory = Directory::spread().await;
    let policy = serde_json::from_value(json!({ "groupNames": "free" })).unwrap();
    directory.set_policy("demo", policy).await;
    let client = directory.client();
    (directory, client)
}

async fn group(client: &Client, name: &str) -> String {
    let created =
        client.post("/Groups", &json!({ "displayName": name, "externalId": name }).to_string()).await;
    assert_eq!(created.status, 201, "{created}");
    created.path()
}

async fn rename(client: &Client, path: &str, name: &str) -> u16 {
    let body = json!({ "Operations": [{ "op": "replace", "path": "displayName", "value": name }] });
    client.patch(path, &body.to_string()).await.status
}

async fn found(client: &Client, name: &str) -> usize {
    let filter = encoded(&format!("displayName eq \"{name}\""));
    let found = client.get(&format!("/Groups?filter={filter}")).await;
    assert_eq!(found.status, 200, "{found}");
    usize::try_from(found.body["totalResults"].as_u64().unwrap()).unwrap()
}

/// Returns the policy in force, and the stage of a change.
async fn state(directory: &Directory) -> (Value, Value) {
    let shown = json(directory, &["tenant", "show", "demo"]).await;
    (shown["policy"]["groupNames"].clone(), shown["reindex"].clone())
}

#[tokio::test]
async fn names_of_groups_become_unique_and_free_again() {
    let (directory, client) = free().await;
    let mut groups = Vec::new();
    for n in 0..30 {
        groups.push(group(&client, &format!("Group {n}")).await);
    }
    run(&directory, &UNIQUE).await.unwrap();
    assert_eq!(state(&directory).await, (json!("unique"), Value::Null));
    check(&directory).await;
    directory.pass(61);
    let refused = client.post("/Groups", r#"{"displayName":"GROUP 7"}"#).await;
    assert_eq!((refused.status, &refused.body["scimType"]), (409, &json!("uniqueness")));
    assert_eq!(found(&client, "group 7").await, 1);
    assert_eq!(rename(&client, &groups[0], "Group 1").await, 409);
    assert_eq!(rename(&client, &groups[0], "Other").await, 204);
    assert_eq!(client.delete(&groups[2]).await.status, 204);
    group(&client, "Group 2").await;
    check(&directory).await;

    run(&directory, &FREE).await.unwrap();
    directory.pass(61);
    group(&client, "Group 1").await;
    assert_eq!(found(&client, "group 1").await, 2);
    assert_eq!(client.delete(&groups[3]).await.status, 204);
    check(&directory).await;
}

#[tokio::test]
async fn duplicates_are_reported_and_the_old_rule_holds() {
    let (directory, client) = free().await;
    let (one, two) = (group(&client, "Staff").await, group(&client, "staff").await);
    let three = group(&client, "Crew").await;
    let ended = command(&directory, &[&["--json"], &UNIQUE[..]].concat()).output().await.unwrap();
    let reported: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), reported.as_array().unwrap().len()), (Some(2), 1), "{reported}");
    assert_eq!((&reported[0]["type"], &reported[0]["value"]), (&json!("Group"), &json!("staff")));
    let mut ids: Vec<&str> =
        reported[0]["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [&one, &two].map(|path| path.trim_start_matches("/Groups/"));
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(state(&directory).await, (json!("free"), json!("fill")));
    directory.pass(61);
    // Nothing is refused, and both can be changed, renamed and deleted.
    let third = group(&client, "STAFF").await;
    assert_eq!(found(&client, "staff").await, 3);
    for path in [&one, &two, &third] {
        let body = r#"{"Operations":[{"op":"replace","path":"externalId","value":"x"}]}"#;
        assert_eq!(client.patch(path, body).await.status, 204);
    }
    assert_eq!(rename(&client, &two, "Crew").await, 204);
    assert_eq!(client.delete(&one).await.status, 204);
    assert_eq!(client.delete(&three).await.status, 204);
    assert_eq!((found(&client, "staff").await, found(&client, "crew").await), (1, 1));
    // Without duplicates the same command completes the change.
    run(&directory, &UNIQUE).await.unwrap();
    assert_eq!(state(&directory).await, (json!("unique"), Value::Null));
    check(&directory).await;
}

#[tokio::test]
async fn a_change_that_is_given_up_leaves_nothing() {
    let (directory, client) = free().await;
    for name in ["Staff", "staff", "Crew"] {
        group(&client, name).await;
    }
    run(&directory, &UNIQUE).await.unwrap_err();
    let other = run(&directory, &["tenant", "set", "demo", "patchAnswer=representation"]).await.unwrap_err();
    assert!(other.contains("a change of what is indexed is in progress for demo"), "{other}");
    run(&directory, &FREE).await.unwrap();
    assert_eq!(state(&directory).await, (json!("free"), Value::Null));
    check(&directory).await;
    run(&directory, &["tenant", "set", "demo", "patchAnswer=representation"]).await.unwrap();
}

/// Groups are created, renamed and deleted by instances that know of the change and by one that does
/// not, while the command is killed again and again.
#[tokio::test]
async fn a_change_is_complete_although_it_was_killed_while_groups_changed() {
    let (directory, client) = free().await;
    for n in 0..120 {
        group(&client, &format!("Group {n}")).await;
    }
    let mut made = 120;
    for round in 0..6 {
        let mut change = command(&directory, &UNIQUE).stdout(std::process::Stdio::null()).spawn().unwrap();
        // This instance has cached the tenant a moment ago; the other reads it anew.
        let anew = directory.client();
        for client in [&client, &anew] {
            let path = group(client, &format!("Group {made}")).await;
            made += 1;
            assert_eq!(rename(client, &path, &format!("Renamed {made}")).await, 204, "{round}");
            let gone = group(client, &format!("Gone {made}")).await;
            assert_eq!(client.delete(&gone).await.status, 204, "{round}");
            assert_eq!(found(client, &format!("renamed {made}")).await, 1, "{round}");
        }
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        change.kill().await.unwrap();
        directory.pass(61);
        assert_eq!(found(&client, "group 5").await, 1, "{round}");
    }
    run(&directory, &UNIQUE).await.unwrap();
    assert_eq!(state(&directory).await, (json!("unique"), Value::Null));
    check(&directory).await;
}

#[tokio::test]
async fn of_concurrent_creates_during_the_change_none_is_lost_or_refused_by_the_new_rule() {
    let (directory, client) = free().await;
    for n in 0..60 {
        group(&client, &format!("Group {n}")).await;
    }
    let change = command(&directory, &UNIQUE).stdout(std::process::Stdio::null()).spawn().unwrap();
    let clients: Vec<Client> = (0..8).map(|_| directory.client()).collect();
    let answers = at_once(8, |n| {
        let body = json!({ "displayName": format!("New {}", n / 2) }).to_string();
        clients[n].request("POST", "/Groups").body(&body).send()
    })
    .await;
    // Before the stage that refuses them they are accepted, and found as duplicates.
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)), "{answers:?}");
    let ended = change.wait_with_output().await.unwrap();
    for n in 0..4 {
        let all =
            client.get(&format!("/Groups?filter={}", encoded(&format!("displayName eq \"new {n}\"")))).await;
        for group in all.body["Resources"].as_array().unwrap().iter().skip(1) {
            let path = format!("/Groups/{}", group["id"].as_str().unwrap());
            assert_eq!(client.delete(&path).await.status, 204);
        }
    }
    if !ended.status.success() {
        run(&directory, &UNIQUE).await.unwrap();
    }
    check(&directory).await;
}

#[tokio::test]
async fn an_attribute_is_looked_up_and_unique_later() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let schema = |uniqueness: &str, look_up: &[&str]| {
        json!({
            "schemas": [{ "id": "urn:example:badge", "name": "Badge", "attributes": [
                { "name": "badge", "type": "string", "multiValued": false, "uniqueness": uniqueness, "caseExact": true,
                  "mutability": "readWrite", "returned": "default", "required": false },
                { "name": "room", "type": "string", "multiValued": false, "uniqueness": "none",
                  "mutability": "readWrite", "returned": "default", "required": false }] }],
            "resourceTypes": [{ "name": "User", "schemaExtensions": [{ "schema": "urn:example:badge", "required": false }],
                "lookUp": look_up }],
        })
        .to_string()
    };
    let file = std::env::temp_dir().join(format!("{}-definitions.json", directory.table()));
    let define = async |text: String| {
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap().to_owned();
        run(&directory, &["tenant", "define", "demo", &path, "--wait", "0"]).await
    };
    define(schema("none", &[])).await.unwrap();
    directory.pass(61);
    let mut users = Vec::new();
    for n in 0..20 {
        let user = json!({ "userName": format!("u{n}"), "urn:example:badge": { "badge": format!("B{n}"), "room": "attic" } });
        users.push(client.create(&user.to_string()).await.path());
    }
    let find = async |attribute: &str, value: &str| {
        let filter = encoded(&format!("urn:example:badge:{attribute} eq \"{value}\""));
        client.get(&format!("/Users?attributes=userName&filter={filter}")).await.body["totalResults"].clone()
    };
    define(schema("none", &["urn:example:badge:room"])).await.unwrap();
    directory.pass(61);
    // Every user is found by the index, those of before as well.
    client.faults.forget();
    assert_eq!(find("room", "ATTIC").await, 20);
    assert!(
        !client.faults.requests().iter().any(|(_, request)| request.to_string().contains("BETWEEN")),
        "a scan"
    );
    define(schema("server", &["urn:example:badge:room"])).await.unwrap();
    directory.pass(61);
    let taken = client.post("/Users", r#"{"userName":"x","urn:example:badge":{"badge":"B3"}}"#).await;
    assert_eq!((taken.status, &taken.body["scimType"]), (409, &json!("uniqueness")), "{taken}");
    let put = |n: usize, badge: &str| {
        json!({ "userName": format!("u{n}"), "urn:example:badge": { "badge": badge, "room": "attic" } })
            .to_string()
    };
    assert_eq!(client.put(&users[3], &put(3, "B3")).await.status, 200);
    assert_eq!(client.put(&users[3], &put(3, "B4")).await.status, 409);
    assert_eq!(client.put(&users[3], &put(3, "C3")).await.status, 200);
    assert_eq!(client.delete(&users[4]).await.status, 204);
    assert_eq!(client.put(&users[3], &put(3, "B4")).await.status, 200);
    define(schema("none", &[])).await.unwrap();
    directory.pass(61);
    assert_eq!(client.put(&users[5], &put(5, "B4")).await.status, 200);
    assert_eq!(find("badge", "B4").await, 2);
    std::fs::remove_file(&file).unwrap();
    // The oracle does not know the definitions of this tenant, so the command checks it.
    assert_eq!(json(&directory, &["check", "demo"]).await, json!([]));
}
