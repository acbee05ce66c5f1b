//! The groups of a user in answers (RFC 7643 s4.1.2), and the entity tag that covers them (RFC
//! 9110 s8.8.1).

use std::collections::BTreeSet;
use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Policy, UserGroups};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::{add, encoded, patch, remove};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::fill::{populate, put};
use crate::support::paging::all_by_cursor;
use crate::support::seed::{create, id, users};

const RENAME: &str = r#"{"Operations":[{"op":"replace","path":"title","value":"Boss"}]}"#;
const USER0: &str = r#"{"userName":"user0","title":"Engineer"}"#;

/// Sends every request whose answer shows the first user, and returns what it shows of it.
async fn every_answer(client: &Client, path: &str, query: &str) -> Vec<(String, Value)> {
    let one = format!("{path}?{query}");
    let found = format!("/Users?filter={}&{query}", encoded("userName eq \"user0\""));
    let mut search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName eq \"user0\"" });
    if let Some((name, value)) = query.split_once('=') {
        search[name] = json!([value]);
    }
    let answers = [
        ("GET", client.get(&one).await),
        ("PUT", client.put(&one, USER0).await),
        ("PUT of nothing new", client.put(&one, USER0).await),
        ("PATCH", client.patch(&one, RENAME).await),
        ("GET of a list", client.get(&format!("/Users?{query}")).await),
        ("GET by a filter", client.get(&found).await),
        ("GET of all types", client.get(&format!("/?{query}")).await),
        ("POST to .search", client.post("/Users/.search", &search.to_string()).await),
    ];
    let user = |Answer { status, body, .. }: Answer| {
        assert_eq!(status, 200, "{body}");
        let listed = body["Resources"].as_array().cloned();
        listed.and_then(|all| all.into_iter().find(|one| one["id"] == id(path))).unwrap_or(body)
    };
    answers.map(|(name, answer)| (name.to_owned(), user(answer))).into()
}

#[tokio::test]
async fn every_answer_that_shows_a_user_shows_its_groups() {
    let directory = Directory::new().await;
    let client = directory.client();
    let users = users(&client, 2).await;
    let path = format!("/Users/{}", users[0]);
    let design = create(&client, "Design", &[&users[0], &users[1]]).await;
    let staff = create(&client, "Staff", &[id(&design), &users[0]]).await;
    let element = |path: &str, name: &str| {
        json!({ "value": id(path), "$ref": format!("https://example.com/scim/v2{path}"),
            "display": name, "type": "direct" })
    };
    let expected = json!([element(&design, "Design"), element(&staff, "Staff")]);
    let client_of = async |user_groups| {
        directory.set_policy("demo", Policy { user_groups, ..Policy::default() }).await;
        directory.pass(61);
        directory.client()
    };
    let (shown, hidden) = (Some(&expected), None);
    for (policy, said, by_default) in
        [(UserGroups::Default, "default", shown), (UserGroups::Request, "request", hidden)]
    {
        let client = client_of(policy).await;
        let schema = client.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await;
        let attributes = schema.body["attributes"].as_array().unwrap();
        assert_eq!(attributes.iter().find(|one| one["name"] == "groups").unwrap()["returned"], said);
        for (query, expected) in
            [("", by_default), ("attributes=groups", shown), ("excludedAttributes=groups", hidden)]
        {
            for (name, user) in every_answer(&client, &path, query).await {
                assert_eq!(user.get("groups"), expected, "{policy:?} {query} {name}: {user}");
            }
        }
    }
    // A new user is in no group, whatever it says.
    let own = json!({ "userName": "new", "groups": [{ "value": id(&design) }] }).to_string();
    let client = client_of(UserGroups::Default).await;
    let new = client.create(&own).await;
    assert_eq!((new.body.get("groups"), client.get(&new.path()).await.body.get("groups")), (None, None));
    check(&directory).await;
}

#[tokio::test]
async fn an_answer_that_shows_no_user_reads_no_groups() {
    let client = Client::new().await;
    let users = users(&client, 1).await;
    let path = format!("/Users/{}", users[0]);
    create(&client, "Design", &[&users[0]]).await;
    client.faults.forget();
    let minimal = client.request("PATCH", &path).header("prefer", "return=minimal").body(RENAME).send().await;
    assert_eq!((minimal.status, minimal.header("etag")), (204, Some("W/\"2\"")));
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "PUT", "path": path, "data": { "userName": "user0", "active": true } }] });
    let bulk = client.post("/Bulk", &bulk.to_string()).await;
    assert_eq!(bulk.body["Operations"][0]["version"], "W/\"3\"");
    assert_eq!(client.faults.calls(), ["UpdateItem", "UpdateItem"]);
}

