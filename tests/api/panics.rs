//! Fuzz targets: no input makes the handler panic, which would end the sandbox. `cargo test` runs
//! each target a number of times, and its corpus. `.ci/fuzz 600 panics::<target>` runs one for ten
//! minutes, guided by coverage.

use std::panic::AssertUnwindSafe;

use bolero::check;
use scim_lambda::lambda::Event;
use scim_lambda::scim::bulk::Bulk;
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::etag::{self, Etag, Precondition, Version};
use scim_lambda::scim::filter::Filter;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::json;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::patch::path::Path;
use scim_lambda::scim::policy::{Interpretation, Policy};
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::scim::resource::Resource;
use scim_lambda::scim::work::Work;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::answer::Answer;
use crate::support::directory::{Directory, TOKEN};

/// Words that lead a text past the first rule of the grammar. A byte without a word stands for
/// itself.
const WORDS: [&str; 64] = [
    "userName",
    "name",
    "emails",
    "manager",
    "meta.lastModified",
    "groups",
    "password",
    "id",
    ".value",
    ".type",
    "[type eq \"work\"]",
    "[",
    "]",
    "(",
    ")",
    "not",
    "and",
    "or",
    " ",
    " ",
    "eq",
    "ne",
    "co",
    "gt",
    "pr",
    "\"work\"",
    "\"\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800",
    "\"",
    "true",
    "null",
    "1e999",
    "-0.5",
    "18446744073709551616",
    "\"2026-01-31T09:00:00Z\"",
    "\"+99999-01-01T00:00:00-25:00\"",
    "urn:ietf:params:scim:schemas:core:2.0:User:",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    ":",
    ".",
    "$ref",
    "é",
    "\u{FF21}",
    "ς",
    "\u{0}",
    "%",
    "%2B",
    "%ff",
    "+",
    "&",
    "=",
    "/",
    "Users",
    "Schemas",
    "ResourceTypes",
    ".search",
    "filter=",
    "attributes=",
    "startIndex=",
    "count=",
    "sortBy=",
    "cursor=",
    ",",
];

fn text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| {
            WORDS.get(usize::from(byte)).map_or_else(|| char::from(byte).to_string(), |&word| word.to_owned())
        })
        .collect()
}

/// Names in bodies.
const NAMES: [&str; 24] = [
    "schemas",
    "Operations",
    "op",
    "path",
    "value",
    "userName",
    "USERNAME",
    "name",
    "name.givenName",
    "emails",
    "emails.value",
    "type",
    "primary",
    "active",
    "id",
    "groups",
    "password",
    "x509Certificates",
    "roles",
    "filter",
    "count",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "",
];
const TEXTS: [&str; 8] = [
    "emails",
    "bj",
    "work",
    "",
    "True",
    "2026-01-31T09:00:00Z",
    "\u{FF21}ς",
    "urn:ietf:params:scim:api:messages:2.0:PatchOp",
];
const OPS: [&str; 3] = ["add", "Remove", "replace"];
const PATHS: [&str; 16] = [
    "emails",
    "emails[type eq \"work\"].value",
    "emails[type eq \"work\"]",
    "emails[primary eq true].primary",
    "emails.type",
    "emails[not (value eq \"bj\") or display pr]",
    "name",
    "name.familyName",
    "active",
    "userName",
    "roles",
    "x509Certificates",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "externalId",
    "password",
];

