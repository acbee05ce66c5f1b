//! Changes of more members than one transaction holds. Every reader sees all of a change or
//! nothing, wherever the process that makes it dies. The changes are of a hundred members: enough
//! to be staged, and the emulator would need minutes for thousands.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::answer::{Answer, members};
use crate::support::builders::{add, group, patch};
use crate::support::client::{Client, Request};
use crate::support::consistency::{check, check_at, count};
use crate::support::directory::Directory;
use crate::support::faults::{Fault, Pause};
use crate::support::fill::populate;
use crate::support::races::{at_once, statuses};
use crate::support::seed::create;

/// A change of a hundred of the 101 users.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Add,
    /// Replaces the first fifty members by the others, and renames the group.
    Replace,
    Remove,
}

const CHANGES: [Change; 3] = [Change::Add, Change::Replace, Change::Remove];

impl Change {
    fn before(self, users: &[String]) -> &[String] {
        match self {
            Self::Add => &users[..1],
            Self::Replace => &users[..50],
            Self::Remove => users,
        }
    }

    fn after(self, users: &[String]) -> &[String] {
        match self {
            Self::Add => users,
            Self::Replace => &users[50..100],
            Self::Remove => &users[..1],
        }
    }

    async fn prepare(self, client: &Client, name: &str, users: &[String]) -> String {
        let path = create(client, name, &texts(self.before(users))).await;
        client.faults.forget();
        path
    }

    fn request(self, client: &Client, path: &str, name: &str, users: &[String]) -> Request {
        let these: Vec<Value> = users[1..].iter().map(|id| json!({ "value": id })).collect();
        let operation = |op| patch(&json!([{ "op": op, "path": "members", "value": these }]));
        match self {
            Self::Add => client.request("PATCH", path).body(&operation("add")),
            Self::Replace => client
                .request("PUT", path)
                .body(&group(&format!("{name}, renamed"), &texts(self.after(users)))),
            Self::Remove => client.request("PATCH", path).body(&operation("remove")),
        }
    }

    /// Returns the numbers of the calls that an undisturbed change takes. A run of equal calls
    /// counts with its first and its last.
    async fn calls(self, directory: &Directory, users: &[String]) -> Vec<usize> {
        let client = directory.client();
        let name = format!("{self:?} undisturbed");
        let path = self.prepare(&client, &name, users).await;
        let answer = self.request(&client, &path, &name, users).send().await;
        assert!(answer.status < 300, "{self:?}: {answer}");
        let calls = client.faults.calls();
        let is_within = |n: usize| n > 0 && calls[n - 1] == calls[n] && calls.get(n + 1) == calls.get(n);
        (0..calls.len()).filter(|n| !is_within(*n)).map(|n| n + 1).collect()
    }

    fn has_succeeded(self, answer: &Answer, group: &Answer, users: &[String]) {
        assert!(answer.status < 300, "{self:?}: {answer}");
        assert_eq!((members(group), group.header("etag")), (self.after(users).to_vec(), Some("W/\"2\"")));
    }
}

