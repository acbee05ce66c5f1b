//! Several writers at once, and networks and processes that fail: no update is
//! lost, nothing happens twice, and the table is consistent after each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Client, Directory};
use crate::consistency::check;
use crate::faults::Fault;

const USER: &str =
    r#"{"userName":"sarah","externalId":"e1","emails":[{"value":"sarah@example.com"}],"title":"a"}"#;

fn patch(operations: &Value) -> String {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
        .to_string()
}

fn set(path: &str, value: &str) -> String {
    patch(&json!([{ "op": "replace", "path": path, "value": value }]))
}

/// The same act by this many clients at once, each its own Lambda instance.
async fn at_once<F>(count: usize, act: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(act(n))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn of_32_creates_of_one_name_in_all_its_forms_one_wins() {
    let directory = Directory::spread().await;
    let forms = ["Ångström", "ÅNGSTRÖM", "A\u{30a}ngstro\u{308}m", "ａ\u{30a}ngström"];
    let answers = at_once(32, |n| {
        let client = directory.client();
        let body = json!({ "userName": forms[n % 4], "externalId": n.to_string() }).to_string();
        async move { client.post("/Users", &body).await }
    })
    .await;
    assert_eq!(statuses(&answers), [vec![201], vec![409; 31]].concat());
    let winner = answers.iter().find(|answer| answer.status == 201).unwrap().id();
    for lost in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!(lost.body["scimType"], "uniqueness");
        assert!(lost.detail().contains(winner), "{lost}");
    }
    assert_eq!(check(&directory).await, 1);
}

/// The acts that write, and what each makes of the title and name of the user.
const ACTS: [&str; 6] = ["create", "put", "patch active", "patch", "rename", "delete"];

