//! The size of answers. Lambda passes 6 MB: pages end early, and gzip makes room.

use std::io::Read;

use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::builders::add;
use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};
use crate::support::fill::{GROUP, fill_group};
use crate::support::paging::all_by_cursor;
use crate::support::recording::Recording;
use crate::support::seed::{add_users, users};

/// Members that take more than 6 MB with the long `$ref`s of this base URL.
const MEMBERS: usize = 14_000;
const BASE: &str = "https://example.com/";

#[tokio::test]
async fn a_group_that_is_too_large_for_an_answer_is_packed_or_refused() {
    const TOO_MANY: &str = "the answer would be larger than the 6 MB that can be sent: \
        use excludedAttributes=members, ask for fewer resources, or accept gzip";
    let directory = Directory::new().await;
    fill_group(&directory, MEMBERS).await;
    let mut config = Config::new(directory.table());
    config.base_url = Some(format!("{BASE}{}", "x".repeat(300)));
    let client = directory.client_with(config);
    let path = format!("/Groups/{GROUP}");

    let packed = client.request("GET", &path).header("accept-encoding", "gzip").send_raw().await;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.bytes.as_slice()).read_to_string(&mut text).unwrap();
    let group: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(group["members"].as_array().unwrap().len(), MEMBERS);
    assert!(packed.bytes.len() < text.len() / 4, "{} of {}", packed.bytes.len(), text.len());

    for list in ["/Groups", "/Groups?filter=displayName+eq+%22all%22", "/Groups?cursor="] {
        let plain = client.get(list).await;
        let told = (plain.status, plain.header("scim-truncated"), &plain.body["Resources"][0]["members"]);
        assert_eq!(told, (200, Some("members"), &Value::Null), "{list}");
    }
    let plain = client.get(&path).await;
    assert_eq!((plain.status, &plain.body["scimType"], plain.detail()), (400, &json!("tooMany"), TOO_MANY));
    assert_eq!(plain.header("content-type"), Some("application/scim+json"));
    assert_eq!(plain.headers.get_all("content-type").iter().count(), 1);
    let recording = Recording::new();
    client.get(&path).await;
    let line: Value = serde_json::from_str(recording.text().trim()).unwrap();
    assert_eq!((&line["message"], &line["status"]), (&json!("request"), &json!(400)));
    // A REST API would send the compressed bytes as base64.
    let rest = client
        .send(json!({
            "httpMethod": "GET", "path": format!("/scim/v2{path}"),
            "headers": { "Authorization": format!("Bearer {}", TOKEN), "Accept-Encoding": "gzip" },
            "requestContext": { "stage": "prod", "httpMethod": "GET", "path": format!("/prod/scim/v2{path}") },
            "body": null, "isBase64Encoded": false,
        }))
        .await;
    assert_eq!((rest.status, rest.detail()), (400, TOO_MANY));

    for query in ["?excludedAttributes=members", "?attributes=displayName"] {
        assert_eq!(client.get(&format!("{path}{query}")).await.body["displayName"], "All");
    }

    // A change that was made is no error because its answer is too large.
    let users = users(&client, 2).await;
    let shown = format!("{path}?attributes=members");
    assert_eq!(client.patch(&shown, &add(&[&users[0]])).await.to_string(), "204 W/\"2\"");
    let ids = group["members"].as_array().unwrap().iter().map(|member| json!({ "value": member["value"] }));
    let put = json!({ "displayName": "All", "members": ids.collect::<Vec<_>>() }).to_string();
    let put = client.put(&path, &put).await;
    assert_eq!(put.to_string(), "204 W/\"3\"");
    let members = client.request("GET", &shown).header("accept-encoding", "gzip").send().await;
    assert_eq!(members.body["members"].as_array().unwrap().len(), MEMBERS);
}

/// Thirteen users of 350 kB each are more than one answer of Lambda may hold.
#[tokio::test]
async fn a_page_ends_early_rather_than_be_too_large() {
    let client = Client::new().await;
    let long: Vec<Value> = (0..7).map(|n| json!({ "value": format!("{n}{}", "x".repeat(49_980)) })).collect();
    for n in 0..13 {
        let user = json!({ "userName": format!("u{n}"), "photos": long }).to_string();
        assert_eq!(client.post("/Users", &user).await.status, 201);
    }
    let page = client.get("/Users").await;
    assert_eq!((&page.body["totalResults"], &page.body["itemsPerPage"]), (&json!(13), &json!(11)));
    let rest = client.get("/Users?startIndex=12").await;
    assert_eq!(rest.body["itemsPerPage"], 2);
    let (pages, names) = all_by_cursor(&client, "/Users?count=100").await;
    assert!((2..=4).contains(&pages), "{pages}");
    assert_eq!(names.len(), 13);

    let page = async |cursor: &Value| {
        let query = "count=100&sortBy=userName&filter=userName+sw+%22u%22";
        client.get(&format!("/Users?{query}&cursor={}", cursor.as_str().unwrap())).await
    };
    let first = page(&json!("")).await;
    assert_eq!(first.body["itemsPerPage"], 11);
    let second = page(&first.body["nextCursor"]).await;
    assert_eq!(second.body["itemsPerPage"], 2);
    let back = page(&second.body["previousCursor"]).await;
    assert_eq!(back.list("id"), first.list("id"));
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
    for (codings, coding) in [
        ("gzip;q=0", None),
        ("gzip; Q=0.000", None),
        ("*;q=0.5, gzip;q=0", None),
        ("br", None),
        ("", None),
        ("gzip;q=0.5, identity", None),
        ("identity;q=0.5, gzip", Some("gzip")),
        ("*", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("br;q=1.0, *;q=0.1", Some("gzip")),
    ] {
        let answer = client.request("GET", "/Users").header("accept-encoding", codings).send().await;
        assert_eq!(answer.header("content-encoding"), coding, "{codings}");
    }
    let short = client.request("GET", "/Users?count=0").header("accept-encoding", "gzip").send().await;
    assert_eq!(short.header("content-encoding"), None);
}
