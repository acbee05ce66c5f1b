//! Pages by cursor (RFC 9865), also while others write.

use std::collections::BTreeSet;
use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::store::Applied;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};
use crate::support::faults::Fault;
use crate::support::fill::fill;
use crate::support::paging::all_by_cursor;
use crate::support::seed::add_users;

#[tokio::test]
async fn a_cursor_leads_through_every_order_and_filter_once() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..23).await;
    for (query, total) in [
        ("count=5", 23),
        ("count=1", 23),
        ("count=23", 23),
        ("count=4&sortBy=userName", 23),
        ("count=4&sortBy=title&sortOrder=descending", 23),
        ("count=4&sortBy=id&sortOrder=descending", 23),
        ("count=3&filter=active+eq+true", 12),
        ("count=3&filter=userName+sw+%22N01%22", 10),
        ("count=3&filter=externalId+eq+%22e1%22+or+emails.value+eq+%22shared2%40example.com%22", 10),
        ("count=2&filter=emails.value+eq+%22nobody%22", 0),
    ] {
        let (pages, names) = all_by_cursor(&client, &format!("/Users?{query}")).await;
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!((names.len(), distinct.len()), (total, total), "{query}: {names:?}");
        let count: usize = query.split(['=', '&']).nth(1).unwrap().parse().unwrap();
        assert!(pages <= total / count + 1, "{query}: {pages} pages");
    }
    let first = client.get("/Users?cursor&count=2").await;
    assert_eq!(first.body["totalResults"], 23);
    assert!(first.body.get("startIndex").is_none());
}

#[tokio::test]
async fn previous_cursors_lead_back_over_the_same_pages() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..23).await;
    for query in [
        "count=5",
        "count=1",
        "count=23",
        "count=5&sortBy=id",
        "count=4&sortBy=userName",
        "count=4&sortBy=title&sortOrder=descending",
        "count=4&sortBy=id&sortOrder=descending",
        "count=3&sortBy=userName&filter=active+eq+true",
        "count=3&filter=userName+sw+%22N01%22",
    ] {
        for path in ["/Users", "/"] {
            let page = async |cursor: &str| {
                let page = client.get(&format!("{path}?{query}&cursor={cursor}")).await;
                assert_eq!(page.status, 200, "{query}: {page}");
                page.body
            };
            let mut pages = vec![page("").await];
            while let Some(next) = pages.last().unwrap()["nextCursor"].as_str() {
                pages.push(page(next).await);
            }
            let mut back = vec![pages.last().unwrap().clone()];
            while let Some(previous) = back.last().unwrap()["previousCursor"].as_str() {
                back.push(page(previous).await);
            }
            back.reverse();
            let shown = |pages: &[Value]| -> Vec<Value> {
                pages.iter().map(|page| json!([page["totalResults"], page["Resources"]])).collect()
            };
            assert_eq!(shown(&back), shown(&pages), "{query}");
            assert_eq!(pages[0].get("previousCursor"), None, "{query}");
            if let Some(next) = back[0]["nextCursor"].as_str() {
                assert_eq!(page(next).await["Resources"], pages[1]["Resources"], "{query}");
            }
        }
    }
    // A page before a scanned one may begin far away, so no previous cursor is offered.
    let first = client.get("/Users?count=2&filter=active+eq+true&cursor=").await;
    let next = first.body["nextCursor"].as_str().unwrap();
    let second = client.get(&format!("/Users?count=2&filter=active+eq+true&cursor={next}")).await;
    assert!(second.body.get("nextCursor").is_some() && second.body.get("previousCursor").is_none());
}

#[tokio::test]
async fn a_page_back_costs_what_a_page_on_costs() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..9).await;
    // So that the instance has read the key.
    client.get("/Users?count=3&cursor=").await;
    let mut cursor = String::new();
    for direction in ["nextCursor", "nextCursor", "previousCursor", "previousCursor"] {
        client.faults.forget();
        let page = client.get(&format!("/Users?count=3&attributes=userName&cursor={cursor}")).await;
        let calls = client.faults.calls().into_iter().filter(|call| *call != "BatchGetItem");
        assert_eq!(calls.collect::<Vec<_>>(), ["Query", "Query"]);
        page.body[direction].as_str().unwrap().clone_into(&mut cursor);
    }
    let first = client.get(&format!("/Users?count=3&attributes=userName&cursor={cursor}")).await;
    assert_eq!((first.body.get("previousCursor"), &first.body["itemsPerPage"]), (None, &json!(3)));
}