async fn act(client: &Client, name: &str, user: &str) -> Answer {
    match name {
        "create" => client.post("/Users", &USER.replace("sarah", "bo")).await,
        "put" => client.put(user, &USER.replace(r#""a""#, r#""b""#)).await,
        "patch active" => {
            client.patch(user, &patch(&json!([{ "op": "replace", "path": "active", "value": false }]))).await
        }
        "patch" => client.patch(user, &set("name.givenName", "Sarah")).await,
        "rename" => client.patch(user, &set("userName", "sally")).await,
        "delete" => client.delete(user).await,
        _ => unreachable!("not an act: {name}"),
    }
}

fn success(name: &str) -> u16 {
    match name {
        "create" => 201,
        "delete" => 204,
        _ => 200,
    }
}

#[tokio::test]
async fn a_lost_answer_a_lost_request_and_a_failing_server_change_nothing_for_the_client() {
    for name in ACTS {
        for fault in [Fault::LoseResponse, Fault::DropRequest, Fault::ServerError, Fault::Throttle] {
            let directory = Directory::new().await;
            let user = directory.client().post("/Users", USER).await.path();
            for nth in 1.. {
                let client = directory.client();
                // The token is read before, so that every call is the act's.
                client.get("/ServiceProviderConfig").await;
                client.faults.on_nth_call(nth, fault.clone());
                let answer = act(&client, name, &user).await;
                let met = client.faults.unmet() == 0;
                let told = format!("{name} with {fault:?} at call {nth}: {answer}");
                if nth == 1 {
                    assert!(met, "{told}");
                }
                // After the first round the act finds its own work done.
                let expected = match name {
                    "create" if nth > 1 => 409,
                    "delete" if nth > 1 => 404,
                    _ => success(name),
                };
                assert_eq!(answer.status, expected, "{told}");
                assert_eq!(
                    check(&directory).await,
                    if name == "create" { 2 } else { usize::from(name != "delete") }
                );
                if !met {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_meets_a_transaction_is_tried_again() {
    for name in ACTS {
        for fault in [Fault::Conflict, Fault::InProgress] {
            let directory = Directory::new().await;
            let user = directory.client().post("/Users", USER).await.path();
            let client = directory.client();
            client.faults.inject_times("UpdateItem", 2, fault.clone());
            client.faults.inject_times("TransactWriteItems", 2, fault.clone());
            let answer = act(&client, name, &user).await;
            assert_eq!(answer.status, success(name), "{name} with {fault:?}: {answer}");
            assert!(client.faults.unmet() <= 1, "{name}");
            check(&directory).await;
        }
    }
}

#[tokio::test]
async fn a_write_whose_answers_are_all_lost_is_found_by_its_id() {
    for name in ACTS {
        let directory = Directory::new().await;
        let user = directory.client().post("/Users", USER).await.path();
        let client = directory.client();
        client.get("/ServiceProviderConfig").await;
        for operation in ["UpdateItem", "TransactWriteItems"] {
            client.faults.inject_times(operation, 4, Fault::LoseResponse);
        }
        let answer = act(&client, name, &user).await;
        assert_eq!(answer.status, success(name), "{name}: {answer}");
        assert_eq!(check(&directory).await, if name == "create" { 2 } else { usize::from(name != "delete") });
    }
}

#[tokio::test]
async fn a_process_that_dies_leaves_the_user_before_or_after() {
    for name in ACTS {
        let mut outcomes = BTreeSet::new();
        for nth in 1.. {
            let directory = Directory::new().await;
            let user = directory.client().post("/Users", USER).await.path();
            let before = directory.client().get("/Users").await.list("userName");
            let client = directory.client();
            client.faults.on_nth_call(nth, Fault::Die);
            let answer = act(&client, name, &user).await;
            check(&directory).await;
            if client.faults.unmet() == 1 {
                assert_eq!(answer.status, success(name), "{name}: {answer}");
                break;
            }
            assert!(answer.status >= 500, "{name} dead at {nth}: {answer}");
            let found = directory.client();
            assert_eq!(found.get("/Users").await.list("userName"), before, "{name} dead at {nth}");
            // Somebody else goes on where the dead one was.
            assert_eq!(act(&found, name, &user).await.status, success(name), "{name} after death at {nth}");
            outcomes.insert(nth);
            check(&directory).await;
        }
        assert!(outcomes.len() >= 2, "{name} died {outcomes:?}");
    }
}

#[tokio::test]
async fn a_taken_name_beside_a_conflict_is_tried_again_and_then_taken() {
    let directory = Directory::new().await;
    directory.client().post("/Users", USER).await;
    let client = directory.client();
    let reasons = vec!["None", "ConditionalCheckFailed", "TransactionConflict", "None", "None"];
    client.faults.inject("TransactWriteItems", Fault::Cancelled(reasons));
    assert_eq!(client.post("/Users", USER).await.status, 409);
    assert_eq!(client.faults.calls(), ["BatchGetItem", "TransactWriteItems", "TransactWriteItems"]);
    assert_eq!(check(&directory).await, 1);
}

#[tokio::test]
async fn contention_without_end_is_429_with_seconds_to_wait() {
    const CONTENDED: [(&str, &str); 4] = [
        ("create", "TransactWriteItems"),
        ("put", "UpdateItem"),
        ("rename", "TransactWriteItems"),
        ("delete", "TransactWriteItems"),
    ];
    let answers = at_once(CONTENDED.len(), |n| async move {
        let (name, operation) = CONTENDED[n];
        let directory = Directory::new().await;
        let user = directory.client().post("/Users", USER).await.path();
        let client = directory.client();
        client.faults.inject_times(operation, 1_000, Fault::Conflict);
        let answer = act(&client, name, &user).await;
        assert!(client.faults.calls().len() <= 40, "{name}");
        assert_eq!(check(&directory).await, 1);
        answer
    })
    .await;
    for answer in answers {
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{answer}");
    }
}

#[tokio::test]
async fn a_rename_and_a_create_of_the_same_name_cannot_both_win() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", USER).await.path();
    let (renamer, creator) = (directory.client(), directory.client());
    let mut pause = renamer.faults.pause_before("TransactWriteItems");
    let path = user.clone();
    let rename = tokio::spawn(async move { renamer.patch(&path, &set("userName", "Bo")).await });
    pause.arrived().await;
    assert_eq!(creator.post("/Users", r#"{"userName":"bo"}"#).await.status, 201);
    pause.release();
    let lost = rename.await.unwrap();
    assert_eq!((lost.status, &lost.body["scimType"]), (409, &json!("uniqueness")), "{lost}");
    assert_eq!(directory.client().get(&user).await.body["userName"], "sarah");
    assert_eq!(check(&directory).await, 2);
}

#[tokio::test]
async fn two_users_cannot_swap_names_at_once_but_one_after_the_other() {
    let directory = Directory::new().await;
    let client = directory.client();
    let a = client.post("/Users", r#"{"userName":"a"}"#).await.path();
    let b = client.post("/Users", r#"{"userName":"b"}"#).await.path();
    assert_eq!(client.patch(&a, &set("userName", "b")).await.status, 409);
    for (user, name) in [(&a, "c"), (&b, "a"), (&a, "b"), (&a, "B")] {
        assert_eq!(client.patch(user, &set("userName", name)).await.status, 200, "{name}");
        check(&directory).await;
    }
    let pairs = [client.get(&a).await, client.get(&b).await].map(|user| user.body["userName"].clone());
    assert_eq!(pairs, ["B", "a"]);
}

#[tokio::test]
async fn a_writer_who_was_overtaken_applies_its_patch_to_what_is_there_now() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", USER).await.path();
    let (slow, fast) = (directory.client(), directory.client());
    let mut pause = slow.faults.pause_before("UpdateItem");
    let path = user.clone();
    let overtaken = tokio::spawn(async move { slow.patch(&path, &set("name.givenName", "Sarah")).await });
    pause.arrived().await;
    assert_eq!(fast.patch(&user, &set("name.familyName", "Jones")).await.status, 200);
    pause.release();
    assert_eq!(overtaken.await.unwrap().header("etag"), Some("W/\"3\""));
    let name = &directory.client().get(&user).await.body["name"];
    assert_eq!(*name, json!({ "familyName": "Jones", "givenName": "Sarah" }));
}

#[tokio::test]
async fn a_deleted_name_is_free_for_another_user_and_the_old_one_stays_gone() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        let user = client.post("/Users", USER).await;
        assert!(ids.insert(user.path()));
        assert_eq!(client.delete(&user.path()).await.status, 204);
    }
    let last = client.post("/Users", USER).await;
    for old in &ids {
        assert_eq!(client.get(old).await.status, 404);
        assert_eq!(client.put(old, USER).await.status, 404);
    }
    assert_eq!(client.get("/Users?filter=userName+eq+%22SARAH%22").await.list("id"), last.id());
    assert_eq!(check(&directory).await, 1);
}

#[tokio::test]
async fn of_24_patches_at_once_none_is_lost() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", r#"{"userName":"sarah"}"#).await.path();
    let answers = at_once(24, |n| {
        let (client, user) = (directory.client(), user.clone());
        let email =
            json!([{ "op": "add", "path": "emails", "value": [{ "value": format!("{n}@example.com") }] }]);
        async move { client.patch(&user, &patch(&email)).await }
    })
    .await;
    assert_eq!(statuses(&answers), vec![200; 24]);
    let end = directory.client().get(&user).await;
    assert_eq!(end.body["emails"].as_array().unwrap().len(), 24);
    assert_eq!(end.header("etag"), Some("W/\"25\""));
    assert_eq!(check(&directory).await, 1);
}

#[tokio::test]
async fn of_8_writers_who_know_one_version_exactly_one_wins_every_round() {
    let directory = Directory::new().await;
    let user = directory.client().post("/Users", USER).await.path();
    for round in 1..=5 {
        let version = format!("W/\"{round}\"");
        let answers = at_once(8, |n| {
            let (client, user, version) = (directory.client(), user.clone(), version.clone());
            async move {
                let title = format!("{round} {n}");
                let request = match n % 3 {
                    0 => client.request("PUT", &user).body(&USER.replace(r#""a""#, &format!("{title:?}"))),
                    1 => client.request("PATCH", &user).body(&set("title", &title)),
                    _ => client.request("PATCH", &user).body(&set("name.familyName", &title)),
                };
                request.if_match(&version).send().await
            }
        })
        .await;
        assert_eq!(statuses(&answers), [vec![200], vec![412; 7]].concat(), "round {round}");
    }
    assert_eq!(check(&directory).await, 1);
}

#[tokio::test]
async fn creates_and_deletes_at_once_leave_the_census_exact() {
    let directory = Directory::spread().await;
    let answers = at_once(24, |n| {
        let client = directory.client();
        async move {
            let user = client.post("/Users", &json!({ "userName": format!("u{n}") }).to_string()).await;
            if n % 3 == 0 { client.delete(&user.path()).await } else { user }
        }
    })
    .await;
    assert_eq!(statuses(&answers), [vec![201; 16], vec![204; 8]].concat());
    assert_eq!(check(&directory).await, 16);
    assert_eq!(directory.client().get("/Users?count=0").await.body["totalResults"], 16);
}

/// Scenario: one tenant's partition is throttled.
#[tokio::test]
async fn a_throttled_tenant_is_told_to_wait_and_another_does_not_notice() {
    let directory = Directory::new().await;
    directory.add_tenant("other", scim_lambda::scim::policy::Policy::default()).await;
    let client = directory.client();
    client.get("/ServiceProviderConfig").await;
    let other = client.with_token(&crate::client::TOKEN.replace("demo", "other"));
    other.get("/ServiceProviderConfig").await;
    client.faults.inject_times("GetItem", 4, Fault::Throttle);
    let told = client.get("/Users/00000000-0000-4000-8000-000000000009").await;
    assert_eq!((told.status, told.header("retry-after")), (429, Some("2")), "{told}");
    assert_eq!(other.post("/Users", USER).await.status, 201);
}

#[tokio::test]
async fn a_dynamodb_that_does_not_answer_is_503_and_says_nothing_of_the_cause() {
    for name in ACTS {
        let directory = Directory::new().await;
        let user = directory.client().post("/Users", USER).await.path();
        let client = directory.client();
        for operation in ["BatchGetItem", "GetItem", "Query", "UpdateItem", "TransactWriteItems"] {
            client.faults.inject_times(operation, 100, Fault::ServerError);
        }
        let answer = act(&client, name, &user).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{name}: {answer}");
        for cause in ["DynamoDB", "Item", "InternalServerError", "aws"] {
            assert!(!answer.detail().contains(cause), "{answer}");
        }
        assert_eq!(check(&directory).await, 1);
    }
}
