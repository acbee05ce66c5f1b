//! Instances whose clocks differ. A lease compares the clocks of two machines, so that an early one
//! breaks it; no change is lost or counted twice by that.

use serde_json::json;

use crate::support::answer::members;
use crate::support::builders::{add, group};
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::fill::populate;
use crate::support::seed::create;

const CLOCKS: [i64; 4] = [0, 20, -20, 60];

#[tokio::test]
async fn staged_changes_under_clocks_that_differ_leave_no_drift() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 240).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let crew = create(&directory.client(), "Crew", &ids[..1]).await;
    for round in 0..4 {
        let clients = CLOCKS.map(|seconds| directory.skewed_client(seconds));
        if round % 2 == 1 {
            // One of them dies while it writes memberships, and another before it commits.
            clients[round % 4].faults.on_nth_call(7, Fault::Die);
            clients[(round + 1) % 4].faults.on_nth_call(11, Fault::Die);
        }
        let puts = clients.iter().enumerate().map(|(n, client)| {
            let wanted = &ids[n * 30..n * 30 + 120];
            client.request("PUT", &crew).body(&group("Crew", wanted)).send()
        });
        let answers = futures_util::future::join_all(puts).await;
        let seen = members(&directory.client().get(&crew).await);
        let wholes = (0..4).map(|n| &ids[n * 30..n * 30 + 120]);
        assert!(
            round == 0 || wholes.into_iter().any(|whole| seen == whole) || seen == ids[..1],
            "{round}: {seen:?}"
        );
        assert!(answers.iter().any(|answer| answer.status == 200), "{round}: {answers:?}");
        directory.pass(200);
        let client = directory.client();
        client.sweep().await;
        directory.pass(200);
        client.sweep().await;
        check(&directory).await;
    }
}

/// A writer whose lock was broken while it was held up must not take over what its successor has
/// written.
#[tokio::test]
async fn a_writer_that_has_lost_its_lock_stops() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 130).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let (slow, early) = (directory.client(), directory.skewed_client(60));
    let crew = create(&slow, "Crew", &[]).await;
    let mut pause = slow.faults.pause_before("BatchExecuteStatement");
    let late = tokio::spawn(slow.request("PATCH", &crew).body(&add(&ids[..110])).send());
    pause.arrived().await;
    // By its clock the lease is over: it aborts the change, and makes its own of other members.
    assert_eq!(early.patch(&crew, &add(&ids[20..130])).await.status, 204);
    pause.release();
    assert_eq!(late.await.unwrap().status, 204);
    let client = directory.client();
    assert_eq!(members(&client.get(&crew).await), ids);
    directory.pass(200);
    client.sweep().await;
    check(&directory).await;
    assert_eq!(members(&client.get(&crew).await), ids);
}

/// A group has one cleanup job for each staged change, so that a client which fails again and again
/// does not keep them from falling due.
#[tokio::test]
async fn a_client_that_fails_every_20_seconds_does_not_keep_its_group_from_being_cleaned() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 110).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let client = directory.client();
    let crew = create(&client, "Crew", &ids[..1]).await;
    let mut most = 0;
    for _ in 0..12 {
        // It is refused at the commit, and aborts what it has staged.
        let denied = json!({ "__type": "com.amazon.coral.service#AccessDeniedException" });
        client.faults.inject("TransactWriteItems", Fault::Answer(400, denied));
        assert_eq!(client.patch(&crew, &add(&ids)).await.status, 500);
        directory.pass(20);
        client.sweep().await;
        let group = client.get(&crew).await;
        assert_eq!(members(&group), ids[..1]);
        most = most.max(aborted(&directory, &crew).await);
    }
    assert!((2..8).contains(&most), "{most}");
    directory.pass(200);
    client.sweep().await;
    directory.pass(200);
    client.sweep().await;
    assert_eq!(aborted(&directory, &crew).await, 0);
    check(&directory).await;
}

/// Conditions name the aborted changes, and DynamoDB takes a hundred operands.
#[tokio::test]
async fn a_group_with_ninety_aborted_changes_waits_for_the_sweep() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 110).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let client = directory.client();
    let crew = create(&client, "Crew", &[]).await;
    let (id, all): (_, Vec<u64>) = (crew.trim_start_matches("/Groups/"), (1..=90).collect());
    let set = |aborted: Vec<u64>| {
        let roster = json!({ "members": 0, "epoch": 90, "aborted": aborted });
        directory
            .dynamodb()
            .update_item()
            .table_name(directory.table())
            .key("pk", aws_sdk_dynamodb::types::AttributeValue::S("demo#Group".to_owned()))
            .key("sk", aws_sdk_dynamodb::types::AttributeValue::S(id.to_owned()))
            .update_expression("SET roster = :roster")
            .expression_attribute_values(":roster", serde_dynamo::to_attribute_value(roster).unwrap())
            .send()
    };
    set(all).await.unwrap();
    let refused = client.patch(&crew, &add(&ids)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")), "{refused}");
    // A smaller change needs no more numbers.
    assert_eq!(client.patch(&crew, &add(&ids[..3])).await.status, 204);
    set((1..=89).collect()).await.unwrap();
    assert_eq!(client.patch(&crew, &add(&ids)).await.status, 204);
}

async fn aborted(directory: &Directory, group: &str) -> usize {
    let items = crate::support::consistency::read(directory).await;
    let key = ("demo#Group".to_owned(), group.trim_start_matches("/Groups/").to_owned());
    let roster: serde_json::Value =
        serde_dynamo::from_attribute_value(items[&key]["roster"].clone()).unwrap();
    roster["aborted"].as_array().map_or(0, Vec::len)
}

/// A sweep forgets a staged change. Its writer must have ended by then, by whichever clock: what it
/// writes later would count.
#[tokio::test]
async fn a_change_is_not_forgotten_while_its_writer_runs() {
    // The clocks of writer and sweeper, and the time since the request began.
    for (writer, sweeper, passed) in [(0, 60, 28), (-20, 60, 12), (-20, 60, 28), (-60, 60, 28), (60, -60, 28)]
    {
        let directory = Directory::spread().await;
        let users = populate(&directory, 130).await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let (slow, early) = (directory.skewed_client(writer), directory.skewed_client(sweeper));
        let crew = create(&slow, "Crew", &ids[..1]).await;
        let mut pause = slow.faults.pause_before("BatchExecuteStatement");
        let late = tokio::spawn(slow.request("PUT", &crew).body(&group("Crew", &ids[..120])).send());
        pause.arrived().await;
        directory.pass(passed);
        early.sweep().await;
        pause.release();
        assert_eq!(late.await.unwrap().status, 200, "{writer} {sweeper} {passed}");
        check(&directory).await;
    }
}
