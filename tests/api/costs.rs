//! The cost contract: what each operation costs in calls and capacity units,
//! and that it costs the same in a directory of any size.

use std::collections::HashMap;
use std::fmt::Write;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use insta::assert_snapshot;
use serde_json::{Map, Value, json};

use crate::client::{Client, Directory};

type Item = HashMap<String, AttributeValue>;

/// Users with a name and an e-mail, put into the table in batches past the
/// handler.
async fn fill(directory: &Directory, users: u32) {
    let mut items: Vec<Item> = Vec::new();
    let mut census: HashMap<(u32, u32), u32> = HashMap::new();
    for n in 0..users {
        // Spread over all prefixes, as random ids are.
        let id = format!("{:08x}-0000-4000-8000-{n:012x}", n.wrapping_mul(0x9E37_79B9));
        let prefix = n.wrapping_mul(0x9E37_79B9) >> 20;
        *census.entry((prefix / 64, prefix % 64)).or_default() += 1;
        items.push(item(json!({
            "pk": "demo#User", "sk": id, "version": 1, "write_id": "-", "index_digest": "-",
            "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
            "change_pk": "demo#changed#User", "hour": "2026-01-01T00",
            "resource": {
                "userName": format!("filler{n}@example.com"), "active": true,
                "name": { "familyName": "Filler", "givenName": n.to_string() },
                "emails": [{ "value": format!("filler{n}@example.com"), "type": "work", "primary": true }],
            },
        })));
        items.push(item(
            json!({ "pk": "demo#User.userName", "sk": format!("filler{n}@example.com"), "owner": id }),
        ));
        items.push(item(json!({ "pk": "demo#User.emails", "sk": format!("filler{n}@example.com#{id}") })));
    }
    let mut rows: HashMap<u32, Map<String, Value>> = HashMap::new();
    for ((row, counter), count) in census {
        let row = rows.entry(row).or_insert_with(|| {
            let Value::Object(key) = json!({ "pk": "demo#census#User", "sk": format!("{row:02x}") }) else {
                return Map::new();
            };
            key
        });
        row.insert(format!("c{counter:02x}"), count.into());
    }
    items.extend(rows.into_values().map(|row| item(Value::Object(row))));
    let dynamodb = directory.dynamodb();
    for batch in items.chunks(25) {
        let puts = batch.iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item.clone())).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        dynamodb.batch_write_item().request_items(directory.table(), puts.collect()).send().await.unwrap();
    }
}

pub(crate) fn item(value: Value) -> Item {
    serde_dynamo::to_item(value).unwrap()
}

/// One line: what was called, and the units that DynamoDB reported.
pub(crate) async fn measure(
    table: &mut String,
    client: &Client,
    name: &str,
    method: &str,
    path: &str,
    body: &Value,
) {
    client.faults.forget();
    let mut request = client.request(method, path);
    if !body.is_null() {
        request = request.body(&body.to_string());
    }
    let status = request.send().await.status;
    let units = client.faults.capacity();
    let calls = client.faults.calls().join(" ");
    writeln!(table, "{name:<34} {status} {:>4} write {:>5} read  {calls}", units.write, units.read).unwrap();
}

