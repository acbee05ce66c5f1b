//! Queries that are refused: invalid ones, and ones that ask for too much.

use std::fmt::Write;

use insta::assert_snapshot;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::fill::{filler, put};
use crate::support::paging::all_by_cursor;
use crate::support::seed::add_three;

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
        "count=--1",
        "count=1&count=1",
        "COUNT=1&count=2&count=3",
        "startIndex=1&startIndex=2",
        "sortBy=userName&sortBy=id",
        "sortOrder=ascending&sortOrder=ascending",
        "cursor=&cursor=",
        // RFC 9865 s2.1: by cursor, the error has a code of its own.
        "cursor=&count=abc",
        "cursor=&count=",
        // What is kept elsewhere has no order.
        "sortBy=groups",
        "sortBy=groups.display",
        "sortBy=meta.location",
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
    filter=shoeSize+eq+38: 400 "invalidFilter" "User has no attribute shoeSize: /Schemas lists its attributes"
    filter=name.shoeSize+eq+38: 400 "invalidFilter" "name has no sub-attribute shoeSize: it has formatted, familyName, givenName, middleName, honorificPrefix, honorificSuffix"
    filter=urn:example:Walk:pace+eq+1: 400 "invalidFilter" "User has no attribute urn:example:Walk:pace: /Schemas lists its attributes"
    filter=password+eq+%22x%22: 400 "invalidFilter" "password cannot be used in a filter: it is never returned"
    filter=active+gt+true: 400 "invalidFilter" "active is a boolean: use eq, ne or pr instead of gt"
    filter=userName+eq+%22anna%22&filter=active+pr: 400 "invalidValue" "filter is given 2 times: send it once"
    startIndex=one: 400 "invalidValue" "startIndex must be an integer"
    startIndex=1.5: 400 "invalidValue" "startIndex must be an integer"
    startIndex=: 400 "invalidValue" "startIndex must be an integer"
    count=many: 400 "invalidValue" "count must be an integer"
    count=1e2: 400 "invalidValue" "count must be an integer"
    count=: 400 "invalidValue" "count must be an integer"
    count=--1: 400 "invalidValue" "count must be an integer"
    count=1&count=1: 400 "invalidValue" "count is given 2 times: send it once"
    COUNT=1&count=2&count=3: 400 "invalidValue" "count is given 3 times: send it once"
    startIndex=1&startIndex=2: 400 "invalidValue" "startIndex is given 2 times: send it once"
    sortBy=userName&sortBy=id: 400 "invalidValue" "sortBy is given 2 times: send it once"
    sortOrder=ascending&sortOrder=ascending: 400 "invalidValue" "sortOrder is given 2 times: send it once"
    cursor=&cursor=: 400 "invalidValue" "cursor is given 2 times: send it once"
    cursor=&count=abc: 400 "invalidCount" "count must be an integer"
    cursor=&count=: 400 "invalidCount" "count must be an integer"
    sortBy=groups: 400 "invalidValue" "cannot sort by groups: it is not a part of the stored resource"
    sortBy=groups.display: 400 "invalidValue" "cannot sort by groups.display: it is not a part of the stored resource"
    sortBy=meta.location: 400 "invalidValue" "cannot sort by meta.location: it is not a part of the stored resource"
    "#);
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
    sortBy=shoeSize: 400 "invalidValue" "cannot sort by shoeSize: User has no such attribute"
    sortBy=name: 400 "invalidValue" "cannot sort by name: it is complex, so name a sub-attribute"
    sortBy=password: 400 "invalidValue" "cannot sort by password: it is never returned"
    sortBy=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User: 400 "invalidValue" "cannot sort by urn:ietf:params:scim:schemas:extension:enterprise:2.0:User: it is a schema, so name an attribute"
    sortBy=1: 400 "invalidValue" "sortBy: expected the name of an attribute at byte 0, found `1`"
    sortBy=userName&sortOrder=sideways: 400 "invalidValue" "sortOrder must be ascending or descending"
    startIndex=1&cursor=: 400 "invalidValue" "startIndex and cursor cannot be combined: send one of them"
    startIndex=one: 400 "invalidValue" "startIndex must be an integer"
    count=1.5: 400 "invalidValue" "count must be an integer"
    cursor=AAAA: 400 "invalidCursor" "the cursor is invalid or has expired: restart from the first page"
    cursor=%21: 400 "invalidCursor" "the cursor is invalid or has expired: restart from the first page"
    attributes=id&excludedAttributes=name: 400 "invalidValue" "attributes and excludedAttributes cannot be combined: send one of them"
    {"count":true}: 400 "invalidSyntax" "count has the wrong type"
    {"attributes":[1]}: 400 "invalidSyntax" "attributes has the wrong type"
    []: 400 "invalidSyntax" "the body must be a JSON object"
    {"filter":"userName eq"}: 400 "invalidFilter" "filter: expected a string in double quotes, a number, true, false or null at byte 11, found the end"
    "#);
}