fn texts(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

async fn dies_at_any_call(change: Change) {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    let whole = [change.before(&users), change.after(&users)];
    let (mut ends, start) = (Vec::new(), directory.now());
    for (place, n) in change.calls(&directory, &users).await.into_iter().enumerate() {
        let (client, survivor) = (directory.client(), directory.client());
        let name = format!("{change:?} {n}");
        let path = change.prepare(&client, &name, &users).await;
        client.faults.on_nth_call(n, Fault::Die);
        change.request(&client, &path, &name, &users).send().await;
        assert_eq!(client.faults.unmet(), 0, "{name}");
        check_at(&directory, start).await;
        let seen = members(&survivor.get(&path).await);
        assert!(whole.contains(&&seen[..]), "{name}: {seen:?}");
        directory.pass(31);
        assert_eq!(members(&survivor.get(&path).await), seen, "{name}");
        if place % 2 == 0 {
            ends.push((path, seen));
            continue;
        }
        // The next request finds the change done, or aborts it and makes it.
        let answer = change.request(&survivor, &path, &name, &users).send().await;
        change.has_succeeded(&answer, &survivor.get(&path).await, &users);
        ends.push((path, change.after(&users).to_vec()));
    }
    directory.pass(160);
    let client = directory.client();
    assert_eq!(client.sweep().await["left"], 0);
    check(&directory).await;
    for (path, end) in ends {
        assert_eq!(members(&client.get(&path).await), end, "{change:?} {path}");
    }
    assert_eq!(
        client.sweep().await,
        json!({ "tenants": 0, "done": 0, "left": 0, "errors": 0, "complete": true })
    );
}

#[tokio::test]
async fn an_addition_that_dies_at_any_call_has_happened_or_not() {
    dies_at_any_call(Change::Add).await;
}

#[tokio::test]
async fn a_replacement_that_dies_at_any_call_has_happened_or_not() {
    dies_at_any_call(Change::Replace).await;
}

#[tokio::test]
async fn a_removal_that_dies_at_any_call_has_happened_or_not() {
    dies_at_any_call(Change::Remove).await;
}

/// With 500 members there is more than one wave of writes. The process dies at every seventh call.
#[tokio::test]
async fn a_change_of_500_members_that_dies_has_happened_or_not() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 500).await;
    let (mut calls, mut n) = (usize::MAX, 1);
    while n <= calls {
        let (client, reader) = (directory.client(), directory.client());
        let crew = create(&client, &format!("Crew {n}"), &[]).await;
        client.faults.forget();
        client.faults.on_nth_call(n, Fault::Die);
        client.patch(&crew, &add(&texts(&users))).await;
        if client.faults.unmet() > 0 {
            calls = client.faults.calls().len();
        }
        let seen = members(&reader.get(&crew).await).len();
        assert_eq!(seen, if n > calls { 500 } else { 0 }, "{n}");
        n += 7;
    }
    directory.pass(160);
    assert_eq!(directory.client().sweep().await["left"], 0);
    check(&directory).await;
}

/// Pauses a process before this call for longer than its lease.
async fn wakes_up_late(directory: &Directory, users: &[String], change: Change, before: &str) {
    let (client, survivor) = (directory.client(), directory.client());
    let name = format!("{change:?} {before}");
    let path = change.prepare(&client, &name, users).await;
    let mut pause = client.faults.pause_before(before);
    let late = tokio::spawn(change.request(&client, &path, &name, users).send());
    pause.arrived().await;
    directory.pass(31);
    let rename = patch(&json!([{ "op": "replace", "path": "externalId", "value": name }]));
    assert_eq!(survivor.patch(&path, &rename).await.status, 204);
    client.faults.on_nth_call(1, Fault::Die);
    pause.release();
    assert!(late.await.unwrap().status >= 500, "{name}");
    assert_eq!(members(&survivor.get(&path).await), change.before(users), "{name}");
    check_at(directory, Timestamp::UNIX_EPOCH).await;
    // Its remains do not hinder another change.
    if before == "BatchExecuteStatement" {
        let answer = change.request(&survivor, &path, &name, users).send().await;
        assert!(answer.status < 300, "{name}: {answer}");
        assert_eq!(members(&survivor.get(&path).await), change.after(users), "{name}");
    }
    directory.pass(160);
    assert_eq!(survivor.sweep().await["left"], 0, "{name}");
    check(directory).await;
    let end = if before == "BatchExecuteStatement" { change.after(users) } else { change.before(users) };
    assert_eq!(members(&survivor.get(&path).await), end, "{name}");
}

#[tokio::test]
async fn what_a_dead_process_writes_late_stays_invisible() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    for before in ["UpdateItem", "BatchExecuteStatement", "TransactWriteItems"] {
        wakes_up_late(&directory, &users, Change::Replace, before).await;
    }
    for change in [Change::Add, Change::Remove] {
        wakes_up_late(&directory, &users, change, "BatchExecuteStatement").await;
    }
}

