//! The cost contract of groups. An operation costs the same calls and capacity units in a group of
//! any size.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::builders::{add, patch, remove};
use crate::support::client::Client;
use crate::support::cost_table::measure;
use crate::support::directory::Directory;
use crate::support::fill::{GROUP, fill_group};
use crate::support::seed::users;

/// Measures every operation of the contract in a group of this size.
async fn contract(members: usize) -> String {
    let directory = Directory::new().await;
    fill_group(&directory, members).await;
    let client = directory.client();
    let users = users(&client, 110).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let group = format!("/Groups/{GROUP}");
    let without = format!("{group}?excludedAttributes=members");
    let mut table = String::new();
    let line = async |table: &mut String, name: &str, method: &str, path: &str, body: &str| {
        // This keeps the token cached.
        client.get("/ServiceProviderConfig").await;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        measure(table, &client, name, method, path, &body).await;
    };
    let three: Vec<Value> = users[..3].iter().map(|id| json!({ "value": id })).collect();
    let new = json!({ "displayName": "New", "externalId": "e", "members": three }).to_string();
    line(&mut table, "POST Group with 3 members", "POST", "/Groups", &new).await;
    line(&mut table, "POST Group, duplicate", "POST", "/Groups", &new).await;
    line(&mut table, "GET Group without members", "GET", &without, "").await;
    line(
        &mut table,
        "displayName eq, hit",
        "GET",
        "/Groups?filter=displayName+eq+%22ALL%22&excludedAttributes=members",
        "",
    )
    .await;
    line(&mut table, "PATCH add one", "PATCH", &group, &add(&ids[..1])).await;
    line(&mut table, "PATCH add one again", "PATCH", &group, &add(&ids[..1])).await;
    line(&mut table, "PATCH add nobody known", "PATCH", &group, &add(&[GROUP])).await;
    line(&mut table, "PATCH remove one", "PATCH", &group, &remove(ids[0])).await;
    line(&mut table, "PATCH remove one again", "PATCH", &group, &remove(ids[0])).await;
    line(&mut table, "PATCH add 10", "PATCH", &group, &add(&ids[..10])).await;
    line(&mut table, "PATCH add 100, staged", "PATCH", &group, &add(&ids[10..110])).await;
    let rename = patch(&json!([{ "op": "replace", "path": "displayName", "value": "Everybody" }]));
    line(&mut table, "PATCH displayName", "PATCH", &group, &rename).await;
    line(&mut table, "GET User in 2 groups", "GET", &format!("/Users/{}", ids[1]), "").await;
    line(&mut table, "DELETE User in 2 groups", "DELETE", &format!("/Users/{}", ids[1]), "").await;
    line(&mut table, "DELETE Group", "DELETE", &group, "").await;
    table
}

#[tokio::test]
async fn an_operation_costs_the_same_in_a_group_of_any_size() {
    let [one, many, most] = [1, 1_000, 20_000].map(|members| tokio::spawn(contract(members)));
    let one = one.await.unwrap();
    if !Client::new().await.reports_units().await {
        return;
    }
    assert_snapshot!(one, @"
    POST Group with 3 members          201   24 write     0 read  TransactWriteItems
    POST Group, duplicate              409    0 write     0 read  TransactWriteItems
    GET Group without members          200    0 write     1 read  GetItem
    displayName eq, hit                200    0 write     2 read  GetItem GetItem
    PATCH add one                      204    7 write     1 read  TransactWriteItems GetItem
    PATCH add one again                204    0 write     1 read  TransactWriteItems GetItem
    PATCH add nobody known             400    0 write     4 read  TransactWriteItems GetItem BatchGetItem BatchGetItem BatchGetItem
    PATCH remove one                   204    5 write     1 read  TransactWriteItems GetItem
    PATCH remove one again             204    0 write     1 read  TransactWriteItems GetItem
    PATCH add 10                       204   32 write    12 read  GetItem BatchGetItem TransactWriteItems GetItem
    PATCH add 100, staged              204  207 write   102 read  GetItem BatchGetItem UpdateItem UpdateItem BatchExecuteStatement BatchExecuteStatement BatchExecuteStatement BatchExecuteStatement TransactWriteItems DeleteItem GetItem
    PATCH displayName                  204    6 write     1 read  GetItem TransactWriteItems
    GET User in 2 groups               200    0 write   3.5 read  GetItem Query BatchGetItem
    DELETE User in 2 groups            204   22 write   1.5 read  GetItem Query BatchExecuteStatement TransactWriteItems TransactWriteItems TransactWriteItems
    DELETE Group                       204   10 write   1.5 read  GetItem Query TransactWriteItems
    ");
    assert_eq!(many.await.unwrap(), one);
    assert_eq!(most.await.unwrap(), one);
}
