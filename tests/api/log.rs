//! The line that each request leaves in the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::Value;

use crate::client::Directory;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_explained_request_says_its_plan_and_cost_and_no_value() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.explain = true;
    let client = directory.client_with(config);
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, whichever thread logs first decides for all
    // whether a line is wanted, and the threads of other tests want none.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(subscriber);
    let user =
        r#"{"userName":"sarah.jones","emails":[{"value":"sarah@example.com"}],"password":"t1meMa$heen"}"#;
    let created = client.post("/Users", user).await;
    client.get(&created.path()).await;
    client.get("/Users?filter=userName+eq+%22sarah.jones%22").await;
    client.get("/Users?filter=emails+eq+%22sarah%40example.com%22+or+id+eq+%22sarah%22").await;
    client.get("/Users?filter=title+pr").await;
    client.get("/Users").await;
    drop(guard);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for private in ["sarah", "t1meMa", "0000000000000000", "filter="] {
        assert!(!text.contains(private), "{private} in {text}");
    }
    let mut shown = String::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let line = line.as_object_mut().unwrap();
        assert!(line.shift_remove("duration_ms").unwrap().is_u64());
        shown.push_str(&serde_json::to_string(line).unwrap());
        shown.push('\n');
    }
    assert_snapshot!(shown, @r#"
    {"level":"INFO","message":"request","request_id":"","method":"POST","path":"/scim/v2/Users","status":201,"dynamodb_calls":2,"items_read":2,"read_units":2.0,"write_units":9.0}
    {"level":"INFO","message":"request","request_id":"","method":"GET","path":"/scim/v2/Users/00000000-0000-4000-8000-000000000001","status":200,"dynamodb_calls":2,"items_read":1,"read_units":1.5,"write_units":0.0}
    {"level":"INFO","message":"request","request_id":"","method":"GET","path":"/scim/v2/Users","status":200,"dynamodb_calls":2,"plan":"userName","items_read":2,"read_units":2.0,"write_units":0.0}
    {"level":"INFO","message":"request","request_id":"","method":"GET","path":"/scim/v2/Users","status":200,"dynamodb_calls":2,"plan":"emails.value or id","items_read":2,"read_units":2.0,"write_units":0.0}
    {"level":"INFO","message":"request","request_id":"","method":"GET","path":"/scim/v2/Users","status":200,"dynamodb_calls":4,"plan":"scan","items_read":1,"read_units":2.0,"write_units":0.0}
    {"level":"INFO","message":"request","request_id":"","method":"GET","path":"/scim/v2/Users","status":200,"dynamodb_calls":2,"items_read":2,"read_units":1.0,"write_units":0.0}
    "#);
}
