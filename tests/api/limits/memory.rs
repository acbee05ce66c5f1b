//! Requests that would take much memory: their values are counted, their members are read a part
//! at a time, their pages end early.

use insta::assert_snapshot;
use scim_lambda::scim::json::MAX_VALUES;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::fill::put;
use crate::support::paging::all_by_cursor;

#[tokio::test]
async fn a_body_of_too_many_values_is_413() {
    let client = Client::new().await;
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let body = |values: usize| format!(r#"{{"userName":"bo","x":[{}0]}}"#, "0,".repeat(values - 4));
    // At the limit the unknown attribute is ignored, and the request means what it says without.
    assert_eq!(client.put(&user, &body(MAX_VALUES)).await.status, 200);
    let beyond = body(MAX_VALUES + 1);
    let refused = client.put(&user, &beyond).await;
    assert_snapshot!(refused, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the body has more than 250000 values, the limit is 250000: send several requests"}"#);
    for (method, path) in [
        ("POST", "/Users"),
        ("POST", "/Groups"),
        ("PATCH", &user),
        ("POST", "/Bulk"),
        ("POST", "/Users/.search"),
    ] {
        let answer = client.request(method, path).body(&beyond).send().await;
        assert_eq!(answer.to_string(), refused.to_string(), "{method} {path}");
    }
}

fn group_id(n: usize) -> String {
    format!("{n:08x}-0000-4000-9000-000000000000")
}

/// Adds groups that count so many members. None of the members exists, which makes no difference
/// to what is decided by their number.
async fn fill_groups(directory: &Directory, members: &[u64]) {
    let mut items = vec![json!({ "pk": "demo#census#Group", "sk": "00", "c0": members.len() })];
    items.extend(members.iter().enumerate().map(|(n, members)| {
        json!({
            "pk": "demo#Group", "sk": group_id(n), "version": 1, "write_id": "-", "index_digest": "-",
            "created": "2026-01-31T09:00:00Z", "modified": "2026-01-31T09:00:00Z",
            "change_pk": "demo#changed#Group#0", "hour": "2026-01-31T09",
            "resource": { "displayName": format!("group{n}") },
            "roster": { "members": members, "epoch": 0 },
        })
    }));
    put(directory, items).await;
}

#[tokio::test]
async fn a_page_ends_at_100000_members() {
    for (members, pages) in [
        (vec![60_000; 3], 3),
        (vec![100_000; 3], 3),
        (vec![50_000; 4], 2),
        (vec![15_000; 8], 2),
        (vec![1, 99_999, 1], 2),
        (vec![1; 20], 1),
    ] {
        let directory = Directory::spread().await;
        let client = directory.client();
        fill_groups(&directory, &members).await;
        let (mut shown, mut cursor) = (Vec::new(), Value::from(""));
        while let Some(next) = cursor.as_str() {
            let page = client.get(&format!("/Groups?count=100&cursor={next}")).await;
            shown.push(page.body["itemsPerPage"].as_u64().unwrap());
            cursor = page.body["nextCursor"].clone();
        }
        assert_eq!((shown.len(), shown.iter().sum()), (pages, members.len() as u64), "{members:?}");
        let mut start = 1;
        for _ in 0..pages {
            let page = client.get(&format!("/Groups?startIndex={start}")).await;
            assert_eq!(page.body["totalResults"], members.len(), "{members:?}");
            start += page.body["itemsPerPage"].as_u64().unwrap();
        }
        assert_eq!(start, members.len() as u64 + 1, "{members:?}");
        // Members that the answer does not show are not read.
        let page = client.get("/Groups?excludedAttributes=members").await;
        assert_eq!(page.body["itemsPerPage"], members.len(), "{members:?}");
    }
}

#[tokio::test]
async fn one_group_of_more_members_than_can_be_read_does_not_make_a_list_impossible() {
    let directory = Directory::spread().await;
    let client = directory.client();
    fill_groups(&directory, &[1, 100_001, 1]).await;
    let page = client.get("/Groups").await;
    assert_eq!((page.status, page.header("scim-truncated")), (200, Some("members")), "{page}");
    assert_eq!(page.body["itemsPerPage"], 3);
    let members: Vec<bool> = page.body["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group.get("members").is_some())
        .collect();
    assert_eq!(members, [true, false, true]);
    let one = client.get(&format!("/Groups/{}", group_id(1))).await;
    assert_eq!((one.status, &one.body["scimType"]), (400, &json!("tooMany")), "{one}");
}

#[tokio::test]
async fn a_filter_on_members_reads_100000_of_them() {
    let directory = Directory::spread().await;
    let client = directory.client();
    fill_groups(&directory, &[50_000, 50_000]).await;
    let filter = r#"members.display sw "x""#;
    let find =
        async || client.get(&format!("/Groups?filter={}", crate::support::builders::encoded(filter))).await;
    assert_eq!(find().await.body["totalResults"], 0);
    fill_groups(&directory, &[50_000, 50_001]).await;
    let refused = find().await;
    assert_eq!((refused.status, &refused.body["scimType"]), (400, &json!("tooMany")), "{refused}");
}

/// RFC 7644 s3.7: the operations of a bulk request, which compare the members of two groups.
#[tokio::test]
async fn operations_of_a_bulk_request_share_the_room_for_members() {
    let directory = Directory::spread().await;
    let client = directory.client();
    client.get("/ServiceProviderConfig").await;
    for (members, at_once) in [(60_000, 1), (40_000, 2)] {
        fill_groups(&directory, &[members, members]).await;
        client.faults.forget();
        let mut first = client.faults.pause_before("Query");
        let operation = |n: usize| json!({ "method": "PUT", "path": format!("/Groups/{}", group_id(n)), "data": { "displayName": format!("group{n}") } });
        let body = json!({ "Operations": [operation(0), operation(1)] }).to_string();
        let request = tokio::spawn(client.request("POST", "/Bulk").body(&body).send());
        first.arrived().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut groups: Vec<String> = client
            .faults
            .requests()
            .into_iter()
            .filter(|(operation, _)| operation == "Query")
            .map(|(_, body)| body["ExpressionAttributeValues"][":pk"]["S"].to_string())
            .collect();
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), at_once, "{members}");
        first.release();
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            answer.body["Operations"].as_array().unwrap().iter().all(|one| one["status"] == "200"),
            "{answer}"
        );
    }
}