/// RFC 9110 s8.8.1: a validator changes with the representation. RFC 7644 s3.14: `meta.version` is
/// the `ETag`.
#[tokio::test]
async fn a_reader_learns_of_every_change_of_the_groups() {
    let directory = Directory::new().await;
    let client = directory.client();
    let users = users(&client, 2).await;
    let path = format!("/Users/{}", users[0]);
    let design = create(&client, "Design", &[]).await;
    let staff = create(&client, "Staff", &[]).await;
    let rename = |name: &str| patch(&json!([{ "op": "replace", "path": "displayName", "value": name }]));
    let mut table = String::new();
    let mut known = client.get(&path).await.header("etag").unwrap().to_owned();
    let mut seen = vec![known.clone()];
    for (what, method, target, body, changes) in [
        ("added to a group", "PATCH", &design, add(&[&users[0]]), true),
        ("added to another", "PATCH", &staff, add(&[&users[0]]), true),
        ("another user is added", "PATCH", &staff, add(&[&users[1]]), false),
        ("a group of theirs is renamed", "PATCH", &design, rename("Drawing"), true),
        ("it is named as before", "PATCH", &design, rename("Design"), true),
        ("removed from a group", "PATCH", &staff, remove(&users[0]), true),
        ("another group is renamed", "PATCH", &staff, rename("Crew"), false),
        ("the user itself changes", "PATCH", &path, RENAME.to_owned(), true),
        ("the last group is deleted", "DELETE", &design, String::new(), true),
    ] {
        let answer = client.request(method, target).body(&body).send().await;
        assert!(answer.status < 300, "{what}: {answer}");
        let read = client.request("GET", &path).header("if-none-match", &known).send().await;
        let etag = read.header("etag").unwrap().to_owned();
        writeln!(table, "{what}: {} {}", read.status, etag.len()).unwrap();
        assert_eq!(read.status, if changes { 200 } else { 304 }, "{what}: {known} {etag}");
        assert_eq!(known == etag, !changes, "{what}");
        if changes {
            assert_eq!(read.body["meta"]["version"], etag.as_str());
            seen.push(etag.clone());
        }
        let list = client.get("/Users").await;
        assert_eq!(list.body["Resources"][0]["meta"]["version"], etag.as_str(), "{what}");
        // Without the groups the version says it all.
        let without = client.get(&format!("{path}?excludedAttributes=groups")).await;
        assert_eq!(without.header("etag").unwrap(), format!("W/\"{}\"", version(&etag)));
        known = etag;
    }
    assert_snapshot!(table, @"
    added to a group: 200 22
    added to another: 200 22
    another user is added: 304 22
    a group of theirs is renamed: 200 22
    it is named as before: 200 22
    removed from a group: 200 22
    another group is renamed: 304 22
    the user itself changes: 200 22
    the last group is deleted: 200 5
    ");
    // The same groups have the same tag, by whichever instance they are read.
    assert_eq!(seen[2], seen[4]);
    assert_eq!(directory.client().get(&path).await.header("etag"), Some(known.as_str()));
}

fn version(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"').split('-').next().unwrap()
}

/// The digest is about other resources, which a write of this one does not change.
#[tokio::test]
async fn a_writer_may_send_the_whole_tag_or_the_version_alone() {
    let client = Client::new().await;
    let users = users(&client, 1).await;
    let path = format!("/Users/{}", users[0]);
    let design = create(&client, "Design", &[&users[0]]).await;
    let shown = client.get(&path).await.header("etag").unwrap().to_owned();
    assert_eq!(client.patch(&design, &remove(&users[0])).await.status, 204);
    let opaque = shown.trim_start_matches("W/");
    let mut table = String::new();
    for tag in [
        &shown,
        opaque,
        "W/\"1\"",
        "\"9\", W/\"1-0123456789abcdef\"",
        // None of these is a tag of ours.
        "W/\"1-\"",
        "W/\"1-0123456789ABCDEF\"",
        "W/\"1-123456789abcdef\"",
        "W/\"1-+123456789abcde\"",
        "W/\"1-0123456789abcdef-\"",
        "W/\"-0123456789abcdef\"",
        "W/\"2-0123456789abcdef\"",
    ] {
        let put = client.request("PUT", &path).if_match(tag).body(r#"{"userName":"user0"}"#).send().await;
        writeln!(table, "{}: {}", tag.replace(opaque, "as shown"), put.status).unwrap();
    }
    assert_snapshot!(table, @r#"
    W/as shown: 200
    as shown: 200
    W/"1": 200
    "9", W/"1-0123456789abcdef": 200
    W/"1-": 412
    W/"1-0123456789ABCDEF": 412
    W/"1-123456789abcdef": 412
    W/"1-+123456789abcde": 412
    W/"1-0123456789abcdef-": 412
    W/"-0123456789abcdef": 412
    W/"2-0123456789abcdef": 412
    "#);
}

/// The write is applied, so its answer cannot be an error. It shows no user rather than one
/// without groups.
#[tokio::test]
async fn a_write_whose_groups_cannot_be_read_is_answered_without_a_body() {
    let directory = Directory::new().await;
    let client = directory.client();
    let users = users(&client, 1).await;
    let path = format!("/Users/{}", users[0]);
    create(&client, "Design", &[&users[0]]).await;
    for (n, operation) in ["Query", "BatchGetItem"].into_iter().enumerate() {
        for (method, body) in [("PUT", format!(r#"{{"userName":"name{n}"}}"#)), ("PATCH", RENAME.to_owned())]
        {
            let before = client.get(&format!("{path}?attributes=meta")).await;
            client.faults.inject_times(operation, 4, Fault::DropRequest);
            let answer = client.request(method, &path).body(&body).send().await;
            let next = version(before.header("etag").unwrap()).parse::<u64>().unwrap() + 1;
            assert_eq!(answer.to_string(), format!("204 W/\"{next}\""), "{method} {operation}");
            assert_eq!(client.faults.unmet(), 0, "{method} {operation}");
        }
    }
    // A read has nothing to hide.
    client.faults.inject_times("Query", 4, Fault::DropRequest);
    assert_eq!(client.get(&path).await.status, 503);
    check(&directory).await;
}

/// Puts users into groups, by items alone.
async fn fill_groups(directory: &Directory, users: &[String], groups: usize) {
    let id = |n: usize| format!("{n:08x}-0000-4000-9000-000000000000");
    let mut items: Vec<Value> = (0..groups)
        .map(|n| {
            json!({
                "pk": "demo#Group", "sk": id(n), "version": 1, "write_id": "-", "index_digest": "",
                "created": "2026-01-31T09:00:00Z", "modified": "2026-01-31T09:00:00Z",
                "change_pk": "demo#changed#Group#0", "hour": "2026-01-31T09",
                "resource": { "displayName": format!("group {n}") },
                "roster": { "members": users.len(), "epoch": 0 },
            })
        })
        .collect();
    for user in users {
        items.extend((0..groups).map(|n| {
            json!({ "pk": format!("demo#Group#{}", id(n)), "sk": user, "type": "User",
                "member_pk": format!("demo#member#{user}") })
        }));
    }
    put(directory, items).await;
}

#[tokio::test]
async fn a_user_in_too_many_groups_is_shown_with_the_first_and_a_sign() {
    let directory = Directory::spread().await;
    let ids = populate(&directory, 1).await;
    let client = directory.client();
    for (groups, sign) in [(1_000, None), (1_001, Some("groups"))] {
        fill_groups(&directory, &ids, groups).await;
        let path = format!("/Users/{}", ids[0]);
        let user = client.get(&path).await.body;
        let name = user["userName"].as_str().unwrap();
        let put = json!({ "userName": name }).to_string();
        let found = format!("/Users?filter={}", encoded(&format!("userName eq \"{name}\"")));
        for answer in [
            client.get(&path).await,
            client.put(&path, &put).await,
            client.patch(&path, RENAME).await,
            client.get(&found).await,
        ] {
            assert_eq!((answer.status, answer.header("scim-truncated")), (200, sign), "{groups}");
            let user = answer.body.pointer("/Resources/0").unwrap_or(&answer.body);
            let shown = user["groups"].as_array().unwrap();
            assert_eq!(shown.len(), 1_000);
            assert_eq!(shown[999]["display"], "group 999");
        }
        let without = client.get(&format!("{path}?excludedAttributes=groups")).await;
        assert_eq!(without.header("scim-truncated"), None);
    }
    // A filter does not judge by a part, and nobody else's fails because of one user.
    let filter = encoded("groups.display eq \"group 1000\"");
    let found = client.get(&format!("/Users?attributes=userName&filter={filter}")).await;
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(1)), "{found}");
    let filter = encoded(&format!("members eq \"{}\"", ids[0]));
    let found = client.get(&format!("/Groups?count=1&attributes=displayName&filter={filter}")).await;
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(1_001)), "{found}");
}

#[tokio::test]
async fn a_page_ends_before_it_shows_too_many_groups() {
    let directory = Directory::spread().await;
    let ids = populate(&directory, 25).await;
    fill_groups(&directory, &ids, 1_000).await;
    let client = directory.client();
    let first = client.get("/Users?cursor=").await;
    assert!(first.body["Resources"].as_array().unwrap().len() < 21, "{}", first.status);
    let (pages, names) = all_by_cursor(&client, "/Users?count=25").await;
    assert_eq!((pages, names.len(), names.iter().collect::<BTreeSet<_>>().len()), (2, 25, 25));
}
