//! Deletions and the sweep that cleans up after them. A deleted resource is gone everywhere once
//! its deletion is answered, wherever the process dies, and an interrupted sweep is resumed.

use serde_json::{Value, json};

use crate::support::answer::members;
use crate::support::builders::{add, encoded};
use crate::support::client::Client;
use crate::support::consistency::{check, check_at, count};
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::fill::{GROUP, fill_group, populate};
use crate::support::seed::{create, id};

/// The call with which a deletion begins to leave groups, after those for the token, the user,
/// its memberships, their marks, and the deletion.
const LEAVING: usize = 6;

/// More groups than a deletion leaves at once.
const GROUPS: usize = 20;

/// Creates groups that all have this one member.
async fn groups(client: &Client, member: &str) -> Vec<String> {
    let mut groups = Vec::new();
    for n in 0..GROUPS {
        groups.push(create(client, &format!("Group {n}"), &[member]).await);
    }
    groups
}

async fn user_in(client: &Client, groups: &[String]) -> String {
    let user = client.post("/Users", r#"{"userName":"sarah"}"#).await;
    let operations: Vec<Value> = groups
        .iter()
        .map(|group| {
            json!({ "method": "PATCH", "path": group, "data": serde_json::from_str::<Value>(&add(&[user.id()])).unwrap() })
        })
        .collect();
    let added = client.post("/Bulk", &json!({ "Operations": operations }).to_string()).await;
    let statuses = added.body["Operations"].as_array().unwrap().iter().map(|operation| &operation["status"]);
    assert!(statuses.into_iter().all(|status| status == "204"), "{added}");
    user.path()
}

async fn is_gone(client: &Client, user: &str, groups: &[String], others: &[String]) {
    assert_eq!(client.get(user).await.status, 404);
    for group in groups {
        assert_eq!(members(&client.get(group).await), others, "{group}");
    }
    let user = id(user);
    for filter in [
        format!("members.value eq \"{user}\""),
        format!("members[value eq \"{user}\"]"),
        format!("id eq \"{}\" and members eq \"{user}\"", id(&groups[0])),
    ] {
        let filter = encoded(&filter);
        let found = client.get(&format!("/Groups?excludedAttributes=members&filter={filter}")).await;
        assert_eq!(found.body["totalResults"], 0, "{filter}: {found}");
    }
}

/// Sweeps until nothing is left, and returns the number of sweeps.
async fn sweep_up(client: &Client) -> usize {
    for sweeps in 1..100 {
        if client.sweep().await["left"] == 0 {
            return sweeps;
        }
    }
    panic!("the sweep does not come to an end");
}

#[tokio::test]
async fn a_user_of_many_groups_whose_deletion_dies_at_any_call_is_gone_from_all() {
    let directory = Directory::spread().await;
    let survivor = directory.client();
    let mona = populate(&directory, 1).await;
    let groups = groups(&survivor, &mona[0]).await;
    let (mut n, mut undisturbed) = (1, false);
    while !undisturbed {
        let user = user_in(&survivor, &groups).await;
        let client = directory.client();
        client.faults.on_nth_call(n, Fault::Die);
        let deleted = client.delete(&user).await;
        undisturbed = client.faults.unmet() > 0;
        assert_eq!(deleted.status == 204, n > 5, "{n}: {deleted}");
        if deleted.status == 204 {
            is_gone(&survivor, &user, &groups, &mona).await;
        }
        check(&directory).await;
        let again = survivor.delete(&user).await;
        assert!([204, 404].contains(&again.status), "{n}: {again}");
        is_gone(&survivor, &user, &groups, &mona).await;
        // The next user joins the same groups before the last has left them all.
        n += if n < 6 { 1 } else { 4 };
    }
    assert!(n > 3 + GROUPS, "{n}");
    directory.pass(160);
    assert_eq!(sweep_up(&survivor).await, 1);
    check(&directory).await;
    assert_eq!(count(&directory, "demo#job").await, 0);
    assert_eq!(count(&directory, "demo#Group#").await, GROUPS);
}

#[tokio::test]
async fn a_user_who_is_added_elsewhere_while_he_is_deleted_is_in_no_group() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let mona = populate(&directory, 1).await;
    let groups = groups(&client, &mona[0]).await;
    for n in 0..5 {
        let user = user_in(&client, &groups[1..]).await;
        let adding = add(&[id(&user)]);
        let (deleted, added) = tokio::join!(client.delete(&user), other.patch(&groups[0], &adding));
        assert_eq!(deleted.status, 204, "{n}: {deleted}");
        assert!([204, 400].contains(&added.status), "{n}: {added}");
        is_gone(&other, &user, &groups, &mona).await;
    }
    directory.pass(160);
    sweep_up(&client).await;
    check(&directory).await;
}