/// Reads the group until it shows the change.
async fn watch(client: Client, path: String, whole: [Vec<String>; 2]) {
    let mut is_done = false;
    while !is_done {
        let seen = members(&client.get(&path).await);
        assert!(whole.contains(&seen), "{} of {} and {}", seen.len(), whole[0].len(), whole[1].len());
        is_done = seen == whole[1];
    }
    assert_eq!(members(&client.get(&path).await), whole[1], "what had happened has not");
}

#[tokio::test]
async fn readers_of_a_staged_change_see_all_of_it_or_nothing() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    for change in CHANGES {
        let client = directory.client();
        let name = format!("{change:?}");
        let path = change.prepare(&client, &name, &users).await;
        let whole = [change.before(&users).to_vec(), change.after(&users).to_vec()];
        let watching: Vec<_> =
            (0..3).map(|_| tokio::spawn(watch(directory.client(), path.clone(), whole.clone()))).collect();
        let answer = change.request(&client, &path, &name, &users).send().await;
        change.has_succeeded(&answer, &client.get(&path).await, &users);
        for watching in watching {
            watching.await.unwrap();
        }
    }
    check(&directory).await;
}

/// The reader pauses between two of its calls while the change proceeds by some of its own.
#[tokio::test]
async fn a_slow_reader_of_a_staged_change_sees_all_of_it_or_nothing() {
    const STEPS: [&str; 3] = ["UpdateItem", "BatchExecuteStatement", "TransactWriteItems"];
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    let (client, reader) = (directory.client(), directory.client());
    for (from, to) in [(0, 2), (0, 3), (1, 3), (2, 3)] {
        // The reader pauses before it reads the members, and before it reads the group again.
        for read in ["Query", "GetItem"] {
            let name = format!("{from} {to} {read}");
            let path = Change::Replace.prepare(&client, &name, &users).await;
            let mut writes = STEPS.map(|step| client.faults.pause_before(step)).into_iter();
            let change = tokio::spawn(Change::Replace.request(&client, &path, &name, &users).send());
            pass(writes.by_ref().take(from)).await;
            let mut reads = [(); 2].map(|()| reader.faults.pause_before(read)).into_iter();
            let seen = tokio::spawn(reader.request("GET", &path).send());
            pass(reads.by_ref().take(1)).await;
            let mut second = reads.next().unwrap();
            second.arrived().await;
            pass(writes.by_ref().take(to - from)).await;
            let mut next = writes.next();
            match &mut next {
                Some(next) => next.arrived().await,
                None => assert_eq!(change.await.unwrap().status, 200),
            }
            second.release();
            let seen = seen.await.unwrap();
            let (version, expected) = match to {
                3 => ("W/\"2\"", Change::Replace.after(&users)),
                _ => ("W/\"1\"", Change::Replace.before(&users)),
            };
            assert_eq!((seen.header("etag"), &members(&seen)[..]), (Some(version), expected), "{name}");
        }
    }
}

/// Lets these calls pass, one after the other.
async fn pass(calls: impl Iterator<Item = Pause>) {
    for mut call in calls {
        call.arrived().await;
        call.release();
    }
}

#[tokio::test]
async fn of_two_staged_changes_at_once_none_is_lost() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 301).await;
    let crew = create(&directory.client(), "Crew", &[]).await;
    let answers = at_once(3, |n| {
        let (client, crew) = (directory.client(), crew.clone());
        let change = add(&texts(&users[n * 100..n * 100 + 101]));
        async move { client.patch(&crew, &change).await }
    })
    .await;
    assert_eq!(statuses(&answers), [204; 3]);
    let end = directory.client().get(&crew).await;
    assert_eq!((members(&end), end.header("etag")), (users, Some("W/\"4\"")));
    check(&directory).await;
}

