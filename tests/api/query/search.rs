//! Queries by `.search`, of the base URL, and sorted (RFC 7644 s3.4.2, s3.4.3).

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::seed::add_users;

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

/// RFC 7644 s3.4.2.1: an attribute that a type does not have is absent there, so nothing is read.
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
    filter=displayName+eq+%22STAFF%22+and+not+(userName+pr): staff (Query Query Query Query Query GetItem GetItem)
    filter=userName+pr: n002@Example.com n001@Example.com n000@Example.com (Query Query Query Query Query)
    filter=userName+pr&cursor=: n002@Example.com n001@Example.com n000@Example.com (Query)
    sortBy=userName: n000@Example.com n001@Example.com n002@Example.com - - (Query Query Query Query Query Query Query Query Query Query)
    sortBy=displayName&count=2: n001 staff (Query Query Query Query Query Query Query Query Query Query)
    filter=shoeSize+pr: 400 "invalidFilter" "no resource type has an attribute shoeSize: /Schemas lists their attributes"
    filter=active+gt+true: 400 "invalidFilter" "active is a boolean: use eq, ne or pr instead of gt"
    sortBy=shoeSize: 400 "invalidValue" "cannot sort by shoeSize: no resource type has this attribute"
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
