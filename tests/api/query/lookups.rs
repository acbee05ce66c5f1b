//! Lists of users: filters that are looked up, pages by index, and what they cost.

use std::collections::BTreeSet;
use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;

/// Anna, Bert and Cleo.
async fn add_three(client: &Client) -> [String; 3] {
    let mut ids = Vec::new();
    for user in [
        json!({
            "userName": "Anna@Example.com", "externalId": "A-1", "active": true, "title": "Guide",
            "emails": [{ "value": "Anna@Example.com", "type": "work" }, { "value": "home@example.net", "type": "home" }],
        }),
        json!({
            "userName": "bert", "externalId": "a-1", "active": false,
            "emails": [{ "value": "home@example.net", "type": "work" }, { "value": "HOME@example.net", "type": "home" }],
        }),
        json!({ "userName": "cleo", "externalId": "A-1" }),
    ] {
        ids.push(client.post("/Users", &user.to_string()).await.id().to_owned());
    }
    ids.try_into().unwrap()
}

#[tokio::test]
async fn a_look_up_finds_these_users() {
    let client = Directory::spread().await.client();
    let [anna, ..] = add_three(&client).await;
    assert_ne!(anna, anna.to_uppercase());
    let mut table = String::new();
    for filter in [
        r#"userName eq "anna@example.com""#,
        r#"userName eq "ANNA@EXAMPLE.COM""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "bert""#,
        r#"userName eq "ann""#,
        r#"userName eq """#,
        &format!(r#"id eq "{anna}""#),
        &format!(r#"id eq "{}""#, anna.to_uppercase()),
        r#"id eq "nobody""#,
        r#"id eq """#,
        &format!(r#"id eq "{}""#, "x".repeat(2_000)),
        r#"externalId eq "A-1""#,
        r#"externalId eq "a-1""#,
        r#"externalId eq "A-2""#,
        r#"externalId eq """#,
        r#"emails.value eq "anna@example.com""#,
        r#"emails eq "anna@example.com""#,
        r#"emails.value eq "home@example.net""#,
        r#"emails[type eq "work"].value eq "home@example.net""#,
        r#"emails[type eq "home"].value eq "home@example.net""#,
        r#"emails[type eq "home" and value eq "anna@example.com"]"#,
        r#"emails.value eq "home@example.net" and userName eq "bert""#,
        r#"userName eq "bert" and active eq true"#,
        r#"active eq "False" and externalId eq "a-1""#,
        r#"title eq "guide" and emails.value eq "home@example.net""#,
        &format!(r#"id eq "{anna}" and userName eq "anna@example.com" and externalId eq "A-1""#),
        &format!(r#"userName eq "{}""#, "x".repeat(2_000)),
        &format!(r#"externalId eq "{}""#, "x".repeat(2_000)),
        &format!(r#"userName sw "{}""#, "x".repeat(2_000)),
        r#"userName sw "B""#,
        r#"userName sw """#,
    ] {
        let found = client.find(filter).await;
        assert_eq!(found.status, 200, "{filter}: {found}");
        assert_eq!(found.body["totalResults"], found.body["itemsPerPage"]);
        let shown: String = filter.chars().take(110).collect();
        let names = found.list("userName");
        writeln!(table, "{shown}: {}", if names.is_empty() { "-" } else { &names }).unwrap();
    }
    assert_snapshot!(table, @r#"
    userName eq "anna@example.com": Anna@Example.com
    userName eq "ANNA@EXAMPLE.COM": Anna@Example.com
    urn:ietf:params:scim:schemas:core:2.0:User:userName eq "bert": bert
    userName eq "ann": -
    userName eq "": -
    id eq "9e3779b9-7f4a-7c15-0000-000000000001": Anna@Example.com
    id eq "9E3779B9-7F4A-7C15-0000-000000000001": -
    id eq "nobody": -
    id eq "": -
    id eq "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: -
    externalId eq "A-1": cleo Anna@Example.com
    externalId eq "a-1": bert
    externalId eq "A-2": -
    externalId eq "": -
    emails.value eq "anna@example.com": Anna@Example.com
    emails eq "anna@example.com": Anna@Example.com
    emails.value eq "home@example.net": bert Anna@Example.com
    emails[type eq "work"].value eq "home@example.net": bert
    emails[type eq "home"].value eq "home@example.net": bert Anna@Example.com
    emails[type eq "home" and value eq "anna@example.com"]: -
    emails.value eq "home@example.net" and userName eq "bert": bert
    userName eq "bert" and active eq true: -
    active eq "False" and externalId eq "a-1": bert
    title eq "guide" and emails.value eq "home@example.net": Anna@Example.com
    id eq "9e3779b9-7f4a-7c15-0000-000000000001" and userName eq "anna@example.com" and externalId eq "A-1": Anna@Example.com
    userName eq "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: -
    externalId eq "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: -
    userName sw "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: -
    userName sw "B": bert
    userName sw "": cleo bert Anna@Example.com
    "#);
    assert_snapshot!(client.find(r#"userName eq "nobody""#).await, @r#"200 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"startIndex":1,"itemsPerPage":0,"Resources":[]}"#);
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused() {
    let client = Client::new().await;
    add_three(&client).await;
    let mut table = String::new();
    for query in [
        "filter=",
        "filter=userName",
        "filter=userName+like+%22a%22",
        "filter=userName+eq+anna",
        "filter=shoeSize+eq+38",
        "filter=name.shoeSize+eq+38",
        "filter=urn:example:Walk:pace+eq+1",
        "filter=password+eq+%22x%22",
        "filter=active+gt+true",
        "filter=userName+eq+%22anna%22&filter=active+pr",
        "startIndex=one",
        "startIndex=1.5",
        "startIndex=",
        "count=many",
        "count=1e2",
        "count=",
    ] {
        let Answer { status, body, .. } = client.get(&format!("/Users?{query}")).await;
        assert_eq!(body.get("Resources"), None, "{query}");
        writeln!(table, "{query}: {status} {} {}", body["scimType"], body["detail"]).unwrap();
    }
    assert_snapshot!(table, @r#"
    filter=: 400 "invalidFilter" "filter: expected the name of an attribute at byte 0, found the end"
    filter=userName: 400 "invalidFilter" "filter: expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr) at byte 8, found the end"
    filter=userName+like+%22a%22: 400 "invalidFilter" "filter: expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr) at byte 9, found `like`"
    filter=userName+eq+anna: 400 "invalidFilter" "filter: expected a string in double quotes, a number, true, false or null at byte 12, found `anna`"
    filter=shoeSize+eq+38: 400 "invalidFilter" "User has no attribute shoeSize: /Schemas lists what it has"
    filter=name.shoeSize+eq+38: 400 "invalidFilter" "name has no sub-attribute shoeSize: it has formatted, familyName, givenName, middleName, honorificPrefix, honorificSuffix"
    filter=urn:example:Walk:pace+eq+1: 400 "invalidFilter" "User has no attribute urn:example:Walk:pace: /Schemas lists what it has"
    filter=password+eq+%22x%22: 400 "invalidFilter" "password is never returned and cannot be filtered by"
    filter=active+gt+true: 400 "invalidFilter" "active is a boolean: use eq, ne or pr instead of gt"
    filter=userName+eq+%22anna%22&filter=active+pr: 400 "invalidFilter" "filter: expected `and`, `or` or the end at byte 18, found `,active`"
    startIndex=one: 400 "invalidValue" "startIndex has to be an integer"
    startIndex=1.5: 400 "invalidValue" "startIndex has to be an integer"
    startIndex=: 400 "invalidValue" "startIndex has to be an integer"
    count=many: 400 "invalidValue" "count has to be an integer"
    count=1e2: 400 "invalidValue" "count has to be an integer"
    count=: 400 "invalidValue" "count has to be an integer"
    "#);
}

#[tokio::test]
async fn every_user_is_on_one_page() {
    let client = Directory::spread().await.client();
    let mut everybody = BTreeSet::new();
    for n in 0..25 {
        let user = json!({ "userName": format!("user{n}") }).to_string();
        everybody.insert(client.post("/Users", &user).await.id().to_owned());
    }
    let ids = |page: &Answer| -> Vec<String> {
        page.list("id").split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect()
    };
    let whole = ids(&client.get("/Users").await);
    assert_eq!(whole.iter().cloned().collect::<BTreeSet<_>>(), everybody);
    for count in [1, 7, 24, 25, 26] {
        let mut paged = Vec::new();
        while paged.len() < 25 {
            let start = paged.len() + 1;
            let page = client.get(&format!("/Users?startIndex={start}&count={count}")).await;
            let expected = count.min(25 - paged.len());
            let numbers = ["totalResults", "startIndex", "itemsPerPage"].map(|name| &page.body[name]);
            assert_eq!(numbers, [&json!(25), &json!(start), &json!(expected)]);
            paged.extend(ids(&page));
        }
        assert_eq!(paged, whole, "pages of {count}");
    }

    let mut table = String::new();
    for query in [
        "startIndex=0",
        "startIndex=-7&count=2",
        "startIndex=25",
        "startIndex=26",
        "startIndex=9223372036854775807&count=9223372036854775807",
        "count=0",
        "count=-1",
        "count=1000",
        "startIndex=+20&count=3",
        "STARTINDEX=24&Count=1",
        "startIndex=3&count=2&filter=userName+sw+%22user1%22",
        "startIndex=12&filter=userName+sw+%22user1%22",
        "count=0&filter=userName+sw+%22user1%22",
    ] {
        let page = client.get(&format!("/Users?{query}")).await;
        let Value::Object(mut body) = page.body else { panic!("{query}") };
        body.shift_remove("schemas");
        let resources = body.shift_remove("Resources").unwrap().as_array().unwrap().len();
        assert_eq!(body["itemsPerPage"], resources, "{query}");
        writeln!(table, "{query}: {} {}", page.status, Value::Object(body)).unwrap();
    }
    assert_snapshot!(table, @r#"
    startIndex=0: 200 {"totalResults":25,"startIndex":1,"itemsPerPage":25}
    startIndex=-7&count=2: 200 {"totalResults":25,"startIndex":1,"itemsPerPage":2}
    startIndex=25: 200 {"totalResults":25,"startIndex":25,"itemsPerPage":1}
    startIndex=26: 200 {"totalResults":25,"startIndex":26,"itemsPerPage":0}
    startIndex=9223372036854775807&count=9223372036854775807: 200 {"totalResults":25,"startIndex":9223372036854775807,"itemsPerPage":0}
    count=0: 200 {"totalResults":25,"startIndex":1,"itemsPerPage":0}
    count=-1: 200 {"totalResults":25,"startIndex":1,"itemsPerPage":0}
    count=1000: 200 {"totalResults":25,"startIndex":1,"itemsPerPage":25}
    startIndex=+20&count=3: 200 {"totalResults":25,"startIndex":20,"itemsPerPage":3}
    STARTINDEX=24&Count=1: 200 {"totalResults":25,"startIndex":24,"itemsPerPage":1}
    startIndex=3&count=2&filter=userName+sw+%22user1%22: 200 {"totalResults":11,"startIndex":3,"itemsPerPage":2}
    startIndex=12&filter=userName+sw+%22user1%22: 200 {"totalResults":11,"startIndex":12,"itemsPerPage":0}
    count=0&filter=userName+sw+%22user1%22: 200 {"totalResults":11,"startIndex":1,"itemsPerPage":0}
    "#);
}

/// The cost contract of the store. Each line is a request, its status, and the
/// calls of `DynamoDB` that it made; `Query Query` of the first page run side by
/// side.
#[tokio::test]
async fn requests_make_these_calls() {
    const BO: &str = r#"{"userName":"bo","externalId":"1","emails":[{"value":"bo@example.com"}]}"#;
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
        ("rename by put", "PUT", "{user}", r#"{"userName":"bobby"}"#.to_owned()),
        ("put what is there", "PUT", "{user}", r#"{"userName":"bobby"}"#.to_owned()),
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
        let calls = client.faults.calls();
        let calls = if calls.is_empty() { "-".to_owned() } else { calls.join(" ") };
        writeln!(table, "{what}: {} {calls}", answer.status).unwrap();
    }
    assert_snapshot!(table, @"
    create: 201 TransactWriteItems
    create a duplicate: 409 TransactWriteItems
    create nobody: 400 -
    get: 200 GetItem Query
    get nobody: 404 GetItem Query
    get by what is no id: 404 -
    userName eq, hit: 200 GetItem GetItem
    userName eq, miss: 200 GetItem
    externalId eq, hit: 200 Query BatchGetItem
    externalId eq, miss: 200 Query
    emails.value eq, hit: 200 Query BatchGetItem
    emails.value eq, miss: 200 Query
    put, same keys: 200 UpdateItem
    patch active: 200 UpdateItem
    patch title: 200 UpdateItem
    patch a name: 200 GetItem UpdateItem
    patch an e-mail: 200 GetItem TransactWriteItems
    patch nothing: 200 UpdateItem
    rename by put: 200 UpdateItem TransactWriteItems
    put what is there: 200 UpdateItem
    rename by patch: 200 GetItem TransactWriteItems
    rename to a taken name: 409 GetItem TransactWriteItems
    put nobody: 404 UpdateItem
    patch active of nobody: 404 UpdateItem
    delete nobody: 404 GetItem
    list, first page: 200 Query Query
    list, a later page: 200 Query Query
    list, count 0: 200 Query
    list, beyond the end: 200 Query
    delete: 204 GetItem TransactWriteItems Query
    delete again: 404 GetItem
    schemas: 200 -
    no such route: 404 -
    ");
}
