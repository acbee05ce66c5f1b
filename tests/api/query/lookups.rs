//! Filters that read index rows and not the whole directory.

use aws_sdk_dynamodb::types::AttributeValue;
use std::fmt::Write;

use insta::assert_snapshot;

use crate::support::builders::encoded;
use crate::support::directory::Directory;
use crate::support::seed::{add_three, add_users};

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
        // A query for each stripe of the index.
        (r#"meta.lastModified gt "2026-01-31T09:00:00Z""#, "Query Query Query Query BatchGetItem"),
        // The census tells that the scan can come to its end.
        ("title pr", "Query Query Query Query Query"),
        (r#"externalId eq "e1" or title pr"#, "Query Query Query Query Query"),
    ] {
        client.faults.forget();
        client.get(&format!("/Users?attributes=id&filter={}", encoded(filter))).await;
        assert_eq!(client.faults.calls().join(" "), calls, "{filter}");
    }
}

/// The census knows how many resources there are before any of them is read.
#[tokio::test]
async fn a_scan_that_cannot_come_to_its_end_is_not_begun() {
    let directory = Directory::spread().await;
    let client = directory.client();
    client.get("/ServiceProviderConfig").await;
    let count = |users: u64| {
        let item = [("pk", "demo#census#User"), ("sk", "00")]
            .map(|(name, text)| (name, AttributeValue::S(text.into())));
        let put = directory.dynamodb().put_item().table_name(directory.table());
        let put = item.into_iter().fold(put, |put, (name, value)| put.item(name, value));
        put.item("c0", AttributeValue::N(users.to_string())).send()
    };
    for (query, users, calls) in [
        ("filter=title+pr", 41_943, 5),
        ("filter=title+pr", 41_944, 1),
        ("sortBy=title", 10_000, 5),
        ("sortBy=title", 10_001, 1),
    ] {
        count(users).await.unwrap();
        client.faults.forget();
        let answer = client.get(&format!("/Users?{query}")).await;
        let status = if calls == 1 { 400 } else { 200 };
        assert_eq!(
            (answer.status, client.faults.calls().len()),
            (status, calls),
            "{query} {users}: {answer}"
        );
        assert!(status == 200 || answer.body["scimType"] == "tooMany", "{answer}");
    }
}