/// Derives a JSON value from bytes. Few bytes make a small value.
fn json_of(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> Value {
    let Some(byte) = bytes.next() else {
        return Value::Null;
    };
    let many = usize::from(byte / 16) % 4;
    match byte % 16 {
        0 => Value::Null,
        1 => true.into(),
        2 => (u64::from(byte) << 56).into(),
        3 => (-f64::from(byte) * 1e300).into(),
        4 | 5 if depth < 20 => (0..many).map(|_| json_of(bytes, depth + 1)).collect(),
        6..=9 if depth < 20 => {
            let members = (0..many).map(|_| {
                let name = NAMES[usize::from(bytes.next().unwrap_or_default()) % NAMES.len()];
                (name.to_owned(), json_of(bytes, depth + 1))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        10 => text(&bytes.take(8).collect::<Vec<_>>()).into(),
        _ => TEXTS[usize::from(byte / 16) % TEXTS.len()].into(),
    }
}

/// Derives a body from bytes: almost a PATCH, almost a user, or anything.
fn body(bytes: &[u8]) -> String {
    let mut rest = bytes.iter().copied();
    match rest.next().unwrap_or_default() % 4 {
        0 => {
            let mut operations = Vec::new();
            while rest.len() > 0 {
                let shape = usize::from(rest.next().unwrap_or_default());
                let path = match shape / 3 % 20 {
                    0 => json!(text(&rest.by_ref().take(4).collect::<Vec<_>>())),
                    1 | 2 => Value::Null,
                    known => PATHS[known % PATHS.len()].into(),
                };
                operations
                    .push(json!({ "op": OPS[shape % 3], "path": path, "value": json_of(&mut rest, 0) }));
            }
            json!({ "Operations": operations }).to_string()
        }
        1 => {
            let mut user = json_of(&mut rest, 0);
            if let Value::Object(members) = &mut user {
                members.insert("userName".to_owned(), text(bytes).into());
            }
            user.to_string()
        }
        2 => json_of(&mut rest, 0).to_string(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[test]
fn filters() {
    let registry = Registry::new(&Policy::default());
    let kind = registry.resource_type("User").unwrap();
    let time = "2026-01-31T09:00:00Z".parse().unwrap();
    let user = json!({
        "userName": "bj", "active": true, "name": { "givenName": "Barbara" },
        "emails": [{ "value": "bj", "type": "work", "primary": true }, { "value": "other" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": "ann" } },
    });
    let user = Resource {
        id: "id".to_owned(),
        version: Version::FIRST,
        created: time,
        last_modified: time,
        attributes: user.as_object().unwrap().clone(),
        derived: None,
        members: 0,
    };
    check!().with_iterations(5_000).with_type::<Vec<u8>>().for_each(|bytes| {
        for text in [text(bytes), String::from_utf8_lossy(bytes).into_owned()] {
            if let Ok(filter) = text.parse::<Filter>() {
                assert_eq!(filter.to_string().parse(), Ok(filter.clone()));
                if let Ok(matcher) = Matcher::new(&filter, kind) {
                    assert!(matcher.matches(&user, &Work::default()).is_ok());
                }
            }
        }
    });
}

#[test]
fn paths() {
    let policy = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    let registry = Registry::new(&policy);
    let kind = registry.resource_type("User").unwrap();
    check!().with_iterations(5_000).with_type::<Vec<u8>>().for_each(|bytes| {
        for path in [text(bytes), String::from_utf8_lossy(bytes).into_owned()] {
            if let Ok(parsed) = path.parse::<Path>() {
                assert_eq!(parsed.to_string().parse(), Ok(parsed));
            }
            for policy in [&policy, &Policy::default()] {
                let operation = json!({ "op": "add", "path": path, "value": "x" });
                let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] });
                if let Ok(patch) = Patch::parse(&Reader::new(kind, Leeway::of(policy)), "id", &body) {
                    drop(patch.apply(&Map::new(), &Work::default()));
                }
            }
        }
    });
}

/// Returns true if a value holds no `null`, `[]` or `{}`, which attributes never do.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty() && elements.iter().all(is_storable),
        Value::Object(members) => !members.is_empty() && members.values().all(is_storable),
        _ => true,
    }
}

#[test]
fn patches() {
    let registry = Registry::new(&Policy::default());
    let kind = registry.resource_type("User").unwrap();
    let reader = Reader::new(kind, Leeway::default());
    let user =
        json!({ "userName": "bj", "emails": [{ "value": "bj", "type": "work" }, { "value": "other" }] });
    let user = user.as_object().unwrap();
    check!().with_iterations(2_000).with_type::<Vec<u8>>().for_each(|bytes| {
        let operations: Vec<u8> = std::iter::once(0).chain(bytes.iter().copied()).collect();
        for text in [body(&operations), String::from_utf8_lossy(bytes).into_owned()] {
            let Ok(value) = json::parse(text.as_bytes()) else { continue };
            let Ok(patch) = Patch::parse(&reader, "id", &value) else { continue };
            let after = patch.apply(user, &Work::default());
            let after = Value::Object(after.ok().flatten().unwrap_or_else(|| user.clone()));
            assert!(is_storable(&after), "{text} {after}");
        }
    });
}

#[test]
fn definitions() {
    check!().with_iterations(2_000).with_type::<Vec<u8>>().for_each(|bytes| {
        let mut rest = bytes.iter().copied();
        let document = json!({
            "schemas": [{ "id": "urn:x", "name": "X", "attributes": json_of(&mut rest, 0) }],
            "resourceTypes": [{ "name": "X", "endpoint": "/Xs", "schema": "urn:x", "lookUpMany": json_of(&mut rest, 0) }],
            "roles": [{ "value": text(bytes) }],
        });
        for text in [document.to_string(), String::from_utf8_lossy(bytes).into_owned()] {
            if let Ok(definitions) = Definitions::parse(&text) {
                drop(Registry::with(&Policy::default(), &definitions));
            }
        }
    });
}

#[test]
fn bulk_bodies() {
    check!().with_iterations(2_000).with_type::<Vec<u8>>().for_each(|bytes| {
        let mut rest = bytes.iter().copied();
        let operation =
            json!({ "method": "POST", "path": text(bytes), "bulkId": "a", "data": json_of(&mut rest, 0) });
        let body = json!({ "Operations": [operation, json_of(&mut rest, 0)] });
        for text in [body.to_string(), String::from_utf8_lossy(bytes).into_owned()] {
            let Ok(value) = json::parse(text.as_bytes()) else { continue };
            if let Ok(bulk) = Bulk::parse(&value, Leeway::default(), 1_000) {
                assert!(bulk.creators().len() <= bulk.operations.len());
            }
        }
    });
}

#[test]
fn preconditions() {
    check!().with_iterations(2_000).with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(first, second)| {
        let (first, second) = (String::from_utf8_lossy(first), String::from_utf8_lossy(second));
        // A header that is sent is never ignored.
        let parsed = Precondition::parse([first.as_ref()], None);
        assert!(parsed != Ok(Precondition::Exists) || first.contains('*'), "{first}");
        drop(Precondition::parse([first.as_ref(), second.as_ref()], [second.as_ref()]));
        etag::is_known([first.as_ref()], Etag { version: Version::FIRST, derived: None });
    });
}

/// The bytes of a method, path, query, header and body.
type Parts = (u8, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

#[test]
fn requests() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(async { Directory::new().await.client() });
    let user =
        runtime.block_on(client.post("/Users", r#"{"userName":"bj","emails":[{"value":"a"}]}"#)).path();
    let handler = AssertUnwindSafe((runtime, client));
    check!().with_iterations(400).with_type::<Parts>().for_each(move |parts| {
        let (runtime, client) = &*handler;
        let answer = runtime.block_on(client.send(event(parts, &user)));
        assert_ne!(answer.status, 500, "{parts:?}");
    });
}

fn event((shape, path, query, header, body_bytes): &Parts, user: &str) -> Value {
    const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "PATCH", "DELETE"];
    const HEADERS: [&str; 6] = ["accept", "if-match", "if-none-match", "host", "prefer", "content-type"];
    let method = METHODS[usize::from(*shape) % METHODS.len()];
    let path = match shape / 6 % 8 {
        0 => format!("/scim/v2/{}", text(path)),
        // The user must not be deleted: later requests need it.
        _ if method == "DELETE" => "/scim/v2/Users/none".to_owned(),
        _ if method == "POST" => "/scim/v2/Users".to_owned(),
        1 => "/scim/v2/Users".to_owned(),
        _ => format!("/scim/v2{user}"),
    };
    let header_name = HEADERS[header.len() / 4 % HEADERS.len()];
    let header_value: String = text(header).chars().filter(|c| (' '..='~').contains(c)).collect();
    let mut headers = json!({ "authorization": format!("Bearer {TOKEN}") });
    headers[header_name] = header_value.into();
    let query = match query.len() % 4 {
        0 => String::new(),
        1 => format!("filter={}", text(query)),
        2 => format!("sortBy={}&attributes={}", PATHS[query.len() % PATHS.len()], text(query)),
        _ => text(query),
    };
    let body = body(body_bytes);
    if shape % 2 == 0 {
        json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers, "body": body,
            "requestContext": { "stage": "$default", "http": { "method": method } }, "isBase64Encoded": body_bytes.len() % 16 == 15,
        })
    } else {
        let parameters: Map<String, Value> = query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({
            "httpMethod": method, "path": path, "queryStringParameters": parameters, "headers": headers, "body": body,
            "requestContext": { "stage": "prod", "httpMethod": method }, "isBase64Encoded": false,
        })
    }
}

#[test]
fn events() {
    check!().with_iterations(2_000).with_type::<Vec<u8>>().for_each(|bytes| {
        for text in [body(bytes), String::from_utf8_lossy(bytes).into_owned()] {
            // Lambda passes nothing but JSON.
            if let Ok(event) = serde_json::from_str::<Value>(&text) {
                assert!(serde_json::from_value::<Event>(event).is_ok(), "{text}");
                assert!(serde_json::from_str::<Event>(&text).is_ok(), "{text}");
            }
        }
    });
}

/// Input that would be too deep for the stack is refused by a limit: 128 in `serde_json`, 64 in a
/// filter.
#[test]
fn depth() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(async { Directory::new().await.client() });
    let user = runtime.block_on(client.post("/Users", r#"{"userName":"bj"}"#)).path();
    let status = |answer: Answer| answer.status;
    for depth in [60, 126, 100_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}1{}", r#"{"name":"#.repeat(depth), "}".repeat(depth));
        for body in [arrays, objects] {
            assert_eq!(runtime.block_on(async { status(client.post("/Users", &body).await) }), 400);
            let patch = format!(r#"{{"Operations":[{{"op":"add","path":"emails","value":{body}}}]}}"#);
            assert!(
                [200, 400].contains(&runtime.block_on(async { status(client.patch(&user, &patch).await) }))
            );
        }
        let groups = format!("{}a pr{}", "(".repeat(depth.min(4_000)), ")".repeat(depth.min(4_000)));
        let patch = json!({ "Operations": [{ "op": "remove", "path": format!("emails[{groups}]") }] });
        assert_eq!(runtime.block_on(async { status(client.patch(&user, &patch.to_string()).await) }), 400);
    }
}
