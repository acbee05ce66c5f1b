//! Fills a table in a moment, without the handler, as if its users and groups had been created.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use dynoxide::{AttributeValue, ImportOptions};
use serde_json::{Map, Value, json};

use crate::support::consistency::{check, digest, read, stripe};
use crate::support::directory::Directory;

/// Puts items into the table: all at once in an emulator, elsewhere in batches of 25.
pub(crate) async fn put(directory: &Directory, items: Vec<Value>) {
    if let Some(emulator) = directory.emulator.clone() {
        let table = directory.table().to_owned();
        let import = move || {
            let items = items.iter().map(|item| members(item.as_object().unwrap())).collect();
            emulator.import_items(&table, items, ImportOptions::default()).unwrap()
        };
        tokio::task::spawn_blocking(import).await.unwrap();
        return;
    }
    let dynamodb = directory.dynamodb();
    for batch in items.chunks(25) {
        let puts = batch.iter().map(|item| {
            let item = serde_dynamo::to_item(item).unwrap();
            WriteRequest::builder()
                .put_request(PutRequest::builder().set_item(Some(item)).build().unwrap())
                .build()
        });
        dynamodb.batch_write_item().request_items(directory.table(), puts.collect()).send().await.unwrap();
    }
}

fn members(object: &Map<String, Value>) -> HashMap<String, AttributeValue> {
    object.iter().map(|(name, value)| (name.clone(), attribute_value(value))).collect()
}

fn attribute_value(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::NULL(true),
        Value::Bool(value) => AttributeValue::BOOL(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(elements) => AttributeValue::L(elements.iter().map(attribute_value).collect()),
        Value::Object(object) => AttributeValue::M(members(object)),
    }
}

/// Adds users with a name and an e-mail. Their ids are spread over all prefixes, as random ones
/// are.
pub(crate) async fn fill(directory: &Directory, users: u32) {
    let mut items = Vec::new();
    let mut census: BTreeMap<u32, Map<String, Value>> = BTreeMap::new();
    for n in 0..users {
        let spread = n.wrapping_mul(0x9E37_79B9);
        let row = census.entry(spread >> 24).or_default();
        let counter = row.entry(format!("c{:x}", spread >> 20 & 15)).or_insert(0.into());
        *counter = (counter.as_u64().unwrap() + 1).into();
        items.extend(filler(n, &format!("{spread:08x}-0000-4000-8000-{n:012x}")));
    }
    items.extend(census.into_iter().map(|(row, mut counters)| {
        counters.insert("pk".to_owned(), "demo#census#User".into());
        counters.insert("sk".to_owned(), format!("{row:02x}").into());
        counters.into()
    }));
    put(directory, items).await;
}

/// Returns the item of a user and its rows.
pub(crate) fn filler(n: u32, id: &str) -> [Value; 3] {
    let name = format!("filler{n}@example.com");
    let unique = ("demo#User.userName".to_owned(), name.clone());
    let look_up = ("demo#User.emails".to_owned(), format!("{name}#{id}"));
    let rows = [(unique.clone(), Some(id.to_owned())), (look_up.clone(), None)];
    let item = json!({
        "pk": "demo#User", "sk": id, "version": 1, "write_id": "-",
        "index_digest": digest(&BTreeMap::from(rows)),
        "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
        "change_pk": format!("demo#changed#User#{}", stripe(id)), "hour": "2026-01-01T00",
        "resource": {
            "userName": name, "active": true,
            "name": { "familyName": "Filler", "givenName": n.to_string() },
            "emails": [{ "value": name, "type": "work", "primary": true }],
        },
    });
    [
        item,
        json!({ "pk": unique.0, "sk": unique.1, "owner": id }),
        json!({ "pk": look_up.0, "sk": look_up.1 }),
    ]
}

/// Adds users, and returns their ids in order.
pub(crate) async fn populate(directory: &Directory, users: u32) -> Vec<String> {
    fill(directory, users).await;
    let items = read(directory).await.into_keys();
    items.filter(|(pk, _)| pk == "demo#User").map(|(_, id)| id).collect()
}

pub(crate) const GROUP: &str = "00000000-0000-4000-9000-000000000000";

/// Adds the group [`GROUP`] with so many members, whose users do not exist.
pub(crate) async fn fill_group(directory: &Directory, members: usize) {
    let row = ("demo#Group.displayName".to_owned(), "all".to_owned());
    let index_digest = digest(&BTreeMap::from([(row.clone(), Some(GROUP.to_owned()))]));
    let mut items = vec![
        json!({
            "pk": "demo#Group", "sk": GROUP, "version": 1, "write_id": "-", "index_digest": index_digest,
            "created": "2026-01-31T09:00:00Z", "modified": "2026-01-31T09:00:00Z",
            "change_pk": "demo#changed#Group#0", "hour": "2026-01-31T09", "resource": { "displayName": "All" },
            "roster": { "members": members, "epoch": 0 },
        }),
        json!({ "pk": row.0, "sk": row.1, "owner": GROUP }),
        json!({ "pk": "demo#census#Group", "sk": "00", "c0": 1 }),
    ];
    items.extend((0..members).map(|n| {
        let id = format!("{:08x}-0000-4000-8000-{n:012x}", n.wrapping_mul(0x9E37_79B9) & 0xFFFF_FFFF);
        json!({
            "pk": format!("demo#Group#{GROUP}"), "sk": id, "type": "User",
            "member_pk": format!("demo#member#{id}"),
        })
    }));
    put(directory, items).await;
}

#[tokio::test]
async fn a_filled_directory_is_as_if_its_users_had_been_created() {
    let directory = Directory::spread().await;
    fill(&directory, 1_000).await;
    assert_eq!(check(&directory).await, 1_000);
    let client = directory.client();
    let found = client.find(r#"emails.value eq "filler7@example.com""#).await;
    assert_eq!(found.list("userName"), "filler7@example.com");
    let path = format!("/Users/{}", found.list("id"));
    let renamed = client.put(&path, r#"{"userName":"bo"}"#).await;
    assert_eq!(renamed.status, 200, "{renamed}");
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get("/Users?count=0").await.body["totalResults"], 999);
    assert_eq!(check(&directory).await, 999);
}
