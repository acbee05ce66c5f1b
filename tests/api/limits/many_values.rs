//! Users with more roles and entitlements than have rows of their own: 32, or what the other
//! indexed values leave of 96.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::consistency::{check, count};
use crate::support::cost_table::measure;
use crate::support::directory::Directory;
use crate::support::fill::put;

/// Returns elements with the values `<name><first>`, `<name><first + 1>` and so on.
fn values(name: &str, first: usize, count: usize) -> Vec<Value> {
    (first..first + count).map(|n| json!({ "value": format!("{name}{n}") })).collect()
}

/// Returns a user with so many roles and entitlements.
fn user(roles: usize, entitlements: usize) -> String {
    let user = json!({
        "userName": "bo", "emails": [{ "value": "bo@example.com" }],
        "roles": values("Role", 0, roles), "entitlements": values("seat", 0, entitlements),
    });
    user.to_string()
}

async fn found(client: &Client, attribute: &str, value: &str) -> String {
    client.find(&format!("{attribute} eq {}", json!(value))).await.list("userName")
}

/// RFC 7644 s3.5.1: a PUT replaces all values, however many.
#[tokio::test]
async fn a_user_goes_from_any_number_of_roles_to_any_other_and_is_found() {
    let directory = Directory::new().await;
    let client = directory.client();
    let few = r#"{"userName":"few","roles":[{"value":"role0"}],"entitlements":[{"value":"Seat0"}]}"#;
    client.create(few).await;
    let path = client.post("/Users", &user(1_000, 0)).await.path();
    for (roles, entitlements, rows, many) in [
        (1_000, 1_000, 0, 2),
        (32, 0, 32, 0),
        (33, 0, 0, 1),
        (16, 16, 32, 0),
        (16, 17, 16, 1),
        (0, 33, 0, 1),
        (40, 31, 31, 1),
        (40, 32, 0, 2),
        (0, 0, 0, 0),
        (97, 97, 0, 2),
        (32, 1, 32, 1),
        (1, 31, 32, 0),
    ] {
        let answer = client.put(&path, &user(roles, entitlements)).await;
        assert_eq!(answer.status, 200, "{roles} {entitlements}: {answer}");
        check(&directory).await;
        // One each is of the other user.
        let value_rows =
            count(&directory, "demo#User.roles").await + count(&directory, "demo#User.entitlements").await;
        let many_rows =
            count(&directory, "demo#User.roles#").await + count(&directory, "demo#User.entitlements#").await;
        assert_eq!((value_rows - many_rows - 2, many_rows), (rows, many), "{roles} {entitlements}");
        for (attribute, name, count) in [("roles", "ROLE", roles), ("entitlements", "sEAT", entitlements)] {
            let expected = if count > 0 { ["bo few", "few bo"] } else { ["few", "few"] };
            let all = found(&client, attribute, &format!("{name}0")).await;
            assert!(expected.contains(&all.as_str()), "{roles} {entitlements} {attribute}: {all}");
            if count > 1 {
                let last = format!("{name}{}", count - 1);
                for attribute in [attribute.to_owned(), format!("{attribute}.value")] {
                    assert_eq!(found(&client, &attribute, &last).await, "bo", "{roles} {entitlements}");
                }
                let element = client.find(&format!("{attribute}[value eq {}]", json!(last))).await;
                assert_eq!(element.list("userName"), "bo");
            }
            assert_eq!(found(&client, attribute, &format!("{name}x")).await, "", "{attribute} {count}");
        }
        assert_eq!(found(&client, "emails.value", "bo@example.com").await, "bo");
    }
    assert_eq!(client.put(&path, &user(97, 0).replace("\"bo\"", "\"jo\"")).await.status, 200);
    assert_eq!(found(&client, "roles", "role96").await, "jo");
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(found(&client, "roles", "role96").await, "");
    check(&directory).await;
}

