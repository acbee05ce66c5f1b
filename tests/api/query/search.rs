//! Queries: `.search`, the server root, order, and the plans behind filters
//! (RFC 7644 s3.4.2, s3.4.3).

use std::fmt::Write;
use std::io::Read;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::fill::{filler, put};
use crate::support::paging::all_by_cursor;
use crate::support::seed::add_users;

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn a_search_has_its_query_in_the_body() {
    let client = Client::new().await;
    add_users(&client, 0..5).await;
    let search = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":["userName"],
        "filter":"active eq true","sortBy":"userName","sortOrder":"descending","startIndex":1,"count":2}"#;
    for path in ["/Users/.search", "/.search"] {
        let found = client.post(path, search).await;
        assert_eq!(
            (found.status, &found.body["totalResults"], found.list("userName").as_str()),
            (200, &json!(3), "n004@Example.com n002@Example.com"),
            "{path}"
        );
        assert!(found.body["Resources"][0].get("emails").is_none());
    }
    let root = client.get("/?filter=userName+eq+%22N001%40example.com%22&attributes=userName").await;
    assert_eq!(root.list("userName"), "n001@Example.com");
    assert_eq!(client.get("").await.body["totalResults"], 5);
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let client = Client::new().await;
    let mut answers = String::new();
    for query in [
        "sortBy=shoeSize",
        "sortBy=name",
        "sortBy=password",
        "sortBy=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "sortBy=1",
        "sortBy=userName&sortOrder=sideways",
        "startIndex=1&cursor=",
        "startIndex=one",
        "count=1.5",
        "cursor=AAAA",
        "cursor=%21",
        "attributes=id&excludedAttributes=name",
    ] {
        let Answer { status, body, .. } = client.get(&format!("/Users?{query}")).await;
        writeln!(answers, "{query}: {status} {} {}", body["scimType"], body["detail"]).unwrap();
    }
    for body in [r#"{"count":true}"#, r#"{"attributes":[1]}"#, "[]", r#"{"filter":"userName eq"}"#] {
        let Answer { status, body: answer, .. } = client.post("/Users/.search", body).await;
        writeln!(answers, "{body}: {status} {} {}", answer["scimType"], answer["detail"]).unwrap();
    }
    assert_snapshot!(answers, @r#"
    sortBy=shoeSize: 400 "invalidValue" "sortBy shoeSize: User has no such attribute"
    sortBy=name: 400 "invalidValue" "sortBy name: a complex attribute has no order: name a sub-attribute"
    sortBy=password: 400 "invalidValue" "sortBy password: the attribute is never returned"
    sortBy=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User: 400 "invalidValue" "sortBy urn:ietf:params:scim:schemas:extension:enterprise:2.0:User: a schema has no order: name an attribute"
    sortBy=1: 400 "invalidValue" "sortBy: expected the name of an attribute at byte 0, found `1`"
    sortBy=userName&sortOrder=sideways: 400 "invalidValue" "sortOrder has to be ascending or descending"
    startIndex=1&cursor=: 400 "invalidValue" "startIndex and cursor exclude each other: send one of them"
    startIndex=one: 400 "invalidValue" "startIndex has to be an integer"
    count=1.5: 400 "invalidValue" "count has to be an integer"
    cursor=AAAA: 400 "invalidCursor" "the cursor is not valid, or not any more: begin again with an empty cursor"
    cursor=%21: 400 "invalidCursor" "the cursor is not valid, or not any more: begin again with an empty cursor"
    attributes=id&excludedAttributes=name: 400 "invalidValue" "attributes and excludedAttributes exclude each other: send one of them"
    {"count":true}: 400 "invalidSyntax" "count has the wrong type"
    {"attributes":[1]}: 400 "invalidSyntax" "attributes has the wrong type"
    []: 400 "invalidSyntax" "the body has to be a JSON object"
    {"filter":"userName eq"}: 400 "invalidFilter" "filter: expected a string in double quotes, a number, true, false or null at byte 11, found the end"
    "#);
}