/// Users of 5,000 short values each: 50 KB of text and 2 MB of memory.
#[tokio::test]
async fn a_page_ends_early_where_its_resources_take_much_memory() {
    const USERS: usize = 14;
    let directory = Directory::spread().await;
    let client = directory.client();
    let names = ["phoneNumbers", "ims", "photos", "x509Certificates", "addresses"];
    let sub = |name: &str| if name == "addresses" { "region" } else { "value" };
    let mut items = vec![json!({ "pk": "demo#census#User", "sk": "00", "c0": USERS })];
    for n in 0..USERS {
        let id = format!("0000{n:04}-0000-4000-9000-000000000000");
        let mut resource = json!({ "userName": format!("u{n:02}") });
        for name in names {
            let values: Vec<Value> = (0..1_000).map(|n| json!({ sub(name): n.to_string() })).collect();
            resource[name] = values.into();
        }
        items.push(json!({ "pk": "demo#User.userName", "sk": format!("u{n:02}"), "owner": id }));
        items.push(json!({
            "pk": "demo#User", "sk": id, "version": 1, "write_id": "-", "index_digest": "-",
            "created": "2026-01-31T09:00:00Z", "modified": "2026-01-31T09:00:00Z",
            "change_pk": "demo#changed#User#0", "hour": "2026-01-31T09", "resource": resource,
        }));
    }
    put(&directory, items).await;
    let page = client.get("/Users?attributes=userName").await;
    assert_eq!(page.body["totalResults"], USERS, "{page}");
    let shown = page.body["itemsPerPage"].as_u64().unwrap();
    assert!((5..USERS as u64).contains(&shown), "{shown}");
    let rest = client.get(&format!("/Users?attributes=userName&startIndex={}", shown + 1)).await;
    assert_eq!(rest.body["Resources"][0]["userName"], format!("u{shown:02}"));
    let (pages, names) = all_by_cursor(&client, "/Users?attributes=userName&count=100").await;
    assert_eq!((pages, names.len()), (2, USERS));
}