/// Deletions before a page shorten the first page on the way back. If they leave nothing, the way
/// back ends at once.
#[tokio::test]
async fn the_way_back_does_not_mind_who_comes_and_goes() {
    for order in ["", "&sortBy=displayName"] {
        let client = Directory::spread().await.client();
        add_users(&client, 0..10).await;
        let whole = client.get(&format!("/Users?{order}")).await.list("id");
        let ids: Vec<&str> = whole.split(' ').collect();
        let page = async |cursor: &Value| {
            let cursor = cursor.as_str().unwrap_or_else(|| panic!("no cursor{order}"));
            client.get(&format!("/Users?count=4{order}&cursor={cursor}")).await
        };
        let first = page(&json!("")).await;
        let second = page(&first.body["nextCursor"]).await;
        assert_eq!(second.list("id"), ids[4..8].join(" "));
        assert_eq!(client.delete(&format!("/Users/{}", ids[2])).await.status, 204);
        let back = page(&second.body["previousCursor"]).await;
        assert_eq!(back.list("id"), [ids[0], ids[1], ids[3]].join(" "));
        assert_eq!(back.body.get("previousCursor"), None);
        assert_eq!(page(&back.body["nextCursor"]).await.list("id"), ids[4..8].join(" "));
        for id in [ids[0], ids[1], ids[3]] {
            assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
        }
        let first = page(&second.body["previousCursor"]).await;
        assert_eq!(first.list("id"), ids[4..8].join(" "));
        assert_eq!(first.body.get("previousCursor"), None);
        assert_eq!(page(&first.body["nextCursor"]).await.list("id"), ids[8..].join(" "));
    }
}

