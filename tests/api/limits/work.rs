//! Requests that are short and ask for many comparisons.

use insta::assert_snapshot;
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::{Attributes, Resource};
use scim_lambda::scim::work::{LIMIT, Work};
use serde_json::{Value, json};

use crate::support::builders::patch;
use crate::support::client::Client;
use crate::support::directory::Directory;

/// Returns a user with 8 values of 40 KB, which is near the longest that is stored.
fn long_user() -> Value {
    let values: Vec<Value> =
        (0..8).map(|n| json!({ "value": format!("{n}{}", "Aa".repeat(20_000)) })).collect();
    json!({ "userName": "bj", "photos": values })
}

/// Returns different conditions that hold for no value, and are hard to disprove.
fn conditions(path: &str, count: usize) -> String {
    let conditions: Vec<String> = (0..count).map(|n| format!(r#"{path} co "aab{n}""#)).collect();
    conditions.join(" or ")
}

fn attributes(user: &Value) -> Attributes {
    user.as_object().unwrap().clone()
}

fn resource(user: &Value) -> Resource {
    Resource {
        id: "u".to_owned(),
        version: scim_lambda::scim::etag::Version::FIRST,
        created: jiff::Timestamp::UNIX_EPOCH,
        last_modified: jiff::Timestamp::UNIX_EPOCH,
        attributes: attributes(user),
        derived: None,
        members: 0,
    }
}

/// Returns the bytes that a filter compares on the long user.
fn compared(filter: &str) -> usize {
    let registry = Registry::new(&Policy::default());
    let matcher = Matcher::new(&filter.parse().unwrap(), registry.resource_type("User").unwrap()).unwrap();
    let work = Work::default();
    let _may_be_exhausted = matcher.matches(&resource(&long_user()), &work);
    work.spent()
}

#[test]
fn the_comparisons_of_a_filter_are_counted_and_equal_conditions_count_once() {
    let one = compared(r#"photos.value co "b""#);
    assert!((8 * 40_000..8 * 41_000).contains(&one), "{one}");
    assert_eq!(compared(&vec![r#"photos.value co "b""#; 500].join(" or ")), one);
    assert_eq!(compared(r#"photos.value co "b" or photos[value co "b"]"#), 2 * one);
    // The first comparison beyond the limit is not made, nor is any after it.
    let most = compared(&conditions("photos.value", 500));
    assert!((LIMIT..LIMIT + 41_000).contains(&most), "{most}");
}

#[test]
fn the_comparisons_of_a_patch_grow_with_its_values_and_not_with_their_product() {
    let registry = Registry::new(&Policy::default());
    let reader = Reader::new(registry.resource_type("User").unwrap(), Leeway::default());
    let values = |from: usize| -> Vec<Value> {
        (from..from + 1_000).map(|n| json!({ "value": format!("{n:06}"), "type": "other" })).collect()
    };
    let spent = |operations: Value| {
        let body: Value = serde_json::from_str(&patch(&operations)).unwrap();
        let user = json!({ "userName": "bj", "ims": values(0) });
        let work = Work::default();
        let _too_many_values = Patch::parse(&reader, "u", &body).unwrap().apply(&attributes(&user), &work);
        work.spent()
    };
    let add = |values: Vec<Value>| json!([{ "op": "add", "path": "ims", "value": values }]);
    let remove = |values: Vec<Value>| json!([{ "op": "remove", "path": "ims", "value": values }]);
    for operations in [add(values(0)), add(values(5_000)), remove(values(0)), remove(values(5_000))] {
        let spent = spent(operations);
        assert!(spent < 1_000 * 4 * 80, "{spent}");
    }
}

#[tokio::test]
async fn operations_that_compare_too_much_are_413() {
    let client = Client::new().await;
    let user = client.post("/Users", &long_user().to_string()).await.path();
    let path = format!("photos[{}]", conditions("value", 600));
    let worst = patch(&json!([{ "op": "remove", "path": path }]));
    assert!(worst.len() < 16_000);
    assert_snapshot!(client.patch(&user, &worst).await, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the operations compare too many values: send them in several requests, or use shorter filters"}"#);
    // Many operations count together, those of a bulk request too.
    let path = format!("photos[{}]", conditions("value", 50));
    let operation = json!({ "op": "remove", "path": path });
    assert_eq!(client.patch(&user, &patch(&json!([operation]))).await.status, 200);
    assert_eq!(client.patch(&user, &patch(&json!(vec![&operation; 10]))).await.status, 413);
    let data: Value = serde_json::from_str(&patch(&json!([operation]))).unwrap();
    let operation = json!({ "method": "PATCH", "path": user, "data": data });
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": vec![operation; 10],
    });
    let answer = client.post("/Bulk", &bulk.to_string()).await;
    let statuses: Vec<&Value> =
        answer.body["Operations"].as_array().unwrap().iter().map(|operation| &operation["status"]).collect();
    assert_eq!((statuses[0], statuses[9]), (&json!("200"), &json!("413")), "{answer}");
}

#[tokio::test]
async fn a_filter_that_compares_too_much_is_too_many_and_pages_by_cursor() {
    let directory = Directory::new().await;
    let client = directory.client();
    for n in 0..3 {
        let mut user = long_user();
        user["userName"] = json!(format!("user{n}"));
        assert_eq!(client.post("/Users", &user.to_string()).await.status, 201);
    }
    let search = |filter: String, more: Value| {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": filter,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let filter = || conditions("photos.value", 150);
    let refused = client.post("/Users/.search", &search(filter(), json!({}))).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"tooMany","detail":"the filter compares too many values: use fewer conditions, or narrow it by eq on an indexed attribute"}"#);
    // RFC 9865: a page by cursor may be short, and the next one goes on from there.
    let mut cursor = json!("");
    let mut pages = 0;
    while let Some(text) = cursor.as_str() {
        let page = client.post("/Users/.search", &search(filter(), json!({ "cursor": text }))).await;
        assert_eq!((page.status, &page.body["itemsPerPage"]), (200, &json!(0)), "{page}");
        cursor = page.body["nextCursor"].clone();
        pages += 1;
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_filter_that_asks_for_too_many_memberships_is_too_many() {
    let client = Client::new().await;
    for n in 0..18 {
        client.post("/Groups", &json!({ "displayName": format!("g{n}") }).to_string()).await;
    }
    let members: Vec<String> = (0..560).map(|n| format!(r#"not (members eq "{n}")"#)).collect();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": members.join(" and "),
    });
    let refused = client.post("/Groups/.search", &body.to_string()).await;
    assert_eq!((refused.status, &refused.body["scimType"]), (400, &json!("tooMany")), "{refused}");
}

#[tokio::test]
async fn a_text_has_a_longest_length() {
    let client = Client::new().await;
    let user = |name: &str, title: usize| json!({ "userName": name, "title": "x".repeat(title) }).to_string();
    let longest = client.post("/Users", &user(&"n".repeat(4_096), 65_536)).await;
    assert_eq!(longest.status, 201);
    assert_snapshot!(client.post("/Users", &user("a", 65_537)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"title has 65537 bytes, the limit is 65536"}"#);
    assert_snapshot!(client.post("/Users", &user(&"n".repeat(4_097), 1)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"userName has 4097 bytes, the limit is 4096"}"#);
    let email = json!([{ "op": "add", "path": "emails", "value": [{ "value": "e".repeat(4_097) }] }]);
    assert_snapshot!(client.patch(&longest.path(), &patch(&email)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"emails.value has 4097 bytes, the limit is 4096"}"#);
}

#[tokio::test]
async fn a_repeated_attribute_is_shown_once_and_a_list_of_them_has_a_longest_text() {
    let client = Client::new().await;
    client.post("/Users", r#"{"userName":"bj"}"#).await;
    let search = |names: usize| {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "attributes": vec!["userName"; names],
        });
        body.to_string()
    };
    let answer = client.post("/Users/.search", &search(1_820)).await;
    assert_eq!(answer.body["Resources"][0]["userName"], "bj", "{answer}");
    assert_snapshot!(client.post("/Users/.search", &search(1_821)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"attributes and excludedAttributes have 16388 bytes, the limit is 16384"}"#);
}
