//! Every file of `events/` is a whole event of API Gateway, and its answer is a
//! file of `snapshots/`. Adding a case needs no Rust.

use std::fmt::Write;

use serde_json::Value;
use uuid::Uuid;

use crate::client::{Answer, Directory};

/// The user who is in the directory before each event, in version 1.
const BJENSEN: &str = include_str!("bjensen.json");
const BJENSEN_ID: Uuid = Uuid::from_u128(0x2819c223_7f76_453a_919d_413861904646);

/// What an answer says besides its body.
const HEADERS: [&str; 7] =
    ["content-type", "location", "etag", "preference-applied", "allow", "www-authenticate", "retry-after"];

#[test]
fn every_event_has_its_answer() {
    insta::glob!("../../events", "**/*.json", |path| {
        let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        insta::with_settings!({ description => request_line(&event), omit_expression => true }, {
            insta::assert_snapshot!(answer(event));
        });
    });
}

/// From a directory of its own: events change it.
#[tokio::main(flavor = "current_thread")]
async fn answer(event: Value) -> String {
    let client = Directory::with_first_id(BJENSEN_ID).await.client();
    let bjensen = client.post("/Users", BJENSEN).await;
    assert_eq!((bjensen.status, bjensen.id()), (201, BJENSEN_ID.to_string().as_str()));
    show(&client.send(event).await)
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
