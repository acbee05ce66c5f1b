//! The cost contract of users. An operation costs the same calls and capacity units in a directory
//! of any size.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Policy, UserGroups};
use serde_json::{Value, json};

use crate::support::cost_table::measure;
use crate::support::directory::Directory;
use crate::support::fill::fill;

fn patch(operation: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

async fn filled(users: u32) -> Directory {
    let directory = Directory::spread().await;
    fill(&directory, users).await;
    directory
}

async fn contract(directory: &Directory) -> String {
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

/// Measures pages. A page costs the size of its hundred users and of the census, wherever it
/// begins.
async fn pages(directory: &Directory, users: u32) -> String {
    let client = directory.client();
    let mut table = String::new();
    // So that the instance has read the token and the key of cursors.
    client.get("/Users?count=1&cursor").await;
    for (name, query) in [
        ("first page", "/Users?count=100".to_owned()),
        ("first page without groups", "/Users?count=100&excludedAttributes=groups".to_owned()),
        ("a page of the middle", format!("/Users?count=100&startIndex={}", users / 2 + 1)),
        ("last page", format!("/Users?count=100&startIndex={}", users - 99)),
        ("beyond the end", format!("/Users?count=100&startIndex={}", users + 1)),
        ("first page by cursor", "/Users?count=100&cursor".to_owned()),
        ("first page in another order", "/Users?count=100&sortBy=userName".to_owned()),
        ("count 0", "/Users?count=0".to_owned()),
    ] {
        measure(&mut table, &client, name, "GET", &query, &Value::Null).await;
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_costs_the_same_in_a_directory_of_any_size() {
    let large = tokio::spawn(filled(20_000));
    let (small, medium) = (filled(10).await, filled(1_000).await);
    let asked = filled(10).await;
    asked.set_policy("demo", Policy { user_groups: UserGroups::Request, ..Policy::default() }).await;
    let of_asked = contract(&asked).await;
    if !asked.client().reports_units().await {
        return;
    }
    assert_snapshot!(of_asked, @"
    token, cold; then discovery        200    0 write     2 read  BatchGetItem
    POST User                          201   11 write     0 read  TransactWriteItems
    POST User, duplicate               409    0 write     0 read  TransactWriteItems
    GET User                           200    0 write     1 read  GetItem
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
    DELETE User                        204   14 write   1.5 read  GetItem Query TransactWriteItems
    ");
    let costs = contract(&small).await;
    assert_snapshot!(costs, @"
    token, cold; then discovery        200    0 write     2 read  BatchGetItem
    POST User                          201   11 write     0 read  TransactWriteItems
    POST User, duplicate               409    0 write     0 read  TransactWriteItems
    GET User                           200    0 write   1.5 read  GetItem Query
    userName eq, miss                  200    0 write     1 read  GetItem
    userName eq, hit                   200    0 write   2.5 read  GetItem GetItem Query
    emails.value eq, miss              200    0 write     1 read  Query
    emails.value eq, hit               200    0 write   2.5 read  Query BatchGetItem Query
    externalId eq, hit                 200    0 write   2.5 read  Query BatchGetItem Query
    PUT User, same keys                200    1 write   0.5 read  UpdateItem Query
    PUT User, no change                200    0 write   0.5 read  UpdateItem Query
    PATCH active                       200    1 write   0.5 read  UpdateItem Query
    PATCH User                         200    1 write   1.5 read  GetItem UpdateItem Query
    PATCH that renames                 200    6 write   1.5 read  GetItem TransactWriteItems Query
    PUT that renames                   200    6 write   0.5 read  UpdateItem TransactWriteItems Query
    DELETE User                        204   14 write   1.5 read  GetItem Query TransactWriteItems
    ");
    assert_eq!(contract(&medium).await, costs);
    assert_snapshot!(pages(&medium, 1_000).await, @"
    first page                         200    0 write    56 read  102 x Query
    first page without groups          200    0 write     6 read  Query Query
    a page of the middle               200    0 write    56 read  102 x Query
    last page                          200    0 write    56 read  102 x Query
    beyond the end                     200    0 write   1.5 read  Query
    first page by cursor               200    0 write    56 read  102 x Query
    first page in another order        200    0 write   153 read  Query Query BatchGetItem BatchGetItem 100 x Query
    count 0                            200    0 write   1.5 read  Query
    ");
    let large = large.await.unwrap();
    assert_eq!(contract(&large).await, costs);
    // The census now has all of its counters and does not grow any more. A page that begins within
    // a counter reads the resources before it there.
    assert_snapshot!(pages(&large, 20_000).await, @"
    first page                         200    0 write  57.5 read  102 x Query
    first page without groups          200    0 write   7.5 read  Query Query
    a page of the middle               200    0 write    58 read  102 x Query
    last page                          200    0 write  57.5 read  102 x Query
    beyond the end                     200    0 write     3 read  Query
    first page by cursor               200    0 write  57.5 read  102 x Query
    first page in another order        200    0 write 154.5 read  Query Query BatchGetItem BatchGetItem 100 x Query
    count 0                            200    0 write     3 read  Query
    ");
}