#[tokio::test]
async fn the_rows_of_emails_come_first() {
    let directory = Directory::new().await;
    let client = directory.client();
    let emails: Vec<Value> = (0..94).map(|n| json!({ "value": format!("{n}@example.com") })).collect();
    let user = |emails: &[Value], roles: usize| {
        json!({ "userName": "bo", "emails": emails, "roles": values("r", 0, roles) }).to_string()
    };
    let path = client.post("/Users", &user(&emails, 1)).await.path();
    check(&directory).await;
    for (roles, many) in [(2, 1), (1_000, 1), (1, 0)] {
        let answer = client.put(&path, &user(&emails, roles)).await;
        assert_eq!(answer.status, 200, "{roles}: {answer}");
        assert_eq!(count(&directory, "demo#User.roles#").await, many, "{roles}");
        assert_eq!(found(&client, "roles", &format!("r{}", roles - 1)).await, "bo");
        check(&directory).await;
    }
    let one_more: Vec<Value> = emails.iter().cloned().chain([json!({ "value": "one@more" })]).collect();
    assert_snapshot!(client.put(&path, &user(&one_more, 1_000)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the resource has 97 indexed values, the limit is 96: remove some emails"}"#);
}

/// More users than a look-up reads are found by reading all, as far as that goes.
#[tokio::test]
async fn a_look_up_among_too_many_such_users_reads_all_users() {
    let directory = Directory::new().await;
    let client = directory.client();
    client.create(&user(33, 0)).await;
    let rows = (0..1_000).map(
        |n| json!({ "pk": "demo#User.roles#many", "sk": format!("0000{n:04}-0000-4000-9000-000000000000") }),
    );
    put(&directory, rows.collect()).await;
    assert_eq!(found(&client, "roles", "role32").await, "bo");
    assert!(client.faults.requests().iter().any(|(_, body)| body.to_string().contains("BETWEEN")));
}

#[tokio::test]
async fn roles_cost_rows_up_to_32_and_then_one() {
    let directory = Directory::new().await;
    let client = directory.client();
    client.get("/ServiceProviderConfig").await;
    let mut table = String::new();
    let roles = |first: usize, count: usize| json!({ "userName": "bo", "active": true, "roles": values("r", first, count) });
    let add = |role: &str| json!({ "Operations": [{ "op": "add", "path": "roles", "value": [{ "value": role }] }] });
    let mut line = async |name: &str, method: &str, path: &str, body: &Value| {
        measure(&mut table, &client, name, method, path, body).await;
    };
    line("POST, 1 role", "POST", "/Users", &roles(0, 1)).await;
    let id = client.find("userName eq \"bo\"").await.list("id");
    let path = format!("/Users/{id}");
    line("PATCH, 1 more", "PATCH", &path, &add("x")).await;
    line("roles eq, miss", "GET", "/Users?filter=roles+eq+%22none%22", &Value::Null).await;
    line("roles eq, match", "GET", "/Users?filter=roles+eq+%22x%22", &Value::Null).await;
    line("PUT, 32 roles", "PUT", &path, &roles(0, 32)).await;
    line("PUT, 32 others", "PUT", &path, &roles(32, 32)).await;
    line("PUT, 90 roles", "PUT", &path, &roles(0, 90)).await;
    line("PUT, 90 others", "PUT", &path, &roles(90, 90)).await;
    line("PATCH, 1 more", "PATCH", &path, &add("y")).await;
    line("roles eq, miss", "GET", "/Users?filter=roles+eq+%22none%22", &Value::Null).await;
    line("roles eq, match", "GET", "/Users?filter=roles+eq+%22y%22", &Value::Null).await;
    line("PUT, 1 role", "PUT", &path, &roles(0, 1)).await;
    line("DELETE", "DELETE", &path, &Value::Null).await;
    line("POST, 1000 roles", "POST", "/Users", &roles(0, 1_000)).await;
    assert_snapshot!(table, @"
    POST, 1 role                       201    9 write     0 read  TransactWriteItems
    PATCH, 1 more                      200    4 write   1.5 read  GetItem TransactWriteItems Query
    roles eq, miss                     200    0 write     2 read  Query Query
    roles eq, match                    200    0 write   3.5 read  Query Query BatchGetItem Query
    PUT, 32 roles                      200   66 write   0.5 read  UpdateItem TransactWriteItems Query
    PUT, 32 others                     200  130 write   0.5 read  UpdateItem TransactWriteItems Query
    PUT, 90 roles                      200   70 write   0.5 read  UpdateItem TransactWriteItems Query
    PUT, 90 others                     200    2 write   0.5 read  UpdateItem Query
    PATCH, 1 more                      200    2 write   1.5 read  GetItem UpdateItem Query
    roles eq, miss                     200    0 write     3 read  Query Query BatchGetItem
    roles eq, match                    200    0 write   3.5 read  Query Query BatchGetItem Query
    PUT, 1 role                        200    8 write   0.5 read  UpdateItem TransactWriteItems Query
    DELETE                             204   12 write   1.5 read  GetItem Query TransactWriteItems
    POST, 1000 roles                   201   35 write     0 read  TransactWriteItems
    ");
}
