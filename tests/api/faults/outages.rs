//! Lost answers, conflicts, throttling and death at every call of every write.
//! After each test the whole table is checked against itself.

use std::time::Duration;

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use serde_json::json;
use tokio::time::Instant;

use crate::support::builders::user;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::directory::TOKEN;
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
        let mut calls = client.faults.calls();
        // A user that is deleted is then taken out of his groups.
        let groups = calls.pop_if(|call| call == "Query");
        assert_eq!(groups.is_some(), matches!(act, Act::Delete), "{act:?}");
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
    // A cancellation makes a new token, as if the first had been forgotten.
    client.faults.inject("TransactWriteItems", Fault::Conflict);
    Act::Create.has_succeeded(&client.post("/Users", &user("bo")).await);
    check(&directory).await;
}

#[tokio::test]
async fn a_conflict_is_tried_again_at_every_write() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for act in ACTS {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        client.faults.inject_times(act.write(), 3, Fault::Conflict);
        act.has_succeeded(&act.request(&client, &name, &path).send().await);
        assert_eq!(client.faults.unmet(), 0, "{act:?}");
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_conflict_without_end_is_429() {
    let directory = Directory::spread().await;
    let mut tasks = tokio::task::JoinSet::new();
    for act in ACTS {
        let client = directory.client();
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        client.faults.inject_times(act.write(), 100, Fault::Conflict);
        let request = act.request(&client, &name, &path).send();
        tasks.spawn(
            async move { (act, tokio::time::timeout(Duration::from_secs(10), request).await.unwrap()) },
        );
    }
    for (act, answer) in tasks.join_all().await {
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{act:?}: {answer}");
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_failed_condition_beside_a_conflict_is_no_outcome() {
    let directory = Directory::new().await;
    let client = directory.client();
    client.create(&user("bo")).await;
    let mixed = vec!["None", "ConditionalCheckFailed", "TransactionConflict", "None", "None"];
    for others in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        let mut reasons = mixed.clone();
        reasons[2] = others;
        client.faults.inject("TransactWriteItems", Fault::Cancelled(reasons));
        client.faults.forget();
        let answer = client.post("/Users", &user("BO")).await;
        assert_eq!(
            (answer.status, &answer.body["scimType"]),
            (409, &json!("uniqueness")),
            "{others}: {answer}"
        );
        assert_eq!(client.faults.calls(), ["TransactWriteItems", "TransactWriteItems"]);
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_leaves_the_user_before_or_after() {
    let directory = Directory::spread().await;
    for act in ACTS {
        // A user that was deleted is then looked for in groups, which may fail.
        let calls = act.calls(&directory).await - usize::from(act == Act::Delete);
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
            // The last call is the write. Whoever comes next finds it done, or does it.
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

#[tokio::test]
async fn a_throttled_tenant_is_told_to_wait_and_another_does_not_notice() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let client = directory.client();
    let other = client.with_token(&TOKEN.replace("demo", "other"));
    for act in ACTS {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        let others = act.prepare(&other, &name).await;
        client.faults.inject_times(act.write(), 4, Fault::Throttle);
        let answer = act.request(&client, &name, &path).send().await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{act:?}: {answer}");
        client.faults.forget();
        act.has_succeeded(&act.request(&other, &name, &others).send().await);
        assert!(client.faults.calls().len() <= 3, "{:?}", client.faults.calls());
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_database_that_never_answers_is_503_before_api_gateway_gives_up() {
    let directory = Directory::new().await;
    let mut times = Vec::new();
    for act in ACTS {
        for warm in [false, true] {
            let name = format!("{act:?}-{warm}");
            let path = act.prepare(&directory.client(), &name).await;
            let client = directory.impatient_client();
            if warm {
                client.get("/ServiceProviderConfig").await;
            }
            tokio::time::pause();
            let started = Instant::now();
            for operation in ["BatchGetItem", "GetItem", "UpdateItem", "TransactWriteItems"] {
                client.faults.inject_times(operation, 100, Fault::Hang);
            }
            let answer = act.request(&client, &name, &path).send().await;
            let elapsed = started.elapsed();
            tokio::time::resume();
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{act:?}: {answer}");
            assert!(elapsed < Duration::from_secs(25), "{act:?} {warm}: {elapsed:?}");
            times.push(format!("{act:?} {} {}", if warm { "warm" } else { "cold" }, elapsed.as_secs()));
        }
    }
    assert_snapshot!(times.join("\n"), @r#"
    Create cold 6
    Create warm 12
    Replace cold 6
    Replace warm 12
    Deactivate cold 6
    Deactivate warm 12
    AddTitle cold 6
    AddTitle warm 6
    AddEmail cold 6
    AddEmail warm 6
    Rename cold 6
    Rename warm 12
    Delete cold 6
    Delete warm 6
    "#);
    check(&directory).await;
}

#[tokio::test]
async fn what_dynamodb_leaves_out_of_a_batch_is_asked_for_again() {
    let directory = Directory::new().await;
    let client = directory.client();
    let bo = client.create(&user("bo")).await;
    let keys = json!([{ "pk": { "S": "demo#User" }, "sk": { "S": bo.id() } }]);
    let unprocessed = json!({ directory.table(): { "Keys": keys, "ConsistentRead": true } });
    let nothing = json!({ "Responses": { directory.table(): [] }, "UnprocessedKeys": unprocessed });
    for (times, status) in [(2, 200), (1_000, 429)] {
        client.faults.inject_times("BatchGetItem", times, Fault::Answer(200, nothing.clone()));
        let found = client.find(r#"externalId eq "bo""#).await;
        assert_eq!(found.status, status, "{found}");
        assert!(status != 200 || found.body["totalResults"] == 1, "{found}");
    }
}

/// Without a time limit of its own, a call that hangs is cut off by the request's.
#[tokio::test]
async fn a_request_ends_before_api_gateway_gives_up() {
    let client = Directory::new().await.client();
    client.get("/ServiceProviderConfig").await;
    tokio::time::pause();
    let started = Instant::now();
    client.faults.inject("TransactWriteItems", Fault::Hang);
    let answer = client.post("/Users", r#"{"userName":"sarah"}"#).await;
    assert_eq!(started.elapsed().as_secs(), 25);
    assert_snapshot!(answer, @r#"503 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"503","detail":"the directory took too long: read the resource, or send the request again later"}"#);
    assert_eq!(answer.header("retry-after"), Some("2"));
}