#[tokio::test]
async fn a_list_is_sorted_and_what_has_no_value_comes_last_in_ascending_order() {
    let client = Directory::spread().await.client();
    add_users(&client, [3, 1, 4, 0, 2]).await;
    let names = async |query: &str| {
        client.get(&format!("/Users?{query}")).await.list("userName").replace("@Example.com", "")
    };
    assert_eq!(names("sortBy=userName").await, "n000 n001 n002 n003 n004");
    assert_eq!(names("sortBy=username&sortOrder=Descending").await, "n004 n003 n002 n001 n000");
    assert_eq!(names("sortBy=userName&startIndex=2&count=2").await, "n001 n002");
    assert_eq!(names("sortBy=userName&count=0").await, "");
    assert_eq!(names("sortBy=meta.created").await, "n003 n001 n004 n000 n002");
    assert_eq!(names("sortBy=emails&sortOrder=descending").await, "n004 n003 n002 n001 n000");
    // title: n003 "title 6", n002 "title 7", n001 "title 8", none for n000 and n004.
    let by_title = names("sortBy=title").await;
    assert!(by_title.starts_with("n003 n002 n001 "), "{by_title}");
    let by_title = names("sortBy=title&sortOrder=descending").await;
    assert!(by_title.ends_with(" n001 n002 n003"), "{by_title}");
    assert_eq!(names("sortBy=active&filter=title+pr").await.split(' ').next_back(), Some("n002"));
    assert_eq!(names("sortBy=id").await, names("").await);
    let ascending = names("sortBy=id").await;
    let descending = names("sortBy=id&sortOrder=descending").await;
    assert_eq!(ascending.split(' ').rev().collect::<Vec<_>>(), descending.split(' ').collect::<Vec<_>>());
}