#[tokio::test]
async fn a_sweep_that_dies_at_any_call_is_taken_up_by_the_next() {
    let directory = Directory::spread().await;
    let survivor = directory.client();
    let mona = populate(&directory, 1).await;
    let groups = groups(&survivor, &mona[0]).await;
    let (mut n, mut undisturbed) = (1, false);
    while !undisturbed {
        let user = user_in(&survivor, &groups).await;
        let client = directory.client();
        client.faults.on_nth_call(LEAVING, Fault::Die);
        assert_eq!(client.delete(&user).await.status, 204);
        directory.pass(160);
        let client = directory.client();
        client.faults.on_nth_call(n, Fault::Die);
        client.sweep().await;
        undisturbed = client.faults.unmet() > 0;
        is_gone(&survivor, &user, &groups, &mona).await;
        check_at(&directory, directory.now()).await;
        assert_eq!(sweep_up(&survivor).await, 1, "{n}");
        assert_eq!(count(&directory, "demo#job").await, 0, "{n}");
        n += if n < 6 { 1 } else { 4 };
    }
    assert!(n > GROUPS, "{n}");
    check(&directory).await;
}

#[tokio::test]
async fn sweeps_at_the_same_time_do_no_harm_to_each_other() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = populate(&directory, 101).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let crew = create(&client, "Crew", &ids[..1]).await;
    let groups = groups(&client, &users[0]).await;
    for round in 0..3 {
        let user = user_in(&client, &groups).await;
        let dying = directory.client();
        dying.faults.on_nth_call(LEAVING, Fault::Die);
        assert_eq!(dying.delete(&user).await.status, 204);
        let dying = directory.client();
        dying.faults.inject("TransactWriteItems", Fault::Die);
        dying.patch(&crew, &add(&ids)).await;
        directory.pass(160);
        let sweepers = [(); 3].map(|()| directory.client());
        let swept = tokio::join!(sweepers[0].sweep(), sweepers[1].sweep(), sweepers[2].sweep());
        let done: u64 =
            [&swept.0, &swept.1, &swept.2].iter().map(|swept| swept["done"].as_u64().unwrap()).sum();
        assert!(done >= 2, "{round}: {swept:?}");
        sweep_up(&client).await;
        check(&directory).await;
        is_gone(&client, &user, &groups, &users[..1]).await;
        assert_eq!(members(&client.get(&crew).await), users[..1], "{round}");
        assert_eq!(count(&directory, "demo#job").await, 0, "{round}");
    }
}

