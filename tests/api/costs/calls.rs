//! The cost contract in calls: each request, and the calls to DynamoDB that it makes.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::cost_table::listed;
use crate::support::directory::Directory;

/// Each line is a request, its status, and its calls. Where users are shown, one `Query` of each
/// asks for its groups.
#[tokio::test]
async fn requests_make_these_calls() {
    const BO: &str =
        r#"{"userName":"bo","externalId":"1","active":true,"emails":[{"value":"bo@example.com"}]}"#;
    const NOBODY: &str = "/Users/00000000-0000-4000-8000-000000000000";
    let change = |op: &str, path: &str, value: Value| {
        json!({ "Operations": [{ "op": op, "path": path, "value": value }] }).to_string()
    };
    let client = Directory::spread().await.client();
    for n in 0..10 {
        let user = json!({ "userName": format!("user{n}") }).to_string();
        assert_eq!(client.post("/Users", &user).await.status, 201);
    }
    let mut table = String::new();
    let mut user = String::new();
    for (what, method, path, body) in [
        ("create", "POST", "/Users", BO.to_owned()),
        ("create a duplicate", "POST", "/Users", BO.to_owned()),
        ("create nobody", "POST", "/Users", "{}".to_owned()),
        ("get", "GET", "{user}", String::new()),
        ("get nobody", "GET", NOBODY, String::new()),
        ("get by what is no id", "GET", "/Users/nobody", String::new()),
        ("userName eq, hit", "GET", "/Users?filter=userName+eq+%22bo%22", String::new()),
        ("userName eq, miss", "GET", "/Users?filter=userName+eq+%22no%22", String::new()),
        ("externalId eq, hit", "GET", "/Users?filter=externalId+eq+%221%22", String::new()),
        ("externalId eq, miss", "GET", "/Users?filter=externalId+eq+%222%22", String::new()),
        ("emails.value eq, hit", "GET", "/Users?filter=emails.value+eq+%22bo@example.com%22", String::new()),
        ("emails.value eq, miss", "GET", "/Users?filter=emails.value+eq+%22no%22", String::new()),
        ("put, same keys", "PUT", "{user}", BO.replacen('{', r#"{"title":"y","#, 1)),
        ("patch active", "PATCH", "{user}", change("replace", "active", json!(false))),
        ("patch title", "PATCH", "{user}", change("replace", "title", json!("z"))),
        ("patch a name", "PATCH", "{user}", change("replace", "name.givenName", json!("Bo"))),
        ("patch an e-mail", "PATCH", "{user}", change("add", "emails", json!([{ "value": "x" }]))),
        ("patch nothing", "PATCH", "{user}", change("add", "title", json!("z"))),
        ("rename by put", "PUT", "{user}", r#"{"userName":"bobby","active":true}"#.to_owned()),
        ("put what is there", "PUT", "{user}", r#"{"userName":"bobby","active":true}"#.to_owned()),
        ("rename by patch", "PATCH", "{user}", change("replace", "userName", json!("robert"))),
        ("rename to a taken name", "PATCH", "{user}", change("replace", "userName", json!("user1"))),
        ("put nobody", "PUT", NOBODY, BO.to_owned()),
        ("patch active of nobody", "PATCH", NOBODY, change("replace", "active", json!(false))),
        ("delete nobody", "DELETE", NOBODY, String::new()),
        ("list, first page", "GET", "/Users?count=5", String::new()),
        ("list, a later page", "GET", "/Users?startIndex=6&count=5", String::new()),
        ("list, count 0", "GET", "/Users?count=0", String::new()),
        ("list, beyond the end", "GET", "/Users?startIndex=100", String::new()),
        ("delete", "DELETE", "{user}", String::new()),
        ("delete again", "DELETE", "{user}", String::new()),
        ("schemas", "GET", "/Schemas", String::new()),
        ("no such route", "GET", "/Widgets", String::new()),
    ] {
        client.faults.forget();
        let path = path.replace("{user}", &user);
        let answer = client.request(method, &path).body(&body).send().await;
        if what == "create" {
            user = answer.path();
        }
        let calls = listed(method, client.faults.calls());
        let calls = if calls.is_empty() { "-".to_owned() } else { calls };
        writeln!(table, "{what}: {} {calls}", answer.status).unwrap();
    }
    assert_snapshot!(table, @"
    create: 201 TransactWriteItems
    create a duplicate: 409 TransactWriteItems
    create nobody: 400 -
    get: 200 GetItem Query
    get nobody: 404 GetItem Query BatchGetItem
    get by what is no id: 404 -
    userName eq, hit: 200 GetItem GetItem Query
    userName eq, miss: 200 GetItem
    externalId eq, hit: 200 Query BatchGetItem Query
    externalId eq, miss: 200 Query
    emails.value eq, hit: 200 Query BatchGetItem Query
    emails.value eq, miss: 200 Query
    put, same keys: 200 UpdateItem Query
    patch active: 200 UpdateItem Query
    patch title: 200 UpdateItem Query
    patch a name: 200 GetItem UpdateItem Query
    patch an e-mail: 200 GetItem TransactWriteItems Query
    patch nothing: 200 UpdateItem Query
    rename by put: 200 UpdateItem TransactWriteItems Query
    put what is there: 200 UpdateItem Query
    rename by patch: 200 GetItem TransactWriteItems Query
    rename to a taken name: 409 GetItem TransactWriteItems Query
    put nobody: 404 UpdateItem BatchGetItem Query
    patch active of nobody: 404 UpdateItem BatchGetItem Query
    delete nobody: 404 GetItem BatchGetItem
    list, first page: 200 Query Query Query Query Query Query Query
    list, a later page: 200 Query Query Query Query Query Query Query
    list, count 0: 200 Query
    list, beyond the end: 200 Query
    delete: 204 GetItem Query TransactWriteItems
    delete again: 404 GetItem BatchGetItem
    schemas: 200 -
    no such route: 404 -
    ");
}
