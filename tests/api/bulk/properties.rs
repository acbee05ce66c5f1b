//! Properties of every bulk request. Each operation has one answer, operations on one resource keep
//! their order, and the result is that of single requests in turn.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use bolero::check;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scim_lambda::scim::bulk::Bulk;
use scim_lambda::scim::bulk::schedule::{Schedule, Step};
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::client::Client;
use crate::support::consistency::check as check_directory;
use crate::support::directory::Directory;

const BULK_IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Returns the operation that four choices make. `users` and `group` exist already.
fn operation(choices: [u8; 4], users: &[String], group: &str) -> Value {
    let [method, bulk_id, target, name] = choices.map(usize::from);
    let bulk_id = BULK_IDS.get(bulk_id % 5).copied();
    let reference = |choice: usize| match choice % 8 {
        choice @ 0..4 => format!("bulkId:{}", BULK_IDS[choice]),
        choice @ 4..6 => users[choice - 4].clone(),
        6 => "bulkId:nobody".to_owned(),
        _ => group.to_owned(),
    };
    let user = json!({ "userName": format!("u{}", name % 6), "title": name.to_string(),
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": reference(name / 8) } } });
    let message = |operation: Value| json!({ "Operations": [operation] });
    let (method, path, data) = match method % 9 {
        0 => ("POST", "/Users".to_owned(), json!({ "userName": format!("u{}", name % 6) })),
        1 => ("POST", "/Users".to_owned(), user),
        2 => (
            "POST",
            "/Groups".to_owned(),
            json!({ "displayName": format!("g{}", name % 3), "members": [{ "value": reference(target) }] }),
        ),
        3 => ("PUT", format!("/Users/{}", reference(target)), user),
        4 => (
            "PATCH",
            format!("/Users/{}", reference(target)),
            message(json!({ "op": "replace", "path": "title", "value": "t" })),
        ),
        5 => (
            "PATCH",
            format!("/Groups/{}", reference(target)),
            message(json!({ "op": "add", "path": "members", "value": [{ "value": reference(name) }] })),
        ),
        6 => (
            "PATCH",
            format!("/Groups/{}", reference(target)),
            message(json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", reference(name)) })),
        ),
        7 => ("DELETE", format!("/{}/{}", ["Users", "Groups"][name % 2], reference(target)), Value::Null),
        _ => (
            ["GET", "post", "", "PATCH"][name % 4],
            ["/Users", "/Bulk", "//", "/Users?x=y/../bulkId:a", ""][target % 5].to_owned(),
            json!(name),
        ),
    };
    json!({ "method": method, "path": path, "bulkId": bulk_id, "data": data, "version": (name == 255).then_some("W/\"7\"") })
}

async fn furnished(directory: &Directory) -> (Client, Vec<String>, String) {
    let client = directory.client();
    let mut users = Vec::new();
    for name in ["u0", "u1"] {
        users.push(client.post("/Users", &json!({ "userName": name }).to_string()).await.id().to_owned());
    }
    let group = client
        .post("/Groups", &json!({ "displayName": "g0", "members": [{ "value": users[0] }] }).to_string())
        .await;
    let group = group.id().to_owned();
    (client, users, group)
}

#[test]
fn bulk_requests() {
    let runtime = Runtime::new().unwrap();
    let (directory, (client, users, group)) = runtime.block_on(async {
        let directory = Directory::spread().await;
        let furnished = furnished(&directory).await;
        (directory, furnished)
    });
    let handler = AssertUnwindSafe((runtime, client));
    check!().with_iterations(150).with_type::<(Vec<[u8; 4]>, u8)>().for_each(|(choices, fail_on_errors)| {
        let (runtime, client) = &*handler;
        let operations: Vec<Value> =
            choices.iter().take(40).map(|choices| operation(*choices, &users, &group)).collect();
        let mut body = json!({ "Operations": operations });
        if *fail_on_errors < 16 {
            body["failOnErrors"] = (*fail_on_errors).into();
        }
        let answer = runtime.block_on(client.post("/Bulk", &body.to_string()));
        let Some(answers) = answer.body["Operations"].as_array() else {
            assert_eq!(answer.status, 400, "{body} {answer}");
            return;
        };
        let statuses: Vec<&str> = answers.iter().map(|one| one["status"].as_str().unwrap()).collect();
        assert!(!statuses.contains(&"500") && !statuses.contains(&"503"), "{body} {answer}");
        let errors = statuses.iter().filter(|status| **status >= "400").count();
        let is_cut = errors > 0 && errors >= usize::from(*fail_on_errors) && *fail_on_errors < 16;
        assert!(is_cut || statuses.len() == operations.len(), "{body} {answer}");
    });
    let AssertUnwindSafe((runtime, _)) = handler;
    runtime.block_on(check_directory(&directory));
}

/// Returns the resource that an operation changes, and the resources that it names.
fn touched(operation: &Value, created: &[String]) -> (Option<String>, Vec<String>) {
    let path = operation["path"].as_str().unwrap();
    let target = path.rsplit('/').next().unwrap().to_owned();
    let is_there = |id: &String| !id.starts_with("bulkId:") || created.contains(id);
    let text = operation["data"].to_string();
    let named = ["user-0", "user-1", "group-0", "bulkId:a\"", "bulkId:b\"", "bulkId:c\"", "bulkId:d\""];
    let named = named.iter().filter(|id| text.contains(**id)).map(|id| id.trim_end_matches('"').to_owned());
    (
        Some(target).filter(|_| operation["method"] != "POST").filter(is_there),
        named.filter(is_there).collect(),
    )
}

#[test]
fn an_agenda_comes_to_its_end_and_keeps_the_order() {
    let registry = Registry::new(&Policy::default());
    let users = ["user-0".to_owned(), "user-1".to_owned()];
    let choices = prop::collection::vec(prop::array::uniform4(any::<u8>()), 0..30);
    let holds = |(choices, order): (Vec<[u8; 4]>, Vec<u8>)| {
        let sent: Vec<Value> = choices
            .iter()
            .map(|[method, bulk_id, target, name]| {
                operation([method % 8, *bulk_id, *target, *name], &users, "group-0")
            })
            .collect();
        let Ok(bulk) = Bulk::parse(&json!({ "Operations": sent }), Leeway::default(), 1_000) else {
            return Ok(());
        };
        let mut schedule = Schedule::new(&bulk, &registry);
        let mut order = order.into_iter().cycle();
        let mut under_way: Vec<Step> = Vec::new();
        let (mut begun, mut done) = (Vec::new(), vec![0; sent.len()]);
        loop {
            while under_way.len() < 4
                && let Some(step) = schedule.next(under_way.is_empty())
            {
                under_way.push(step);
                let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = step;
                begun.push((index, under_way.clone()));
            }
            if under_way.is_empty() {
                break;
            }
            let step = under_way.swap_remove(usize::from(order.next().unwrap()) % under_way.len());
            match step {
                Step::Create(index) => schedule.created(index),
                Step::Whole(index) | Step::Link(index) => {
                    done[index] += 1;
                    schedule.done(index);
                }
            }
        }
        prop_assert_eq!(done, vec![1; sent.len()]);
        let created = sent.iter().filter(|one| one["method"] == "POST");
        let created: Vec<String> =
            created.map(|one| format!("bulkId:{}", one["bulkId"].as_str().unwrap_or_default())).collect();
        // No operation begins while another changes a resource that it touches.
        for (index, with) in begun {
            let (changed, _) = touched(&sent[index], &created);
            for step in with {
                let (Step::Whole(other) | Step::Create(other) | Step::Link(other)) = step;
                let (others, named) = touched(&sent[other], &created);
                let Some(changed) = changed.as_ref().filter(|_| other != index) else { continue };
                prop_assert!(others.as_ref() != Some(changed), "{} with {}", sent[index], sent[other]);
                prop_assert!(!named.contains(changed), "{} with {}", sent[index], sent[other]);
            }
        }
        Ok(())
    };
    // A change of a group that contains itself, while the group is still to be linked.
    holds((vec![[2, 3, 186, 0], [3, 129, 106, 0], [170, 37, 210, 0]], vec![20])).unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(1_000) });
    runner.run(&(choices, prop::collection::vec(any::<u8>(), 1..30)), holds).unwrap();
}

/// Sends the operations as single requests, with ids in the place of each bulkId.
async fn one_by_one(client: &Client, operations: &[Value]) -> Vec<String> {
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut statuses = Vec::new();
    for operation in operations {
        let mut text = operation.to_string();
        for (bulk_id, id) in &ids {
            text = text.replace(&format!("bulkId:{bulk_id}"), id);
        }
        let operation: Value = serde_json::from_str(&text).unwrap();
        let text = |name: &str| operation[name].as_str().unwrap_or_default();
        let body = operation["data"].to_string();
        let answer = client.request(text("method"), text("path")).body(&body).send().await;
        if answer.status == 201 {
            ids.insert(text("bulkId").to_owned(), answer.id().to_owned());
        }
        statuses.push(answer.status.to_string());
    }
    statuses
}

/// Returns every user: name, title, and the number of its groups.
async fn state(client: &Client) -> Value {
    let users = client.get("/Users?sortBy=userName&attributes=userName,title,groups").await.body;
    let users = users["Resources"].as_array().unwrap().iter().map(|user| {
        let groups = user["groups"].as_array().map_or(0, Vec::len);
        json!([user["userName"], user["title"], groups])
    });
    users.collect()
}

#[test]
fn a_bulk_request_does_what_its_operations_do_one_by_one() {
    let runtime = Runtime::new().unwrap();
    // Users are created under two names in two spellings each, changed, made members, and deleted.
    let choice = (0..5_usize, 0..6_usize, 0..4_usize);
    let holds = |choices: Vec<(usize, usize, usize)>| {
        let operations = |users: &[String], group: &str| -> Vec<Value> {
            let mut created = 0;
            let operation = |(what, target, name): &(usize, usize, usize)| {
                let target = match target.checked_sub(2) {
                    None => users[*target].clone(),
                    Some(n) if n < created => format!("bulkId:{n}"),
                    Some(_) => users[0].clone(),
                };
                match what {
                    0 | 1 => {
                        created += 1;
                        let name = ["u0", "U0", "new", "NEW"][*name];
                        json!({ "method": "POST", "path": "/Users", "bulkId": (created - 1).to_string(),
                            "data": { "userName": name } })
                    }
                    2 => json!({ "method": "PATCH", "path": format!("/Users/{target}"),
                        "data": { "Operations": [{ "op": "replace", "path": "title", "value": name.to_string() }] } }),
                    3 => json!({ "method": "PATCH", "path": format!("/Groups/{group}"),
                        "data": { "Operations": [{ "op": "add", "path": "members", "value": [{ "value": target }] }] } }),
                    _ => json!({ "method": "DELETE", "path": format!("/Users/{target}") }),
                }
            };
            choices.iter().map(operation).collect()
        };
        let (at_once, one_after_the_other) = runtime.block_on(async {
            let directory = Directory::spread().await;
            let (client, users, group) = furnished(&directory).await;
            let operations_at_once = operations(&users, &group);
            let body = json!({ "Operations": operations_at_once });
            let answer = client.post("/Bulk", &body.to_string()).await;
            let answers = answer.body["Operations"].as_array().unwrap().clone();
            let statuses: Vec<String> =
                answers.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect();
            let at_once = (statuses, state(&client).await);
            check_directory(&directory).await;
            let directory = Directory::spread().await;
            let (client, users, group) = furnished(&directory).await;
            let statuses = one_by_one(&client, &operations(&users, &group)).await;
            (at_once, (statuses, state(&client).await))
        });
        // Only the error differs: an operation that names a resource which was not created says so.
        let alike = |statuses: &[String]| -> Vec<bool> {
            statuses.iter().map(|status| status.as_str() < "400").collect()
        };
        prop_assert_eq!(alike(&at_once.0), alike(&one_after_the_other.0));
        prop_assert_eq!(at_once.1, one_after_the_other.1);
        Ok(())
    };
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(60) });
    runner.run(&prop::collection::vec(choice, 1..12), holds).unwrap();
}