#[tokio::test]
async fn who_waits_too_long_for_a_staged_change_is_told_to_come_again() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 201).await;
    let (client, other) = (directory.client(), directory.client());
    let crew = create(&other, "Crew", &[]).await;
    client.faults.inject("TransactWriteItems", Fault::Die);
    assert!(client.patch(&crew, &add(&texts(&users[..100]))).await.status >= 500);
    let rename = patch(&json!([{ "op": "replace", "path": "displayName", "value": "Boat" }]));
    let waiting = [
        other.request("PATCH", &crew).body(&add(&texts(&users[100..]))),
        other.request("PATCH", &crew).body(&add(&texts(&users[200..]))),
        other.request("PATCH", &crew).body(&rename),
        other.request("PUT", &crew).body(&group("Boat", &[])),
    ];
    let waiting: Vec<_> = waiting.into_iter().map(|request| tokio::spawn(request.send())).collect();
    for waiting in waiting {
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{answer}");
    }
    assert_eq!(members(&other.get(&crew).await), Vec::<String>::new());
    // After the lease the next request aborts the change.
    directory.pass(31);
    assert_eq!(other.patch(&crew, &add(&texts(&users[100..]))).await.status, 204);
    assert_eq!(members(&other.get(&crew).await), users[100..]);
    check(&directory).await;
}

#[tokio::test]
async fn a_group_that_is_deleted_under_a_staged_change_is_gone_with_it() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    let (client, other) = (directory.client(), directory.client());
    for before in ["UpdateItem", "BatchExecuteStatement", "TransactWriteItems"] {
        let path = Change::Replace.prepare(&client, before, &users).await;
        let mut pause = client.faults.pause_before(before);
        let change = tokio::spawn(Change::Replace.request(&client, &path, before, &users).send());
        pause.arrived().await;
        assert_eq!(other.delete(&path).await.status, 204);
        pause.release();
        assert_eq!(change.await.unwrap().status, 404, "{before}");
        check(&directory).await;
    }
    directory.pass(160);
    assert_eq!(other.sweep().await["left"], 0);
    check(&directory).await;
    assert_eq!(count(&directory, "demo#Group#").await, 0);
}

#[tokio::test]
async fn a_large_group_that_is_created_at_its_death_is_there_or_not() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    let mut n = 0;
    let calls = loop {
        n += 1;
        let (client, survivor) = (directory.client(), directory.client());
        let crew = group(&format!("Crew {n}"), &texts(&users));
        client.get("/ServiceProviderConfig").await;
        client.faults.on_nth_call(n, Fault::Die);
        let answer = client.post("/Groups", &crew).await;
        if answer.status == 201 {
            break n;
        }
        check(&directory).await;
        assert_eq!(survivor.get("/Groups?count=0").await.body["totalResults"], (n - 1) / 2, "{n}");
        if n % 2 == 0 {
            let again = survivor.post("/Groups", &crew).await;
            assert_eq!((again.status, members(&again).len()), (201, 101), "{n}");
        }
    };
    assert_eq!(calls, 10);
    let groups = directory.client().get("/Groups").await;
    for group in groups.body["Resources"].as_array().unwrap() {
        assert_eq!(group["members"].as_array().unwrap().len(), 101);
    }
    directory.pass(160);
    assert_eq!(directory.client().sweep().await["left"], 0);
    check(&directory).await;
    assert_eq!(count(&directory, "demo#Group#").await, 101 * (1 + (calls - 1) / 2));
}

#[tokio::test]
async fn a_staged_change_bears_a_fault_at_any_call() {
    let directory = Directory::spread().await;
    let users = populate(&directory, 101).await;
    let client = directory.client();
    for change in CHANGES {
        let faults = [Fault::LoseResponse, Fault::Throttle, Fault::ServerError, Fault::DropRequest];
        for (n, fault) in change.calls(&directory, &users).await.into_iter().zip(faults.into_iter().cycle()) {
            let name = format!("{change:?} {n} {fault:?}");
            let path = change.prepare(&client, &name, &users).await;
            client.faults.on_nth_call(n, fault);
            let answer = change.request(&client, &path, &name, &users).send().await;
            change.has_succeeded(&answer, &client.get(&path).await, &users);
            assert_eq!(client.faults.unmet(), 0, "{name}");
        }
    }
    check(&directory).await;
}