#[tokio::test]
async fn a_plan_reads_rows_and_not_the_directory() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..10).await;
    for (filter, calls) in [
        (r#"userName eq "n001@example.com""#, "GetItem GetItem"),
        (r#"userName sw "n00""#, "Query BatchGetItem"),
        (r#"emails[type eq "work"].value eq "n3@example.com""#, "Query BatchGetItem"),
        (r#"active eq true and externalId eq "e1""#, "Query BatchGetItem"),
        (
            r#"userName eq "n001@example.com" or userName eq "n002@example.com""#,
            "GetItem GetItem GetItem GetItem",
        ),
        (r#"meta.lastModified gt "2026-01-31T09:00:00Z""#, "Query BatchGetItem"),
        ("title pr", "Query Query Query Query"),
        (r#"externalId eq "e1" or title pr"#, "Query Query Query Query"),
    ] {
        client.faults.forget();
        client.get(&format!("/Users?filter={}", encoded(filter))).await;
        assert_eq!(client.faults.calls().join(" "), calls, "{filter}");
    }
}

#[tokio::test]
async fn a_long_answer_is_packed_for_a_client_that_can_unpack() {
    let client = Client::new().await;
    add_users(&client, 0..10).await;
    let plain = client.get("/Users").await;
    assert_eq!(plain.header("content-encoding"), None);
    let packed =
        client.request("GET", "/Users").header("accept-encoding", "deflate, GZIP;q=0.5").send_raw().await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed.bytes.as_slice()).read_to_string(&mut unpacked).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&unpacked).unwrap(), plain.body);
    assert!(packed.bytes.len() * 4 < unpacked.len());
    for refused in ["gzip;q=0", "br", ""] {
        let answer = client.request("GET", "/Users").header("accept-encoding", refused).send().await;
        assert_eq!(answer.header("content-encoding"), None, "{refused}");
    }
    let short = client.request("GET", "/Users?count=0").header("accept-encoding", "gzip").send().await;
    assert_eq!(short.header("content-encoding"), None);
}

#[tokio::test]
async fn who_asks_for_too_much_is_told_what_to_ask_for() {
    let directory = Directory::new().await;
    let client = directory.client();
    // All ids are in one of the ranges that a scan reads 3 MB of.
    let long = "x".repeat(380_000);
    let users = (0..10).flat_map(|n| {
        let [mut user, unique, look_up] = filler(n, &format!("0000000{n}-0000-4000-8000-000000000000"));
        user["resource"]["profileUrl"] = long.as_str().into();
        [user, unique, look_up]
    });
    put(&directory, users.collect()).await;
    let mut answers = String::new();
    let without_cursors = directory.client_with(scim_lambda::config::Config::new(directory.table()));
    for (client, query) in [
        (&client, "filter=title+pr"),
        (&client, "filter=title+pr&sortBy=title"),
        (&without_cursors, "filter=title+pr"),
        (&client, "sortBy=title"),
        (&client, "sortBy=title&cursor"),
        (&client, "sortBy=userName&startIndex=19902"),
        (&client, "sortBy=userName&sortOrder=descending&startIndex=9223372036854775807"),
    ] {
        let Answer { status, body, .. } = client.get(&format!("/Users?{query}")).await;
        writeln!(answers, "{query}: {status} {} {}", body["scimType"], body["detail"]).unwrap();
    }
    assert_snapshot!(answers, @r#"
    filter=title+pr: 400 "tooMany" "there are too many Users to look at each: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value, or page by cursor"
    filter=title+pr&sortBy=title: 400 "tooMany" "there are too many Users to look at each: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value"
    filter=title+pr: 400 "tooMany" "there are too many Users to look at each: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value"
    sortBy=title: 400 "tooMany" "more than 10000 resources, or 12 MB of them, cannot be sorted: ask for fewer by a filter, or leave sortBy out"
    sortBy=title&cursor: 400 "tooMany" "more than 10000 resources, or 12 MB of them, cannot be sorted: ask for fewer by a filter, or leave sortBy out"
    sortBy=userName&startIndex=19902: 400 "tooMany" "only the first 20000 resources are listed in the order of userName: ask for fewer by a filter, or leave sortBy out"
    sortBy=userName&sortOrder=descending&startIndex=9223372036854775807: 400 "tooMany" "only the first 20000 resources are listed in the order of userName: ask for fewer by a filter, or leave sortBy out"
    "#);
    assert_eq!(client.get("/Users?sortBy=userName&startIndex=19901").await.status, 200);
    for query in ["filter=userName+ne+%22x%22&count=100", "filter=userName+pr&sortBy=id&count=3"] {
        let (_, names) = all_by_cursor(&client, &format!("/Users?{query}")).await;
        assert_eq!(names.len(), 10, "{query}");
    }
}

/// s3.4.2.1: what a type does not have is absent, and there is nothing to read.
#[tokio::test]
async fn a_query_of_the_base_finds_what_has_the_attribute() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..3).await;
    for name in ["n001", "staff"] {
        let created = client.post("/Groups", &json!({ "displayName": name }).to_string()).await;
        assert_eq!(created.status, 201, "{created}");
    }
    client.get("/ServiceProviderConfig").await;
    let mut answers = String::new();
    for (query, attribute) in [
        ("filter=userName+eq+%22N001@example.com%22", "userName"),
        ("filter=userName+sw+%22n%22&sortBy=userName&sortOrder=descending", "userName"),
        ("filter=displayName+eq+%22STAFF%22+and+not+(userName+pr)", "displayName"),
        ("filter=userName+pr", "userName"),
        ("filter=userName+pr&cursor=", "userName"),
        ("sortBy=userName", "userName"),
        ("sortBy=displayName&count=2", "displayName"),
    ] {
        client.faults.forget();
        let found = client.get(&format!("/?{query}&attributes=userName,displayName")).await;
        let calls = client.faults.calls().join(" ");
        writeln!(answers, "{query}: {} ({calls})", found.list(attribute)).unwrap();
    }
    for query in ["filter=shoeSize+pr", "filter=active+gt+true", "sortBy=shoeSize"] {
        let Answer { status, body, .. } = client.get(&format!("/?{query}")).await;
        writeln!(answers, "{query}: {status} {} {}", body["scimType"], body["detail"]).unwrap();
    }
    assert_snapshot!(answers, @r#"
    filter=userName+eq+%22N001@example.com%22: n001@Example.com (GetItem GetItem)
    filter=userName+sw+%22n%22&sortBy=userName&sortOrder=descending: n002@Example.com n001@Example.com n000@Example.com (Query BatchGetItem)
    filter=displayName+eq+%22STAFF%22+and+not+(userName+pr): staff (Query Query Query Query GetItem GetItem)
    filter=userName+pr: n002@Example.com n001@Example.com n000@Example.com (Query Query Query Query)
    filter=userName+pr&cursor=: n002@Example.com n001@Example.com n000@Example.com (Query)
    sortBy=userName: n000@Example.com n001@Example.com n002@Example.com - - (Query Query Query Query Query Query Query Query)
    sortBy=displayName&count=2: n001 staff (Query Query Query Query Query Query Query Query)
    filter=shoeSize+pr: 400 "invalidFilter" "no resource type has an attribute shoeSize: /Schemas lists what each has"
    filter=active+gt+true: 400 "invalidFilter" "active is a boolean: use eq, ne or pr instead of gt"
    sortBy=shoeSize: 400 "invalidValue" "sortBy shoeSize: no resource type has such an attribute"
    "#);
}