fn patch(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

/// The contract in a directory of this size.
async fn contract(users: u32) -> String {
    let directory = Directory::spread().await;
    fill(&directory, users).await;
    let client = directory.client();
    let mut table = String::new();
    let user = json!({
        "userName": "sarah@example.com", "externalId": "e1", "active": true,
        "name": { "familyName": "Jones", "givenName": "Sarah" },
        "emails": [{ "value": "sarah@example.com", "type": "work", "primary": true }],
    });
    let mut line = async |name: &str, method: &str, path: &str, body: &Value| {
        measure(&mut table, &client, name, method, path, body).await;
    };
    line("token, cold; then discovery", "GET", "/ServiceProviderConfig", &Value::Null).await;
    line("POST User", "POST", "/Users", &user).await;
    line("POST User, duplicate", "POST", "/Users", &user).await;
    let found = client.get("/Users?filter=userName+eq+%22sarah%40example.com%22").await;
    let path = format!("/Users/{}", found.list("id"));
    line("GET User", "GET", &path, &Value::Null).await;
    line("userName eq, miss", "GET", "/Users?filter=userName+eq+%22nobody%22", &Value::Null).await;
    line("userName eq, hit", "GET", "/Users?filter=userName+eq+%22SARAH%40example.com%22", &Value::Null)
        .await;
    line("emails.value eq, miss", "GET", "/Users?filter=emails.value+eq+%22nobody%22", &Value::Null).await;
    line(
        "emails.value eq, hit",
        "GET",
        "/Users?filter=emails.value+eq+%22sarah%40example.com%22",
        &Value::Null,
    )
    .await;
    line("externalId eq, hit", "GET", "/Users?filter=externalId+eq+%22e1%22", &Value::Null).await;
    let mut changed = user.clone();
    changed["title"] = "Engineer".into();
    line("PUT User, same keys", "PUT", &path, &changed).await;
    line("PUT User, no change", "PUT", &path, &changed).await;
    line(
        "PATCH active",
        "PATCH",
        &path,
        &patch(&json!({ "op": "replace", "path": "active", "value": false })),
    )
    .await;
    line(
        "PATCH User",
        "PATCH",
        &path,
        &patch(&json!({ "op": "replace", "path": "name.givenName", "value": "S" })),
    )
    .await;
    line(
        "PATCH that renames",
        "PATCH",
        &path,
        &patch(&json!({ "op": "replace", "path": "userName", "value": "sally" })),
    )
    .await;
    changed["userName"] = "sue".into();
    line("PUT that renames", "PUT", &path, &changed).await;
    line("DELETE User", "DELETE", &path, &Value::Null).await;
    table
}

#[tokio::test]
async fn an_operation_costs_the_same_in_a_directory_of_any_size() {
    let [small, large] = [10, 1_000].map(|users| tokio::spawn(contract(users)));
    let small = small.await.unwrap();
    assert_snapshot!(small, @"
    token, cold; then discovery        200    0 write     2 read  BatchGetItem
    POST User                          201   11 write     0 read  TransactWriteItems
    POST User, duplicate               409    0 write     0 read  TransactWriteItems
    GET User                           200    0 write   1.5 read  GetItem Query
    userName eq, miss                  200    0 write     1 read  GetItem
    userName eq, hit                   200    0 write     2 read  GetItem GetItem
    emails.value eq, miss              200    0 write     1 read  Query
    emails.value eq, hit               200    0 write     2 read  Query BatchGetItem
    externalId eq, hit                 200    0 write     2 read  Query BatchGetItem
    PUT User, same keys                200    1 write     0 read  UpdateItem
    PUT User, no change                200    0 write     0 read  UpdateItem
    PATCH active                       200    1 write     0 read  UpdateItem
    PATCH User                         200    1 write     1 read  GetItem UpdateItem
    PATCH that renames                 200    6 write     1 read  GetItem TransactWriteItems
    PUT that renames                   200    6 write     0 read  UpdateItem TransactWriteItems
    DELETE User                        204   13 write   1.5 read  GetItem TransactWriteItems Query
    ");
    assert_eq!(large.await.unwrap(), small);
}

/// A page costs what its hundred users weigh, wherever it begins.
#[tokio::test]
async fn every_page_of_a_list_costs_the_same() {
    let directory = Directory::spread().await;
    fill(&directory, 1_000).await;
    let client = directory.client();
    let mut table = String::new();
    client.get("/ServiceProviderConfig").await;
    for (name, query) in [
        ("startIndex 1", "/Users?count=100"),
        ("startIndex 501", "/Users?count=100&startIndex=501"),
        ("startIndex 901", "/Users?count=100&startIndex=901"),
        ("startIndex 1001", "/Users?count=100&startIndex=1001"),
        ("first page by cursor", "/Users?count=100&cursor"),
    ] {
        measure(&mut table, &client, name, "GET", query, &Value::Null).await;
    }
    assert_snapshot!(table, @"
    startIndex 1                       200    0 write     5 read  Query Query
    startIndex 501                     200    0 write     5 read  Query Query
    startIndex 901                     200    0 write     5 read  Query Query
    startIndex 1001                    200    0 write     1 read  Query
    first page by cursor               200    0 write     5 read  Query Query
    ");
}
