//! What must hold in the table at all times, whoever died or lost a race:
//! names and users one to one, look-up rows and values one to one, the census
//! as many as there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use scim_lambda::scim::fold::fold;
use serde_json::{Map, Value};

use crate::client::Directory;

type Item = HashMap<String, AttributeValue>;

/// Panics with what does not hold; else returns how many users there are.
pub(crate) async fn check(directory: &Directory) -> usize {
    let mut partitions: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for item in everything(directory).await {
        partitions.entry(text(&item, "pk").to_owned()).or_default().push(item);
    }
    let users = partitions.remove("demo#User").unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut rows = BTreeSet::new();
    let mut census: BTreeMap<String, u64> = BTreeMap::new();
    for user in &users {
        let id = text(user, "sk");
        let resource: Map<String, Value> =
            serde_dynamo::from_attribute_value(user["resource"].clone()).unwrap();
        names.insert(format!("{} -> {id}", fold(resource["userName"].as_str().unwrap())));
        if let Some(external) = resource.get("externalId") {
            rows.insert(format!("demo#User.externalId {}#{id}", external.as_str().unwrap()));
        }
        for email in resource.get("emails").and_then(Value::as_array).into_iter().flatten() {
            rows.insert(format!("demo#User.emails {}#{id}", fold(email["value"].as_str().unwrap())));
        }
        let prefix = u16::from_str_radix(id.get(..3).unwrap(), 16).unwrap();
        *census.entry(format!("{:02x} c{:02x}", prefix / 64, prefix % 64)).or_default() += 1;
    }
    assert_eq!(names.len(), users.len(), "two users have one name");

    let owners = partitions.remove("demo#User.userName").unwrap_or_default();
    let owned: BTreeSet<String> =
        owners.iter().map(|row| format!("{} -> {}", text(row, "sk"), text(row, "owner"))).collect();
    assert_eq!(owned, names, "rows of names against users");

    let mut found = BTreeSet::new();
    let mut counted = BTreeMap::new();
    for (pk, items) in partitions {
        for item in items {
            match pk.as_str() {
                "demo#tenant" => {}
                "demo#census#User" => {
                    for (name, count) in
                        item.iter().filter(|(name, _)| !["pk", "sk"].contains(&name.as_str()))
                    {
                        let count: u64 = count.as_n().unwrap().parse().unwrap();
                        counted.insert(format!("{} {name}", text(&item, "sk")), count);
                    }
                }
                _ => assert!(found.insert(format!("{pk} {}", text(&item, "sk")))),
            }
        }
    }
    assert_eq!(found, rows, "look-up rows against values");
    counted.retain(|_, count| *count != 0);
    assert_eq!(counted, census, "census against users");
    users.len()
}

async fn everything(directory: &Directory) -> Vec<Item> {
    let dynamodb = directory.dynamodb();
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let page = dynamodb
            .scan()
            .table_name(directory.table())
            .set_exclusive_start_key(start)
            .send()
            .await
            .unwrap();
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if start.is_none() {
            return items;
        }
    }
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item[name].as_s().unwrap()
}
