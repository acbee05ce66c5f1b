//! Deletions whose jobs are still to be done: what they cost the readers of groups, and how the
//! sweep does many of them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::support::answer::members;
use crate::support::builders::add;
use crate::support::client::Client;
use crate::support::consistency::{check, count};
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::fill::populate;
use crate::support::seed::create;

/// Returns the halves of read units, and the calls, of a request.
async fn cost(client: &Client, path: &str) -> (u64, Vec<String>) {
    client.faults.forget();
    assert_eq!(client.get(path).await.status, 200);
    let halves = format!("{:.0}", client.faults.capacity().read * 2.0);
    (halves.parse().unwrap(), client.faults.calls())
}

#[tokio::test]
async fn a_group_costs_the_same_however_many_deletions_are_in_progress() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = populate(&directory, 400).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let (stay, go) = ids.split_at(60);
    let one = create(&client, "One", &stay[..1]).await;
    let many = create(&client, "Many", stay).await;
    for n in 0..18 {
        create(&client, &format!("Group {n}"), &stay[n..=n]).await;
    }
    // A group that has just grown asks for the deletion of each member, up to twenty.
    let just_grown = cost(&client, &one).await;
    directory.pass(601);
    // The token is read again.
    client.get(&one).await;
    let paths = [one.as_str(), &many, "/Groups?count=20"];
    let mut before = Vec::new();
    for path in paths {
        before.push(cost(&client, path).await);
    }
    assert!(just_grown.0 == before[0].0 + 2 || !client.faults.reports_read_units(), "{just_grown:?}");
    for user in go {
        assert_eq!(client.delete(&format!("/Users/{user}")).await.status, 204);
    }
    assert_eq!(count(&directory, "demo#job").await, go.len());
    for (path, before) in paths.iter().zip(&before) {
        assert_eq!(cost(&client, path).await, *before, "{path}");
    }
    let fresh = create(&client, "Fresh", &stay[..1]).await;
    assert_eq!(cost(&client, &fresh).await.0, just_grown.0);
    check(&directory).await;
}

#[tokio::test]
async fn a_member_whose_deletion_died_costs_one_read_more_until_the_sweep() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = populate(&directory, 40).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let crew = create(&client, "Crew", &ids).await;
    directory.pass(601);
    client.get(&crew).await;
    let before = cost(&client, &crew).await;
    let dying = directory.client();
    dying.faults.on_nth_call(6, Fault::Die);
    assert_eq!(dying.delete(&format!("/Users/{}", ids[0])).await.status, 204);
    let after = cost(&client, &crew).await;
    assert_eq!(after.1.len(), before.1.len() + 1);
    assert!(after.0 == before.0 + 2 || !client.faults.reports_read_units(), "{after:?}");
    assert_eq!(members(&client.get(&crew).await), ids[1..]);
    directory.pass(160);
    client.sweep().await;
    client.get(&crew).await;
    assert_eq!(cost(&client, &crew).await, before);
    check(&directory).await;
}

#[tokio::test]
async fn deleted_members_leave_a_group_together() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = populate(&directory, 120).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let (all, few) = (create(&client, "All", &ids).await, create(&client, "Few", &ids[..10]).await);
    for user in &ids[..110] {
        let dying = directory.client();
        dying.faults.on_nth_call(6, Fault::Die);
        assert_eq!(dying.delete(&format!("/Users/{user}")).await.status, 204);
    }
    assert_eq!(members(&client.get(&all).await), ids[110..]);
    directory.pass(160);
    client.faults.forget();
    let swept = client.sweep().await;
    // The job of the group that was created with many members is done with that request.
    assert_eq!(swept, json!({ "tenants": 1, "done": 110, "left": 0, "errors": 0, "complete": true }));
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for call in client.faults.calls() {
        *calls.entry(call).or_default() += 1;
    }
    // 49 of a group by one transaction, and the jobs end 25 at once.
    assert_eq!((calls["TransactWriteItems"], calls["BatchExecuteStatement"]), (3 + 1, 5), "{calls:?}");
    assert_eq!(members(&client.get(&all).await), ids[110..]);
    assert_eq!(members(&client.get(&few).await), Vec::<String>::new());
    assert_eq!(count(&directory, "demo#job").await, 0);
    check(&directory).await;
}

#[tokio::test]
async fn a_job_leaves_alone_who_exists_again() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = populate(&directory, 3).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let crew = create(&client, "Crew", &ids[..2]).await;
    let dying = directory.client();
    dying.faults.on_nth_call(6, Fault::Die);
    assert_eq!(dying.delete(&format!("/Users/{}", ids[0])).await.status, 204);
    // The sweep has read the job; before it acts, another one ends the job and the user is brought
    // back.
    directory.pass(160);
    let mut pause = client.faults.pause_before("TransactWriteItems");
    let (sweeper, restored) = (client.sweep(), async {
        pause.arrived().await;
        let item = json!({
            "pk": "demo#User", "sk": ids[0], "version": 1, "write_id": "-", "index_digest": "-",
            "created": "2026-01-31T09:00:00Z", "modified": "2026-01-31T09:00:00Z",
            "change_pk": "demo#changed#User#0", "hour": "2026-01-31T09", "resource": { "userName": "x" },
        });
        let Ok(item) = serde_dynamo::to_item::<Value, std::collections::HashMap<_, _>>(item) else { return };
        directory
            .dynamodb()
            .put_item()
            .table_name(directory.table())
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
        let delete = directory.dynamodb().delete_item().table_name(directory.table());
        let delete = delete.key("pk", AttributeValue::S("demo#job".to_owned()));
        delete.key("sk", AttributeValue::S(format!("left#{}", ids[0]))).send().await.unwrap();
        pause.release();
    });
    tokio::join!(sweeper, restored);
    assert_eq!(members(&client.get(&crew).await), ids[..2]);
    // Adding him again is a no-op.
    assert_eq!(client.patch(&crew, &add(&ids[..1])).await.status, 204);
    assert_eq!(members(&client.get(&crew).await), ids[..2]);
}
