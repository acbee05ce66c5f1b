//! Events of API Gateway, one in each file of `events/`, and their answers in `snapshots/`. Adding
//! a case needs no Rust.

use std::fmt::Write;

use serde_json::Value;
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::{Directory, NextId};

/// The user in the directory before each event, in version 1.
const BJENSEN: &str = include_str!("bjensen.json");
const BJENSEN_ID: Uuid = Uuid::from_u128(0x2819c223_7f76_453a_919d_413861904646);

/// The other resources in the directory before an event whose file is named for a group or a
/// member, each in version 1. One is the group Tour Guides with its member bjensen.
const TOUR_GUIDES: &str = include_str!("tour_guides.json");
const TOUR_GUIDES_PATH: &str = "/Groups/e9e30dba-f08f-4109-8486-d5c6a331660a";

/// The headers of an answer that are shown.
const HEADERS: [&str; 7] =
    ["content-type", "location", "etag", "preference-applied", "allow", "www-authenticate", "retry-after"];

#[test]
fn every_event_has_its_answer() {
    insta::glob!("../../events", "**/*.json", |path| {
        let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // EventBridge takes no answer: see `Client::sweep`.
        if name == "sweep" {
            return;
        }
        insta::with_settings!({ description => request_line(&event), omit_expression => true }, {
            insta::assert_snapshot!(if name.contains("bulk") {
                answer_to_bulk(event)
            } else if ["group", "member"].iter().any(|word| name.contains(word)) {
                answer_about_groups(event)
            } else {
                answer(event)
            });
        });
    });
}

/// Returns the answer of a directory of its own, because events change it.
#[tokio::main(flavor = "current_thread")]
async fn answer(event: Value) -> String {
    show(&with_bjensen().await.0.send(event).await)
}

/// Returns the answer, and the resources that exist afterwards.
#[tokio::main(flavor = "current_thread")]
async fn answer_to_bulk(event: Value) -> String {
    let (client, _) = with_bjensen().await;
    let answer = show(&client.send(event).await);
    let afterwards = client.get("/?attributes=userName,displayName,members,manager").await;
    format!("{answer}\n\nGET /?attributes=userName,displayName,members,manager\n\n{}", show(&afterwards))
}

/// Returns the answer, and the group afterwards where the answer does not show it.
#[tokio::main(flavor = "current_thread")]
async fn answer_about_groups(event: Value) -> String {
    let (client, next_id) = with_bjensen().await;
    for resource in serde_json::from_str::<Vec<Value>>(TOUR_GUIDES).unwrap() {
        let id = resource["id"].as_str().unwrap();
        *next_id.lock().unwrap() = Some(id.parse().unwrap());
        let created = client.post(resource["path"].as_str().unwrap(), &resource["body"].to_string()).await;
        assert_eq!((created.status, created.id()), (201, id), "{created}");
    }
    let line = request_line(&event);
    let answer = client.send(event).await;
    if line.starts_with("GET") || line.starts_with("POST") {
        return show(&answer);
    }
    let afterwards = client.get(TOUR_GUIDES_PATH).await;
    format!("{}\n\nGET {TOUR_GUIDES_PATH}\n\n{}", show(&answer), show(&afterwards))
}

/// Returns a client of a directory with bjensen, and the place for the id of the next resource.
async fn with_bjensen() -> (Client, NextId) {
    let next_id = NextId::default();
    let client = Directory::with_next_id(&next_id).await.client();
    *next_id.lock().unwrap() = Some(BJENSEN_ID);
    let bjensen = client.post("/Users", BJENSEN).await;
    assert_eq!((bjensen.status, bjensen.id()), (201, BJENSEN_ID.to_string().as_str()));
    (client, next_id)
}

fn request_line(event: &Value) -> String {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
    let method = text("/httpMethod").or(text("/requestContext/http/method")).unwrap_or("?");
    let path = text("/rawPath").or(text("/requestContext/path")).or(text("/path")).unwrap_or("?");
    format!("{method} {path}")
}

fn show(answer: &Answer) -> String {
    let mut text = answer.status.to_string();
    for name in HEADERS {
        for value in answer.headers.get_all(name) {
            write!(text, "\n{name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    if !answer.body.is_null() {
        write!(text, "\n\n{:#}", answer.body).unwrap();
    }
    text
}
