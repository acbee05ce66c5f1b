//! The whole table against itself: what its resources say has to be there is
//! there, once, and nothing else is. The keys are made here a second time, from
//! their description in `store/keys.rs` and not from its code.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use scim_lambda::scim::fold::fold;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::client::Directory;

type Item = HashMap<String, AttributeValue>;
type Key = (String, String);

/// What a resource has rows for: the partition's suffix, and attribute, sub-attribute,
/// whether its case counts.
const UNIQUE: [(&str, &str, Option<&str>, bool); 1] = [("userName", "userName", None, false)];
const LOOK_UP: [(&str, &str, Option<&str>, bool); 2] =
    [("externalId", "externalId", None, true), ("emails", "emails", Some("value"), false)];

/// Names and users one to one, look-up rows and resources, census and real
/// counts, digests, and no row of nobody. Returns how many users there are.
pub(crate) async fn check(directory: &Directory) -> usize {
    let items = read(directory).await;
    let findings = findings(&items);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    items.keys().filter(|(pk, _)| pk.ends_with("#User") && !pk.contains("#census#")).count()
}

/// Every item of the directory's table.
async fn read(directory: &Directory) -> BTreeMap<Key, Item> {
    let pages = directory.dynamodb().scan().table_name(directory.table()).consistent_read(true);
    let mut items = BTreeMap::new();
    let mut pages = pages.into_paginator().items().send();
    while let Some(item) = pages.next().await {
        let item = item.unwrap();
        items.insert((text(&item, "pk"), text(&item, "sk")), item);
    }
    items
}

fn findings(items: &BTreeMap<Key, Item>) -> Vec<String> {
    let mut wanted: BTreeMap<Key, Option<String>> = BTreeMap::new();
    let mut counters: BTreeMap<(Key, String), i64> = BTreeMap::new();
    let mut findings = Vec::new();
    for ((pk, sk), item) in items {
        let Some((tenant, "User")) = pk.split_once('#') else {
            continue;
        };
        let rows = rows(pk, sk, item);
        if text(item, "index_digest") != digest(&rows) {
            findings.push(format!("{pk} {sk}: the index digest is not that of its rows"));
        }
        for (key, owner) in rows {
            if let Some(other) = wanted.insert(key.clone(), owner) {
                findings.push(format!("{key:?} is owned by {other:?} and by {sk}"));
            }
        }
        let prefix = u16::from_str_radix(sk.get(..3).unwrap(), 16).unwrap();
        let row = (format!("{tenant}#census#User"), format!("{:02x}", prefix / 64));
        *counters.entry((row, format!("c{:02x}", prefix % 64))).or_default() += 1;
    }
    for (key, owner) in &wanted {
        match items.get(key) {
            None => findings.push(format!("{key:?} is missing")),
            Some(row) if row.get("owner") != owner.clone().map(AttributeValue::S).as_ref() => {
                findings.push(format!("{key:?} has the owner {:?}, not {owner:?}", row.get("owner")));
            }
            Some(_) => {}
        }
    }
    for (key, item) in items {
        let kind = key.0.split_once('#').map_or("", |(_, kind)| kind);
        match kind {
            "tenant" | "User" => {}
            "census#User" => {
                for (name, value) in item.iter().filter(|(name, _)| *name != "pk" && *name != "sk") {
                    let count: i64 = value.as_n().unwrap().parse().unwrap();
                    let real = counters.remove(&(key.clone(), name.clone())).unwrap_or_default();
                    if count != real {
                        findings.push(format!("{key:?} {name} counts {count}, there are {real}"));
                    }
                }
            }
            _ if wanted.contains_key(key) => {}
            _ => findings.push(format!("{key:?} belongs to nobody")),
        }
    }
    findings.extend(counters.keys().map(|counter| format!("{counter:?} is missing")));
    findings
}

/// The rows of a resource, and the owner in those that have one.
fn rows(pk: &str, id: &str, item: &Item) -> BTreeMap<Key, Option<String>> {
    let resource: Value = serde_dynamo::from_attribute_value(item["resource"].clone()).unwrap();
    let mut rows = BTreeMap::new();
    for (suffix, attribute, sub, exact) in UNIQUE {
        for value in values(&resource, attribute, sub) {
            rows.insert((format!("{pk}.{suffix}"), value_key(value, exact)), Some(id.to_owned()));
        }
    }
    for (suffix, attribute, sub, exact) in LOOK_UP {
        for value in values(&resource, attribute, sub) {
            rows.insert((format!("{pk}.{suffix}"), format!("{}#{id}", value_key(value, exact))), None);
        }
    }
    rows
}

fn values<'a>(resource: &'a Value, attribute: &str, sub: Option<&str>) -> Vec<&'a str> {
    let value = &resource[attribute];
    let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    elements
        .iter()
        .filter_map(|element| sub.map_or(element, |sub| &element[sub]).as_str())
        .filter(|value| !value.is_empty())
        .collect()
}

fn value_key(value: &str, exact: bool) -> String {
    let value = if exact { value.to_owned() } else { fold(value) };
    if value.len() <= 900 {
        return value;
    }
    let (beginning, _) = value.split_at(value.floor_char_boundary(900));
    format!("{beginning}~{}", hex(&Sha256::digest(&value)))
}

/// The unique rows and then the others, each in order.
pub(crate) fn digest(rows: &BTreeMap<Key, Option<String>>) -> String {
    let mut hash = Sha256::new();
    let (unique, look_up): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, owner)| owner.is_some());
    for ((pk, sk), _) in unique.into_iter().chain(look_up) {
        for part in [pk, sk] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

fn text(item: &Item, name: &str) -> String {
    item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_check_finds_what_is_missing_and_what_is_too_much() {
    let directory = Directory::new().await;
    let user = r#"{"userName":"Bo","externalId":"X","emails":[{"value":"bo@example.com"}]}"#;
    assert_eq!(directory.client().post("/Users", user).await.status, 201);
    let whole = read(&directory).await;
    assert_eq!(findings(&whole), Vec::<String>::new());
    for key in whole.keys().filter(|(pk, _)| pk != "demo#tenant") {
        let mut rest = whole.clone();
        let item = rest.remove(key).unwrap();
        assert!(!findings(&rest).is_empty(), "{key:?} is not missed");
        rest = whole.clone();
        rest.insert((key.0.clone(), format!("0{}", key.1)), item);
        assert!(!findings(&rest).is_empty(), "a second {key:?} is not found");
    }
}
