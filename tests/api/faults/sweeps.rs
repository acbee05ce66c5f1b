//! A sweep goes on after a tenant or a job that fails, says which, and never calls a partial pass
//! healthy.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use scim_lambda::config::Config;
use scim_lambda::scim::policy::Policy;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::recording::Recording;

const TENANTS: [&str; 3] = ["alpha", "demo", "zulu"];

/// Returns a directory of three tenants, each with a job that is due.
async fn with_jobs() -> Directory {
    let directory = Directory::new().await;
    for tenant in TENANTS {
        if tenant != "demo" {
            directory.add_tenant(tenant, Policy::default()).await;
        }
        put(&directory, &job(tenant)).await;
    }
    directory
}

/// Returns the job of a deletion, in a stripe of its own for each tenant.
fn job(tenant: &str) -> Value {
    let stripe = TENANTS.iter().position(|name| *name == tenant).unwrap();
    let key = format!("left#{stripe}0000000-0000-4000-8000-000000000001");
    let due = "2026-01-01T00:00:00Z";
    json!({
        "pk": format!("{tenant}#job"), "sk": key, "type": "User", "due": due, "change_pk": format!("#due#{stripe}"), "hour": due,
    })
}

/// Writes an item of strings and numbers.
async fn put(directory: &Directory, item: &Value) {
    let mut put = directory.dynamodb().put_item().table_name(directory.table());
    for (name, value) in item.as_object().unwrap() {
        let value = match value {
            Value::String(text) => AttributeValue::S(text.clone()),
            number => AttributeValue::N(number.to_string()),
        };
        put = put.item(name, value);
    }
    put.send().await.unwrap();
}

/// Sweeps, and returns the result, the line of the sweep and the lines before it.
async fn swept(client: &Client) -> (Value, Value, String) {
    let recording = Recording::new();
    let swept = client.sweep().await;
    let text = recording.text();
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let line: Value = serde_json::from_str(last).unwrap();
    assert_eq!(line["message"], "sweep");
    assert_eq!((&line["sweep_errors"], &line["complete"]), (&swept["errors"], &swept["complete"]));
    (swept, line, before.to_owned())
}

#[tokio::test]
async fn a_broken_job_is_named_and_the_others_are_done() {
    for (member, value) in [
        ("due", Value::Null),
        ("due", json!(5)),
        ("due", json!("soon")),
        ("due", json!("")),
        ("type", Value::Null),
        ("type", json!(5)),
    ] {
        let directory = with_jobs().await;
        let mut broken = job("alpha");
        broken["sk"] = "left#broken".into();
        broken[member] = value.clone();
        broken.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        put(&directory, &broken).await;
        let (swept, _, lines) = swept(&directory.client()).await;
        let expected = json!({ "tenants": 3, "done": 3, "left": 0, "errors": 1, "complete": false });
        assert_eq!(swept, expected, "{member} {value}");
        let line: Value = serde_json::from_str(&lines).unwrap();
        let named = (&line["level"], &line["tenant"], &line["job"]);
        assert_eq!(named, (&json!("ERROR"), &json!("alpha"), &json!("left#broken")), "{line}");
    }
}

#[tokio::test]
async fn a_broken_tenant_is_named_and_the_others_are_done() {
    for (member, value) in [("created", json!(5)), ("definitions", json!("{")), ("policy", json!("odd"))] {
        let directory = with_jobs().await;
        let mut record = json!({ "pk": "alpha#tenant", "sk": "!", "created": "2026-01-01T00:00:00Z" });
        record[member] = value;
        put(&directory, &record).await;
        let (swept, _, lines) = swept(&directory.client()).await;
        let expected = json!({ "tenants": 3, "done": 2, "left": 0, "errors": 1, "complete": false });
        assert_eq!(swept, expected, "{member}: {lines}");
        assert!(lines.contains("\"tenant\":\"alpha\""), "{lines}");
    }
}

#[tokio::test]
async fn whichever_call_fails_the_jobs_of_the_others_are_done() {
    let undisturbed = with_jobs().await.client();
    undisturbed.sweep().await;
    let calls = undisturbed.faults.calls().len();
    assert!(calls > 9, "{calls}");
    for n in 1..=calls {
        let directory = with_jobs().await;
        let client = directory.client();
        let denied =
            json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": "denied" });
        client.faults.on_nth_call(n, Fault::Answer(400, denied));
        let (result, line, lines) = swept(&client).await;
        assert_eq!(result["errors"], 1, "{n}: {result} {lines}");
        assert!(result["done"].as_u64() >= Some(2), "{n}: {result}");
        let is_named = |name: &&str| lines.contains(&format!("\"tenant\":\"{name}\""));
        let is_index = lines.contains("could not read");
        assert!(is_index || TENANTS.iter().any(is_named), "{n}: {lines}");
        let is_old = line["oldest_job_seconds"].as_i64() > Some(86_400);
        assert_eq!(is_old, result["done"] == 2, "{n}: {line}");
        let (again, line, _) = swept(&directory.client()).await;
        let healthy = (&again["errors"], &again["left"], &line["oldest_job_seconds"]);
        assert_eq!(healthy, (&json!(0), &json!(0), &json!(0)));
    }
}

#[tokio::test]
async fn a_sweep_without_enough_time_is_partial() {
    let directory = with_jobs().await;
    let client =
        directory.client_with(Config { sweep_time: Duration::ZERO, ..Config::new(directory.table()) });
    let (swept, line, _) = swept(&client).await;
    assert_eq!(swept, json!({ "tenants": 0, "done": 0, "left": 0, "errors": 0, "complete": false }));
    // The index tells the age of the oldest job, although the sweep has read none.
    assert!(line["oldest_job_seconds"].as_i64() > Some(86_400), "{line}");
}

#[tokio::test]
async fn a_tenant_without_due_jobs_costs_nothing() {
    let directory = Directory::new().await;
    for n in 0..50 {
        directory.add_tenant(&format!("idle{n}"), Policy::default()).await;
    }
    let client = directory.client();
    // Not due for another two and a half minutes.
    client.delete(&client.post("/Users", r#"{"userName":"ann"}"#).await.path()).await;
    client.faults.forget();
    let (swept, ..) = swept(&client).await;
    assert_eq!(swept, json!({ "tenants": 0, "done": 0, "left": 0, "errors": 0, "complete": true }));
    assert_eq!(client.faults.calls(), ["Query"; 4], "one for each stripe of the index");
    assert!(client.faults.capacity().read <= 2.0, "{:?}", client.faults.capacity());
}

#[tokio::test]
async fn a_tenant_that_takes_too_long_does_not_keep_the_others_waiting() {
    let directory = with_jobs().await;
    let sweep_time = Duration::from_secs(4);
    let client = directory.client_with(Config { sweep_time, ..Config::new(directory.table()) });
    // The first tenant whose record is read never gets an answer.
    client.faults.inject("BatchGetItem", Fault::Hang);
    let (swept, line, lines) = swept(&client).await;
    // A second pass has done its job, after those of the others.
    let expected = json!({ "tenants": 3, "done": 3, "left": 0, "errors": 0, "complete": true });
    assert_eq!((&swept, &line["oldest_job_seconds"]), (&expected, &json!(0)), "{lines}");
    assert!(lines.contains("the jobs of a tenant take too long for this pass"), "{lines}");
}