#[tokio::test]
async fn a_count_of_0_has_no_pages() {
    let client = Client::new().await;
    add_users(&client, 0..3).await;
    let mut answers = String::new();
    for query in ["", "&sortBy=userName", "&filter=active+eq+true", "&filter=userName+sw+%22n%22"] {
        let Value::Object(mut body) = client.get(&format!("/Users?count=0&cursor={query}")).await.body else {
            panic!("{query}")
        };
        body.shift_remove("schemas");
        writeln!(answers, "{query}: {}", Value::Object(body)).unwrap();
    }
    assert_snapshot!(answers, @r#"
    : {"totalResults":3,"itemsPerPage":0,"Resources":[]}
    &sortBy=userName: {"totalResults":3,"itemsPerPage":0,"Resources":[]}
    &filter=active+eq+true: {"itemsPerPage":0,"Resources":[]}
    &filter=userName+sw+%22n%22: {"totalResults":3,"itemsPerPage":0,"Resources":[]}
    "#);
}

/// A resource that exists all the time is shown once.
#[tokio::test]
async fn paging_by_cursor_does_not_mind_who_comes_and_goes() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..30).await;
    let (mut seen, mut cursor, mut next) = (Vec::new(), String::new(), 100);
    loop {
        let page = client.get(&format!("/Users?count=4&cursor={cursor}")).await;
        seen.extend(page.list("userName").split(' ').map(str::to_owned));
        add_users(&client, next..next + 3).await;
        next += 3;
        // The last resource shown is deleted, and the next page begins at its place.
        let last = page.body["Resources"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
        assert_eq!(client.delete(&format!("/Users/{last}")).await.status, 204);
        match page.body["nextCursor"].as_str() {
            Some(more) => more.clone_into(&mut cursor),
            None => break,
        }
    }
    let there_all_along = (0..30).map(|n| format!("n{n:03}@Example.com"));
    for name in there_all_along {
        assert_eq!(seen.iter().filter(|seen| **seen == name).count(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_query_only() {
    let directory = Directory::new().await;
    directory.add_tenant("other", scim_lambda::scim::policy::Policy::default()).await;
    let client = directory.client();
    add_users(&client, 0..5).await;
    let first = client.get("/Users?count=2&cursor=&filter=active+eq+true").await;
    let cursor = first.body["nextCursor"].as_str().unwrap();
    assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");

    let flipped = if cursor.starts_with('A') {
        cursor.replacen('A', "B", 1)
    } else {
        format!("A{}", cursor.split_at(1).1)
    };
    let refused = [
        ("/Users?count=2&filter=active+eq+false", cursor),
        ("/Users?count=2", cursor),
        ("/Users?count=2&filter=active+eq+true&sortBy=id", cursor),
        ("/Users?count=2&filter=active+eq+true&attributes=id", cursor),
        ("/Users?count=2&filter=active+eq+true", &flipped),
        ("/Users?count=2&filter=active+eq+true", cursor.split_at(cursor.len() - 1).0),
        ("/Users?count=2&filter=active+eq+true", "x"),
    ];
    let mut texts = BTreeSet::new();
    for (query, cursor) in refused {
        texts.insert(client.get(&format!("{query}&cursor={cursor}")).await.to_string());
    }
    let other = client.with_token(&TOKEN.replace("demo", "other"));
    let query = format!("/Users?count=2&filter=active+eq+true&cursor={cursor}");
    texts.insert(other.get(&query).await.to_string());
    assert_snapshot!(texts.into_iter().collect::<Vec<_>>().join("\n"), @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidCursor","detail":"the cursor is invalid or has expired: restart from the first page"}"#);
    assert_snapshot!(client.get(&query.replace("count=2", "count=3")).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidCount","detail":"count must be the same for every page of a query"}"#);
    assert_eq!(client.get(&query).await.list("userName"), "n004@Example.com");

    // Every request is a second later than the one before.
    for _ in 0..3600 {
        directory.tick();
    }
    assert_snapshot!(client.get(&query).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"expiredCursor","detail":"the cursor is invalid or has expired: restart from the first page"}"#);
}

/// The key of cursors is an item of the table.
#[tokio::test]
async fn an_instance_reads_the_key_when_a_request_needs_it() {
    let directory = Directory::new().await;
    let client = directory.client();
    add_users(&client, 0..5).await;
    let calls = async |client: &Client, path: &str| {
        client.faults.forget();
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{answer}");
        let calls =
            client.faults.calls().into_iter().filter(|call| ["GetItem", "PutItem"].contains(&call.as_str()));
        calls.collect::<Vec<_>>().join(" ")
    };
    for path in ["/Users", "/Users?count=2", "/Users?count=5&cursor=", "/ServiceProviderConfig"] {
        assert_eq!(calls(&client, path).await, "", "{path} has no cursor");
    }
    let first = "/Users?count=2&cursor=";
    assert_eq!(calls(&client, first).await, "GetItem PutItem", "the first of all");
    assert_eq!(calls(&client, first).await, "");
    let other = directory.client();
    assert_eq!(calls(&other, first).await, "GetItem", "the first of an instance");
    directory.pass(5 * 60);
    assert_eq!(calls(&other, first).await, "GetItem");
    assert_eq!(calls(&other, first).await, "");
}

/// Two instances make a key at once. One of them wins, and both use that one.
#[tokio::test]
async fn every_instance_opens_the_cursors_of_every_other() {
    for answer_is_lost in [false, true] {
        let directory = Directory::new().await;
        let instances: Vec<Client> = (0..4).map(|_| directory.client()).collect();
        add_users(&instances[0], 0..5).await;
        if answer_is_lost {
            for instance in &instances {
                instance.faults.inject("PutItem", Fault::LoseResponse);
            }
        }
        let page = async |client: &Client, cursor: &str| {
            let page = client.get(&format!("/Users?count=2&cursor={cursor}")).await;
            assert_eq!(page.status, 200, "{page}");
            page.body["nextCursor"].as_str().map(str::to_owned)
        };
        let first = futures_util::future::join_all(instances.iter().map(|client| page(client, ""))).await;
        for cursor in first {
            for client in &instances {
                assert!(page(client, cursor.as_deref().unwrap()).await.is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_rotation_of_the_key_keeps_cursors_until_they_expire() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    add_users(&client, 0..5).await;
    let open = async |client: &Client, cursor: &str| {
        client.get(&format!("/Users?count=2&cursor={cursor}")).await.status
    };
    let cursor = async |client: &Client| {
        let first = client.get("/Users?count=2&cursor=").await;
        first.body["nextCursor"].as_str().unwrap().to_owned()
    };
    let rotate = async || directory.store().rotate_cursor_secret(directory.now()).await.unwrap();
    let before = cursor(&client).await;
    assert_eq!(open(&other, &before).await, 200);
    assert_eq!(rotate().await, Applied::Applied);
    // The other instance has not heard of the rotation, and reads the key again.
    directory.pass(5 * 60 - 30);
    let after = cursor(&directory.client()).await;
    for client in [&client, &other] {
        assert_eq!((open(client, &before).await, open(client, &after).await), (200, 200));
    }
    // Two rotations end the cursors of the first key at once, where the key is read.
    assert_eq!(rotate().await, Applied::Applied);
    directory.pass(5 * 60);
    assert_eq!((open(&client, &before).await, open(&client, &after).await), (400, 200));
    // No cursor of the previous key is left after an hour, so none is accepted.
    let last = cursor(&client).await;
    assert_eq!(rotate().await, Applied::Applied);
    directory.pass(56 * 60);
    assert_eq!(open(&client, &last).await, 200);
    directory.pass(9 * 60);
    assert_eq!(open(&client, &last).await, 400);
}

/// Of several operators one rotates at a time.
#[tokio::test]
async fn no_generation_of_the_key_is_skipped() {
    let directory = Directory::new().await;
    let store = directory.store();
    let rotations = (0..4).map(|_| store.rotate_cursor_secret(directory.now()));
    let done = futures_util::future::join_all(rotations).await;
    let applied = done.into_iter().filter(|done| *done.as_ref().unwrap() == Applied::Applied).count();
    let record = store.cursor_secret().await.unwrap().unwrap();
    assert_eq!(record.generation as usize, 1 + applied);
    assert!(applied > 0 && record.previous.is_some());
}

/// A value that more than 1,000 users share is not looked up, and needs no sorting.
#[tokio::test]
async fn a_cursor_leads_through_more_than_a_plan_may_find() {
    let directory = Directory::spread().await;
    fill(&directory, 1_100).await;
    let client = directory.client();
    for (query, most) in [("filter=userName+sw+%22filler%22", 12), ("filter=userName+sw+%22filler10%22", 3)] {
        let found = client.get(&format!("/Users?{query}")).await.body["totalResults"].as_u64().unwrap();
        let (pages, names) = all_by_cursor(&client, &format!("/Users?{query}")).await;
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len() as u64, found, "{query}");
        assert!(names.len() as u64 == found && pages <= most, "{query}: {pages}");
    }
}