#[tokio::test]
async fn a_group_of_thousands_is_gone_at_once_and_swept_up_in_pieces() {
    const MEMBERS: usize = 3_000;
    let directory = Directory::spread().await;
    fill_group(&directory, MEMBERS).await;
    let client = directory.client();
    let (all, small) = (format!("/Groups/{GROUP}"), create(&client, "Small", &[]).await);
    let mona = client.post("/Users", r#"{"userName":"mona"}"#).await;
    let parent = create(&client, "Parent", &[GROUP]).await;
    assert_eq!(client.patch(&all, &add(&[mona.id()])).await.status, 204);
    assert_eq!(members(&client.get(&parent).await), [GROUP]);

    let mut calls = Vec::new();
    for group in [&small, &all] {
        client.faults.forget();
        assert_eq!(client.delete(group).await.status, 204);
        calls.push(client.faults.calls());
    }
    // The membership in the parent is marked, and then removed.
    assert_eq!(calls[0], ["GetItem", "Query", "TransactWriteItems"]);
    let both = ["GetItem", "Query", "BatchExecuteStatement", "TransactWriteItems", "TransactWriteItems"];
    assert_eq!(calls[1], both);
    assert_eq!(client.get(&all).await.status, 404);
    assert_eq!(client.get(&mona.path()).await.body["groups"], Value::Null);
    assert_eq!(members(&client.get(&parent).await), Vec::<String>::new());
    let found = client.get(&format!("/Groups?filter=members.value+eq+%22{}%22", mona.id())).await;
    assert_eq!(found.body["totalResults"], 0);
    check_at(&directory, directory.now()).await;

    // Each of these sweeps dies after some of the rows.
    directory.pass(160);
    let mut left = count(&directory, &format!("demo#Group#{GROUP}")).await;
    assert_eq!(left, MEMBERS + 1);
    for call in [14, 18, 22] {
        let dying = directory.client();
        dying.faults.on_nth_call(call, Fault::Die);
        assert_ne!(dying.sweep().await["left"], 0);
        let now = count(&directory, &format!("demo#Group#{GROUP}")).await;
        assert!(0 < now && now < left, "{call}: {now} of {left}");
        left = now;
    }
    assert_eq!(sweep_up(&client).await, 1);
    assert_eq!(count(&directory, &format!("demo#Group#{GROUP}")).await, 0);
    assert_eq!(count(&directory, "demo#job").await, 0);
}

#[tokio::test]
async fn a_group_between_groups_whose_deletion_dies_at_any_call_is_gone_from_both() {
    let directory = Directory::spread().await;
    let survivor = directory.client();
    let mona = populate(&directory, 1).await;
    let child = create(&survivor, "Child", &[&mona[0]]).await;
    let parent = create(&survivor, "Parent", &[id(&child)]).await;
    let (mut n, mut undisturbed) = (1, false);
    while !undisturbed {
        let between = create(&survivor, "Between", &[id(&child), &mona[0]]).await;
        assert_eq!(survivor.patch(&parent, &add(&[id(&between)])).await.status, 204);
        let client = directory.client();
        client.faults.on_nth_call(n, Fault::Die);
        let deleted = client.delete(&between).await;
        undisturbed = client.faults.unmet() > 0;
        assert_eq!(deleted.status == 204, n > 5, "{n}: {deleted}");
        let again = survivor.delete(&between).await;
        assert!([204, 404].contains(&again.status), "{n}: {again}");
        assert_eq!(members(&survivor.get(&parent).await), [id(&child)], "{n}");
        let groups = &survivor.get(&format!("/Users/{}", mona[0])).await.body["groups"];
        assert_eq!(groups.as_array().unwrap().len(), 1, "{n}: {groups}");
        check(&directory).await;
        n += 1;
    }
    directory.pass(160);
    sweep_up(&survivor).await;
    check(&directory).await;
    assert_eq!(count(&directory, "demo#Group#").await, 2);
}

#[tokio::test]
async fn whoever_is_made_again_has_none_of_what_was() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let mona = populate(&directory, 1).await;
    let crew = create(&client, "Crew", &[&mona[0]]).await;
    let user = user_in(&client, std::slice::from_ref(&crew)).await;
    assert_eq!(client.delete(&user).await.status, 204);
    let again = user_in(&client, &[]).await;
    assert_eq!(client.get(&again).await.body["groups"], Value::Null);
    assert_eq!(members(&client.get(&crew).await), mona);
    assert_eq!(client.delete(&crew).await.status, 204);
    let crew = create(&client, "Crew", &[]).await;
    assert_eq!(members(&client.get(&crew).await), Vec::<String>::new());
    assert_eq!(client.get(&format!("/Users/{}", mona[0])).await.body["groups"], Value::Null);
    directory.pass(160);
    sweep_up(&client).await;
    check(&directory).await;
}
