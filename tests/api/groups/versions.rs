//! The version of a group in the answer to a PATCH without a body (RFC 7644 s3.14).

use serde_json::{Value, json};

use crate::support::builders::{add, patch, remove};
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::seed::{create, users};

/// Returns PATCH bodies that take each way through the store.
fn patches(users: &[String]) -> Vec<(&'static str, String)> {
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let two = patch(&json!([{ "op": "add", "path": "members", "value": [{ "value": ids[1] }] },
        { "op": "replace", "path": "externalId", "value": "x" }]));
    vec![
        ("one member is added", add(&ids[..1])),
        ("it is added again", add(&ids[..1])),
        ("several are added", add(&ids[1..4])),
        ("a part of them again", add(&ids[..5])),
        ("none of them is new", add(&ids[..5])),
        ("so many that the change is staged", add(&ids)),
        ("one is removed", remove(ids[0])),
        ("it is removed again", remove(ids[0])),
        ("members and more", two),
        (
            "the present members decide",
            patch(&json!([{ "op": "remove", "path": "members[type eq \"User\"]" }])),
        ),
        ("the name alone", patch(&json!([{ "op": "replace", "path": "displayName", "value": "Drawing" }]))),
        ("the same name", patch(&json!([{ "op": "replace", "path": "displayName", "value": "Drawing" }]))),
    ]
}

#[tokio::test]
async fn a_patch_of_a_group_tells_its_version() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 102).await;
    for if_match in [false, true] {
        let group = create(&client, &format!("Design {if_match}"), &[]).await;
        let mut known = "W/\"1\"".to_owned();
        for (what, body) in patches(&users) {
            let body = body.replace("Drawing", &format!("Drawing {if_match}"));
            let mut request = client.request("PATCH", &group).body(&body);
            if if_match {
                request = request.if_match(&known);
            }
            let answer = request.send().await;
            assert_eq!(answer.status, 204, "{what}: {answer}");
            let read = client.get(&format!("{group}?excludedAttributes=members")).await;
            assert_eq!(answer.header("etag"), read.header("etag"), "{what}, If-Match {if_match}");
            known = read.header("etag").unwrap().to_owned();
        }
    }
    let group = create(&client, "Bulk", &[]).await;
    let operation = |(_, body): &(&str, String)| json!({ "method": "PATCH", "path": group, "data": serde_json::from_str::<Value>(body).unwrap() });
    let operations: Vec<Value> = patches(&users).iter().map(operation).collect();
    let bulk =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    let bulk = client.post("/Bulk", &bulk.to_string()).await;
    let versions: Vec<&str> = bulk.body["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| operation["version"].as_str().unwrap_or("none"))
        .collect();
    let last = client.get(&group).await;
    assert_eq!(versions.len(), 12);
    assert!(!versions.contains(&"none"), "{bulk}");
    assert_eq!(versions[11], last.header("etag").unwrap());
    check(&directory).await;
}

/// With a later version in `If-Match`, the client would undo a change that it does not know of.
#[tokio::test]
async fn a_version_is_that_of_the_own_change_or_none() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 6).await;
    for (others, expected) in [(1, Some("W/\"2\"")), (3, Some("W/\"2\"")), (4, None)] {
        let group = create(&client, &format!("Design {others}"), &[]).await;
        // The token is cached, so that the only read is that of the version.
        let pause = client.faults.pause_before("GetItem");
        let request = client.request("PATCH", &group).body(&add(&[&users[0]]));
        let slow = tokio::spawn(request.send());
        let mut pause = pause;
        pause.arrived().await;
        for user in &users[1..=others] {
            assert_eq!(other.patch(&group, &add(&[user])).await.status, 204);
        }
        pause.release();
        assert_eq!(slow.await.unwrap().header("etag"), expected, "{others}");
    }
    // The change is applied, so the answer is no error.
    let group = create(&client, "Staff", &[]).await;
    client.faults.inject_times("GetItem", 4, Fault::DropRequest);
    let answer = client.patch(&group, &add(&[&users[0]])).await;
    assert_eq!((answer.status, answer.header("etag"), client.faults.unmet()), (204, None, 0));
    check(&directory).await;
}
