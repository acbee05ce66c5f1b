//! Pages by index (RFC 7644 s3.4.2.4), also while others write.

use std::collections::BTreeSet;
use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::seed::add_users;

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

fn ids(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{page}");
    page.list("id").split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// A page shows resources as they are when it is read, and no resource changes places.
#[tokio::test]
async fn a_page_by_index_is_a_part_of_what_is_there_when_it_is_read() {
    let client = Directory::spread().await.client();
    add_users(&client, 0..20).await;
    let mut number = 100;
    for query in ["", "&sortBy=userName", "&sortBy=title&sortOrder=descending", "&filter=userName+sw+%22n%22"]
    {
        let (mut start, mut before) = (0, Vec::new());
        loop {
            let page = client.get(&format!("/Users?startIndex={}&count=5{query}", start + 1)).await;
            let everybody = ids(&client.get(&format!("/Users?{query}")).await);
            let expected: Vec<String> = everybody.iter().skip(start).take(5).cloned().collect();
            assert_eq!(
                (ids(&page), &page.body["totalResults"]),
                (expected, &json!(everybody.len())),
                "{query}"
            );
            // The order is kept.
            let common = |of: &[String], and: &[String]| -> Vec<String> {
                of.iter().filter(|id| and.contains(id)).cloned().collect()
            };
            assert_eq!(common(&everybody, &before), common(&before, &everybody), "{query}");
            start += 5;
            if start >= everybody.len() {
                break;
            }
            add_users(&client, number..number + 2).await;
            for gone in [&everybody[start / 2], &everybody[everybody.len() - 1]] {
                assert_eq!(client.delete(&format!("/Users/{gone}")).await.status, 204);
            }
            (number, before) = (number + 2, everybody);
        }
    }
}

#[tokio::test]
async fn who_comes_or_goes_before_a_page_by_index_moves_it_by_one() {
    let client = Directory::spread().await.client();
    add_users(&client, 10..18).await;
    let page = async |start: usize| {
        let query = format!("/Users?sortBy=userName&startIndex={start}&count=3");
        client.get(&query).await.list("userName").replace("@Example.com", "")
    };
    assert_eq!(page(1).await, "n010 n011 n012");
    add_users(&client, [9]).await;
    assert_eq!(page(4).await, "n012 n013 n014");
    for name in ["n009", "n010"] {
        let user = client.find(&format!(r#"userName eq "{name}@example.com""#)).await.list("id");
        assert_eq!(client.delete(&format!("/Users/{user}")).await.status, 204);
    }
    assert_eq!(page(7).await, "n017");
    add_users(&client, [19]).await;
    assert_eq!(page(7).await, "n017 n019");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_by_index_are_sound_while_others_write() {
    let directory = Directory::spread().await;
    let client = directory.client();
    add_users(&client, 0..20).await;
    let writers = (1..=3).map(|writer| {
        let client = directory.client();
        tokio::spawn(async move {
            for n in 0..12 {
                let user = json!({ "userName": format!("w{writer}-{n}") }).to_string();
                let created = client.post("/Users", &user).await;
                assert_eq!(created.status, 201, "{created}");
                if n % 3 != 0 {
                    assert_eq!(client.delete(&created.path()).await.status, 204);
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        for start in [1, 6, 11, 16] {
            let page = client.get(&format!("/Users?startIndex={start}&count=5")).await;
            let shown = ids(&page);
            assert!(shown.is_sorted_by(|a, b| a < b), "{shown:?}");
            let total = page.body["totalResults"].as_u64().unwrap();
            assert!((20..=20 + 3 * 5).contains(&total) && shown.len() == 5, "{total}");
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut everybody = BTreeSet::new();
    for start in (1..=32).step_by(5) {
        let page = client.get(&format!("/Users?startIndex={start}&count=5")).await;
        assert_eq!(page.body["totalResults"], 32);
        everybody.extend(ids(&page));
    }
    assert_eq!((everybody.len(), check(&directory).await), (32, 32));
}