#[tokio::test]
async fn who_asks_for_too_much_is_told_what_to_ask_for() {
    let directory = Directory::new().await;
    let client = directory.client();
    // A scan reads 3 MB of each range of ids, and all of these ids are in one range.
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
    filter=title+pr: 400 "tooMany" "too many Users to filter one by one: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value, or page by cursor"
    filter=title+pr&sortBy=title: 400 "tooMany" "too many Users to filter one by one: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value"
    filter=title+pr: 400 "tooMany" "too many Users to filter one by one: narrow the filter by eq on one of id, userName, externalId, emails.value, roles.value, entitlements.value, or page by cursor"
    sortBy=title: 400 "tooMany" "cannot sort more than 10,000 resources (12 MB): send a filter that matches fewer, or omit sortBy"
    sortBy=title&cursor: 400 "tooMany" "cannot sort more than 10,000 resources (12 MB): send a filter that matches fewer, or omit sortBy"
    sortBy=userName&startIndex=19902: 400 "tooMany" "cannot list more than the first 20,000 resources in the order of userName: send a filter that matches fewer, or omit sortBy"
    sortBy=userName&sortOrder=descending&startIndex=9223372036854775807: 400 "tooMany" "cannot list more than the first 20,000 resources in the order of userName: send a filter that matches fewer, or omit sortBy"
    "#);
    assert_eq!(client.get("/Users?sortBy=userName&startIndex=19901").await.status, 200);
    for query in ["filter=userName+ne+%22x%22&count=100", "filter=userName+pr&sortBy=id&count=3"] {
        let (_, names) = all_by_cursor(&client, &format!("/Users?{query}")).await;
        assert_eq!(names.len(), 10, "{query}");
    }
}

#[tokio::test]
async fn members_have_no_order_and_any_integer_is_a_count() {
    let client = Client::new().await;
    add_three(&client).await;
    for query in ["/Groups?sortBy=members", "/Groups?sortBy=members.value", "/?sortBy=members.display"] {
        let refused = client.get(query).await;
        assert_eq!((refused.status, &refused.body["scimType"]), (400, &"invalidValue".into()), "{query}");
    }
    // RFC 7644 s3.4.2.4: fewer may be returned than asked for, and a negative count means 0.
    let huge = "9".repeat(40);
    for (query, items, first) in [
        (format!("count={huge}"), 3, 1),
        (format!("count=%2B{huge}"), 3, 1),
        (format!("count=-{huge}"), 0, 1),
        (format!("startIndex=-{huge}"), 3, 1),
        ("count=00000000000000000000000000002".to_owned(), 2, 1),
    ] {
        let page = client.get(&format!("/Users?{query}")).await;
        assert_eq!(
            (&page.body["itemsPerPage"], &page.body["startIndex"]),
            (&items.into(), &first.into()),
            "{query}"
        );
    }
    let beyond = client.get(&format!("/Users?startIndex={huge}")).await;
    assert_eq!((beyond.status, &beyond.body["itemsPerPage"]), (200, &0.into()), "{beyond}");
}
