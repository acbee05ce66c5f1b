//! Conflicts between transactions, and throttling.

use std::time::Duration;

use scim_lambda::scim::policy::Policy;
use serde_json::json;

use crate::support::builders::user;
use crate::support::consistency::check;
use crate::support::directory::{Directory, TOKEN};
use crate::support::faults::Fault;
use crate::support::user_write::ACTS;

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
async fn a_tenant_that_is_throttled_for_a_while_waits_and_another_does_not_notice() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let client = directory.client();
    let other = client.with_token(&TOKEN.replace("demo", "other"));
    for act in ACTS {
        let name = format!("{act:?}");
        let path = act.prepare(&client, &name).await;
        let others = act.prepare(&other, &name).await;
        // Three times as often as the SDK tries: a second or so.
        client.faults.inject_times(act.write(), 12, Fault::Throttle);
        let waiting = tokio::spawn(act.request(&client, &name, &path).send());
        act.has_succeeded(&waiting.await.unwrap());
        assert_eq!(client.faults.unmet(), 0, "{act:?}");
        client.faults.forget();
        act.has_succeeded(&act.request(&other, &name, &others).send().await);
        assert!(client.faults.calls().len() <= 3, "{:?}", client.faults.calls());
    }
    check(&directory).await;
}

#[tokio::test]
async fn a_read_that_is_throttled_for_a_while_succeeds() {
    let directory = Directory::new().await;
    let client = directory.client();
    let bo = client.create(&user("bo")).await;
    for (call, path) in [
        ("GetItem", bo.path()),
        ("Query", "/Users".to_owned()),
        ("BatchGetItem", "/Users?filter=externalId+eq+%22bo%22".to_owned()),
    ] {
        client.faults.inject_times(call, 12, Fault::Throttle);
        assert_eq!((client.get(&path).await.status, client.faults.unmet()), (200, 0), "{call}");
    }
}

#[tokio::test]
async fn who_is_throttled_without_end_is_told_to_wait() {
    let directory = Directory::new().await;
    let client = directory.client();
    client.get("/ServiceProviderConfig").await;
    client.faults.inject_times("TransactWriteItems", 100_000, Fault::Throttle);
    let answer = client.post("/Users", &user("bo")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{answer}");
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
