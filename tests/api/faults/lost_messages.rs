//! Calls to DynamoDB whose request or answer is lost, and processes that die at any call. The table
//! is consistent after each test.

use serde_json::json;

use crate::support::builders::user;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::user_write::{ACTS, Act};

#[tokio::test]
async fn one_lost_request_or_answer_at_any_call_changes_nothing() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for act in ACTS {
        for n in 1..=act.calls(&directory).await {
            for fault in [Fault::DropRequest, Fault::LoseResponse, Fault::ServerError, Fault::Throttle] {
                let name = format!("{act:?}-{n}-{fault:?}");
                let path = act.prepare(&client, &name).await;
                client.faults.on_nth_call(n, fault);
                act.has_succeeded(&act.request(&client, &name, &path).send().await);
                assert_eq!(client.faults.unmet(), 0, "{name}");
            }
        }
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_write_whose_every_answer_is_lost_is_found_by_reading() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for act in ACTS {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        client.faults.inject_times(act.write(), 4, Fault::LoseResponse);
        act.has_succeeded(&act.request(&client, &name, &path).send().await);
        let calls = client.faults.calls();
        assert_eq!(calls.last().unwrap(), "GetItem", "{act:?}");
        assert_eq!(client.faults.unmet(), 0, "{act:?}");
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_write_that_never_arrives_is_503_and_changes_nothing() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for act in ACTS {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        client.faults.inject_times(act.write(), 4, Fault::DropRequest);
        let answer = act.request(&client, &name, &path).send().await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{act:?}: {answer}");
        for cause in ["DynamoDB", "Item", "dropped", "aws"] {
            assert!(!answer.detail().contains(cause), "{answer}");
        }
        act.has_succeeded(&act.request(&client, &name, &path).send().await);
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_writer_that_lost_its_answer_and_was_overwritten_has_still_won() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    for (if_match, act) in [
        ("\"1\"", Act::Replace),
        ("\"1\"", Act::Deactivate),
        ("*", Act::Deactivate),
        ("\"1\"", Act::AddTitle),
    ] {
        let name = format!("{act:?}{}", if_match.len());
        let path = act.prepare(&client, &name).await;
        let mut first = client.faults.pause_before("UpdateItem");
        let request = tokio::spawn(act.request(&client, &name, &path).if_match(if_match).send());
        first.arrived().await;
        client.faults.inject("UpdateItem", Fault::LoseResponse);
        let mut second = client.faults.pause_before("UpdateItem");
        first.release();
        second.arrived().await;
        let nickname = r#"{"Operations":[{"op":"add","path":"nickName","value":"Bee"},{"op":"replace","path":"active","value":true}]}"#;
        assert_eq!(other.patch(&path, nickname).await.status, 200);
        second.release();
        let answer = request.await.unwrap();
        assert!(answer.to_string().starts_with("200 W/\"3\""), "{act:?} {answer}");
        assert_eq!((&answer.body["nickName"], &answer.body["active"]), (&json!("Bee"), &json!(true)));
    }
    check(&directory).await;
}

/// Its write is found behind three others: neither 412, nor done a second time.
#[tokio::test]
async fn a_writer_that_lost_its_answer_is_found_behind_three_others() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    for (if_match, act) in [("\"1\"", Act::Replace), ("*", Act::Deactivate), ("\"1\"", Act::AddTitle)] {
        for others in 1..=3 {
            let name = format!("{act:?}{others}");
            let path = act.prepare(&client, &name).await;
            client.faults.inject("UpdateItem", Fault::LoseResponse);
            let mut first = client.faults.pause_before("UpdateItem");
            let request = tokio::spawn(act.request(&client, &name, &path).if_match(if_match).send());
            first.arrived().await;
            let mut second = client.faults.pause_before("UpdateItem");
            first.release();
            second.arrived().await;
            for n in 0..others {
                let body = json!({ "Operations": [{ "op": "replace", "path": "title", "value": n.to_string() },
                    { "op": "replace", "path": "active", "value": true }] });
                assert_eq!(other.patch(&path, &body.to_string()).await.status, 200);
            }
            second.release();
            let answer = request.await.unwrap();
            assert_eq!(answer.status, 200, "{name}: {answer}");
            let user = other.get(&format!("{path}?excludedAttributes=groups")).await;
            assert_eq!(user.header("etag"), Some(format!("W/\"{}\"", 2 + others).as_str()), "{name}: {user}");
            assert_eq!(user.body["active"], true, "{name}: {user}");
        }
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_transaction_under_way_is_asked_for_by_its_token() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for act in [Act::Create, Act::AddEmail, Act::Rename, Act::Delete] {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        client.faults.inject("TransactWriteItems", Fault::LoseResponse);
        client.faults.inject_times("TransactWriteItems", 4, Fault::InProgress);
        act.has_succeeded(&act.request(&client, &name, &path).send().await);
        let requests = client.faults.requests();
        let mut tokens: Vec<_> =
            requests.iter().filter_map(|(_, body)| body.get("ClientRequestToken")).collect();
        assert_eq!(tokens.len(), 6, "{act:?}");
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{act:?}");
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_creation_whose_token_is_forgotten_finds_itself() {
    let directory = Directory::new().await;
    let client = directory.client();
    client.faults.inject("TransactWriteItems", Fault::LoseResponse);
    // After a cancellation the SDK makes a new token, as if DynamoDB had forgotten the first.
    client.faults.inject("TransactWriteItems", Fault::Conflict);
    Act::Create.has_succeeded(&client.post("/Users", &user("bo")).await);
    check(&directory).await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_leaves_the_user_before_or_after() {
    let directory = Directory::spread().await;
    for act in ACTS {
        let calls = act.calls(&directory).await;
        for (n, answered) in (1..=calls).flat_map(|n| [(n, false), (n, true)]) {
            let name = format!("{act:?}-{n}-{answered}");
            let (client, survivor) = (directory.client(), directory.client());
            let path = act.prepare(&client, &name).await;
            let fault = if answered { Fault::LoseResponse } else { Fault::Die };
            client.faults.on_nth_call(n, fault);
            client.faults.on_nth_call(n + 1, Fault::Die);
            let dead = act.request(&client, &name, &path).send().await;
            assert!(dead.status >= 500, "{name}: {dead}");
            check(&directory).await;
            // The last call is the write. The next request finds it done, or does it.
            let again = act.request(&survivor, &name, &path).send().await;
            match act {
                Act::Create if answered && n == calls => assert_eq!(again.status, 409, "{name}: {again}"),
                Act::Delete if answered && n == calls => assert_eq!(again.status, 404, "{name}: {again}"),
                _ => act.has_succeeded(&again),
            }
            check(&directory).await;
        }
    }
}
