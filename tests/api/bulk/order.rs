//! The order of operations in a bulk request, and bulk requests that end early.

use std::time::Duration;

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::bulk::{delete, id, patch, post, send, statuses, user};
use crate::support::client::Client;
use crate::support::directory::Directory;

#[tokio::test]
async fn operations_on_one_resource_happen_in_their_order() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob"), user("ann")]).await;
    let [bob, ann] = [0, 1].map(|operation| format!("/Users/{}", id(&made, operation)));
    let mut operations = Vec::new();
    for n in 0..20 {
        operations.push(patch(&bob, "replace", "title", json!(n.to_string())));
        operations.push(patch(&ann, "replace", "title", json!(n.to_string())));
    }
    operations.push(delete(&ann));
    operations.push(patch(&ann, "replace", "title", json!("late")));
    // A name that becomes free can be taken, in any spelling.
    operations.push(user("ANN"));
    operations.push(user("ann"));
    let answer = send(&client, &operations).await;
    let versions: Vec<&str> = answer.body["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| operation["location"].as_str().unwrap_or_default().ends_with(&bob))
        .map(|operation| operation["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, (2..=21).map(|n| format!("W/\"{n}\"")).collect::<Vec<_>>());
    assert_eq!(statuses(&answer)[40..], ["204", "404", "201", "409"]);
    assert_eq!(client.get(&bob).await.body["title"], "19");
}

#[tokio::test]
async fn a_member_who_is_deleted_later_is_added_before() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob"), post("g", "/Groups", json!({ "displayName": "G" }))]).await;
    let (bob, group) = (id(&made, 0), format!("/Groups/{}", id(&made, 1)));
    let add = |id: &str| patch(&group, "add", "members", json!([{ "value": id }]));
    let answer = send(&client, &[add(&bob), delete(&format!("/Users/{bob}")), add(&bob)]).await;
    assert_eq!(statuses(&answer), ["204", "204", "400"], "{answer}");
    assert_eq!(client.get(&group).await.body["members"], json!([]));
}

#[tokio::test]
async fn after_so_many_errors_nothing_more_is_begun() {
    let client = Client::new().await;
    let unnamed = || json!({ "method": "POST", "path": "/Users", "data": {} });
    let operations = [user("a"), unnamed(), user("b"), unnamed(), user("c")];
    for (limit, expected) in [(1, vec!["201", "400"]), (2, vec!["409", "400"])] {
        let body = json!({ "failOnErrors": limit, "Operations": operations });
        let answer = client.post("/Bulk", &body.to_string()).await;
        assert_eq!(statuses(&answer), expected, "{answer}");
    }
    assert_eq!(client.get("/Users").await.body["totalResults"], 1);
}

#[tokio::test]
async fn what_the_time_does_not_suffice_for_is_told() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.timeout = Duration::from_millis(700);
    let client = directory.client_with(config);
    let group = client.post("/Groups", r#"{"displayName":"G"}"#).await;
    let operations: Vec<Value> =
        (0..1_000).map(|n| patch(&group.path(), "replace", "externalId", json!(n.to_string()))).collect();
    let answer = send(&client, &operations).await;
    let statuses = statuses(&answer);
    let done = statuses.iter().position(|status| *status != "204").unwrap();
    assert_eq!(statuses.len(), 1_000);
    assert!(done > 0 && statuses[done..].iter().all(|status| *status == "503"), "{statuses:?}");
    let last = &answer.body["Operations"][999];
    assert_snapshot!(last["response"]["detail"].as_str().unwrap(), @"the request took too long to begin this operation: send it again");
    assert_eq!(last["location"].as_str().unwrap(), format!("https://example.com/scim/v2{}", group.path()));
    // The interrupted operation may have been applied.
    let version = client.get(&group.path()).await;
    let version = version.header("etag").unwrap();
    assert!([done + 1, done + 2].iter().any(|n| version == format!("W/\"{n}\"")), "{version} {done}");
}
