//! Several writers at once of a group, its members, or nested groups. The table is consistent after
//! each test.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::answer::{Answer, members};
use crate::support::builders::{add, group, patch, remove};
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::races::{at_once, statuses};
use crate::support::seed::{create, id, users};

fn version(answer: &Answer) -> u64 {
    let version = answer.header("etag").and_then(|etag| etag.strip_prefix("W/\"")?.strip_suffix('"'));
    version.unwrap_or_else(|| panic!("no version: {answer}")).parse().unwrap()
}

#[tokio::test]
async fn of_24_adds_at_once_none_is_lost() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 24).await;
    // One member is added in one trip. Two are looked up first.
    for size in [1, 2] {
        let crew = create(&client, &format!("Crew {size}"), &[]).await;
        let answers = at_once(24 / size, |n| {
            let (client, crew) = (directory.client(), crew.clone());
            let ids: Vec<&str> = users[n * size..(n + 1) * size].iter().map(String::as_str).collect();
            let added = add(&ids);
            async move { client.patch(&crew, &added).await }
        })
        .await;
        assert_eq!(statuses(&answers), vec![204; 24 / size]);
        let end = client.get(&crew).await;
        assert_eq!((members(&end).len(), version(&end)), (24, 1 + 24 / size as u64));
        check(&directory).await;
    }
}

#[tokio::test]
async fn of_8_adders_who_know_one_version_exactly_one_wins_every_round() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 20).await;
    let crew = create(&client, "Crew", &[]).await;
    for round in 1..=5 {
        let known = format!("W/\"{round}\"");
        let answers = at_once(8, |n| {
            let (client, crew, known) = (directory.client(), crew.clone(), known.clone());
            let name = format!("Crew {round} {n}");
            let (own, other) = (users[n].clone(), users[8 + round].clone());
            async move {
                let request = match n % 4 {
                    0 => client.request("PUT", &crew).body(&group(&name, &[&own, &other])),
                    1 => client.request("PATCH", &crew).body(&add(&[&other])),
                    2 => client.request("PATCH", &crew).body(&add(&[&own, &other])),
                    _ => client.request("PATCH", &crew).body(&patch(&json!([
                        { "op": "replace", "path": "displayName", "value": name },
                    ]))),
                };
                request.if_match(&known).send().await
            }
        })
        .await;
        let won = answers.iter().filter(|answer| answer.status < 300).count();
        let lost = answers.iter().filter(|answer| answer.status == 412).count();
        assert_eq!((won, lost), (1, 7), "round {round}: {:?}", statuses(&answers));
    }
    assert_eq!(version(&client.get(&crew).await), 6);
    check(&directory).await;
}

#[tokio::test]
async fn a_member_whom_50_requests_add_is_added_once() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 2).await;
    let crew = create(&client, "Crew", &[]).await;
    for (size, change) in [(1, add(&[&users[0]])), (2, add(&[&users[0], &users[1]]))] {
        let answers = at_once(50, |_| {
            let (client, crew, change) = (directory.client(), crew.clone(), change.clone());
            async move { client.patch(&crew, &change).await }
        })
        .await;
        assert_eq!(statuses(&answers), vec![204; 50]);
        let end = client.get(&crew).await;
        assert_eq!((members(&end).len(), version(&end)), (size, 1 + size as u64));
        check(&directory).await;
    }
}

#[tokio::test]
async fn adds_against_removes_end_as_some_serial_order() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 1).await;
    for round in 0..3 {
        let crew = create(&client, &format!("Crew {round}"), &[]).await;
        let answers = at_once(24, |n| {
            let (client, crew, user) = (directory.client(), crew.clone(), users[0].clone());
            async move {
                match n % 4 {
                    0 => client.patch(&crew, &add(&[&user])).await,
                    1 => client.patch(&crew, &remove(&user)).await,
                    2 => client.put(&crew, &group(&format!("Crew {round}"), &[&user])).await,
                    _ => client.put(&crew, &group(&format!("Crew {round}"), &[])).await,
                }
            }
        })
        .await;
        assert!(answers.iter().all(|answer| answer.status < 300), "{:?}", statuses(&answers));
        // Each effective change turns the member into a non-member or back.
        let end = client.get(&crew).await;
        assert_eq!(members(&end).len() as u64, (version(&end) - 1) % 2, "{end}");
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_user_who_is_deleted_while_he_is_added_is_no_member() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 6).await;
    for (n, size) in [(0, 1), (1, 2), (2, 0)] {
        let users = &users[2 * n..2 * n + 2];
        let crew = create(&client, &format!("Crew {n}"), &[]).await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let request = match size {
            0 => client.request("POST", "/Groups").body(&group("New", &ids)),
            _ => client.request("PATCH", &crew).body(&add(&ids[..size])),
        };
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let adding = tokio::spawn(request.send());
        pause.arrived().await;
        assert_eq!(other.delete(&format!("/Users/{}", users[0])).await.status, 204);
        pause.release();
        let answer = adding.await.unwrap();
        let shown = client.get(&crew).await;
        if size == 2 {
            // The user still existed when it was looked up before the write.
            assert_eq!(answer.status, 204, "{answer}");
            assert_eq!(members(&shown), users[1..]);
        } else {
            assert_eq!((answer.status, &answer.body["scimType"]), (400, &json!("invalidValue")));
            assert!(answer.detail().contains(&users[0]), "{answer}");
            assert_eq!((members(&shown), version(&shown)), (vec![], 1));
        }
        check(&directory).await;
    }
    directory.pass(160);
    assert_eq!(
        client.sweep().await,
        json!({ "tenants": 1, "done": 3, "left": 0, "errors": 0, "complete": true })
    );
    check(&directory).await;
}

#[tokio::test]
async fn a_user_who_is_added_while_he_is_deleted_is_taken_out_again() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 4).await;
    let crew = create(&client, "Crew", &[]).await;
    for (n, before) in ["GetItem", "Query"].into_iter().enumerate() {
        let mut pause = client.faults.pause_before(before);
        let user = &users[n];
        let deletion = tokio::spawn(client.request("DELETE", &format!("/Users/{user}")).send());
        pause.arrived().await;
        assert_eq!(other.patch(&crew, &add(&[user, &users[3]])).await.status, 204);
        pause.release();
        assert_eq!(deletion.await.unwrap().status, 204);
        assert_eq!(members(&other.get(&crew).await), users[3..]);
        check(&directory).await;
    }
    // A membership that the deletion did not find is not shown, and the sweep removes it.
    let mut pause = client.faults.pause_before("TransactWriteItems");
    let deletion = tokio::spawn(client.request("DELETE", &format!("/Users/{}", users[2])).send());
    pause.arrived().await;
    assert_eq!(other.patch(&crew, &add(&[&users[2], &users[3]])).await.status, 204);
    pause.release();
    assert_eq!(deletion.await.unwrap().status, 204);
    assert_eq!(members(&other.get(&crew).await), users[3..]);
    check(&directory).await;
    assert_eq!(other.patch(&crew, &add(&[&users[2]])).await.status, 400);
    directory.pass(160);
    assert_eq!(client.sweep().await["left"], 0);
    assert_eq!(members(&other.get(&crew).await), users[3..]);
    check(&directory).await;
}

#[tokio::test]
async fn a_group_that_is_deleted_while_members_are_added_is_gone() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 2).await;
    for size in [1, 2] {
        let crew = create(&client, "Crew", &[]).await;
        let ids: Vec<&str> = users[..size].iter().map(String::as_str).collect();
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let adding = tokio::spawn(client.request("PATCH", &crew).body(&add(&ids)).send());
        pause.arrived().await;
        assert_eq!(other.delete(&crew).await.status, 204);
        pause.release();
        assert_eq!(adding.await.unwrap().status, 404);
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_group_to_which_members_are_added_while_it_is_deleted_is_gone() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 2).await;
    for (if_match, status) in [("*", 204), ("\"1\"", 412)] {
        let crew = create(&client, &format!("Crew {status}"), &[]).await;
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let deletion = tokio::spawn(client.request("DELETE", &crew).if_match(if_match).send());
        pause.arrived().await;
        assert_eq!(other.patch(&crew, &add(&[&users[0]])).await.status, 204);
        pause.release();
        assert_eq!(deletion.await.unwrap().status, status);
        let groups = &client.get(&format!("/Users/{}", users[0])).await.body["groups"];
        assert_eq!(groups.as_array().map_or(0, Vec::len), usize::from(status == 412), "{groups}");
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_put_and_adds_at_once_end_as_some_serial_order() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 24).await;
    let crew = create(&client, "Crew", &[]).await;
    let answers = at_once(16, |n| {
        let (client, crew) = (directory.client(), crew.clone());
        let pair = [users[n].clone(), users[n % 8 + 16].clone()];
        async move {
            if n < 8 {
                client.put(&crew, &group("Crew", &[&pair[0], &pair[1]])).await
            } else {
                client.patch(&crew, &add(&[&pair[0]])).await
            }
        }
    })
    .await;
    assert_eq!(statuses(&answers), [vec![200; 8], vec![204; 8]].concat());
    let end = client.get(&crew).await;
    // Each of these changes something in any order.
    assert_eq!(version(&end), 17);
    let ids: BTreeSet<String> = members(&end).into_iter().collect();
    let put: Vec<usize> = (0..8).filter(|n| ids.contains(&users[*n])).collect();
    let [last] = put[..] else { panic!("not one PUT is the last: {put:?}") };
    assert!(ids.contains(&users[last + 16]));
    let others = ids.iter().filter(|id| !users[8..16].contains(id)).count();
    assert_eq!(others, 2, "{ids:?}");
    check(&directory).await;
}

#[tokio::test]
async fn a_put_that_was_overtaken_by_an_add_takes_the_member_out_again() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    let users = users(&client, 3).await;
    for (if_match, expected) in [("*", 200), ("\"1\"", 412)] {
        let name = format!("Crew {expected}");
        let crew = create(&client, &name, &[&users[0]]).await;
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let put = client.request("PUT", &crew).body(&group(&name, &[&users[1]]));
        let put = tokio::spawn(put.if_match(if_match).send());
        pause.arrived().await;
        assert_eq!(other.patch(&crew, &add(&[&users[2]])).await.status, 204);
        pause.release();
        let put = put.await.unwrap();
        assert_eq!(put.status, expected, "{put}");
        let end = client.get(&crew).await;
        if expected == 200 {
            assert_eq!((members(&put), version(&put)), (users[1..2].to_vec(), 3));
            assert_eq!((members(&end), version(&end)), (users[1..2].to_vec(), 3));
        } else {
            assert_eq!(members(&end).len(), 2);
        }
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_rename_and_adds_at_once_are_all_kept() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let users = users(&client, 9).await;
    let crew = create(&client, "Crew", &[]).await;
    let rename = |name: &str| patch(&json!([{ "op": "replace", "path": "displayName", "value": name }]));
    let answers = at_once(12, |n| {
        let (client, crew) = (directory.client(), crew.clone());
        let change = if n < 8 { add(&[&users[n]]) } else { rename(&format!("Crew {n}")) };
        async move { client.patch(&crew, &change).await }
    })
    .await;
    assert_eq!(statuses(&answers), vec![204; 12]);
    let end = client.get(&crew).await;
    assert_eq!((members(&end).len(), version(&end)), (8, 13), "{end}");
    check(&directory).await;

    let other = directory.client();
    let mut pause = client.faults.pause_before("TransactWriteItems");
    let renaming = tokio::spawn(client.request("PATCH", &crew).body(&rename("Boat")).send());
    pause.arrived().await;
    assert_eq!(other.patch(&crew, &add(&[&users[8]])).await.status, 204);
    pause.release();
    assert_eq!(renaming.await.unwrap().status, 204);
    let end = client.get(&crew).await;
    assert_eq!((members(&end).len(), version(&end), &end.body["displayName"]), (9, 15, &json!("Boat")));
    check(&directory).await;
}

#[tokio::test]
async fn of_two_groups_that_are_put_into_each_other_at_once_one_is() {
    let directory = Directory::spread().await;
    let (client, other) = (directory.client(), directory.client());
    for n in 0..3 {
        let a = create(&client, &format!("A {n}"), &[]).await;
        let b = create(&client, &format!("B {n}"), &[]).await;
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let into_a = tokio::spawn(client.request("PATCH", &a).body(&add(&[id(&b)])).send());
        pause.arrived().await;
        assert_eq!(other.patch(&b, &add(&[id(&a)])).await.status, 204);
        pause.release();
        let refused = into_a.await.unwrap();
        assert_eq!((refused.status, &refused.body["scimType"]), (400, &json!("invalidValue")));
        assert_eq!((members(&client.get(&a).await).len(), members(&client.get(&b).await).len()), (0, 1));
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_cycle_of_groups_made_at_once_stays_open() {
    let directory = Directory::spread().await;
    let client = directory.client();
    for length in [2, 3, 3, 5] {
        let mut ring = Vec::new();
        for n in 0..length {
            ring.push(create(&client, &format!("{} {n}", directory.now()), &[]).await);
        }
        let answers = at_once(length, |n| {
            let (client, group, next) = (directory.client(), ring[n].clone(), ring[(n + 1) % length].clone());
            async move { client.patch(&group, &add(&[id(&next)])).await }
        })
        .await;
        assert_eq!(statuses(&answers), [vec![204; length - 1], vec![400]].concat());
        check(&directory).await;
    }
}

#[tokio::test]
async fn a_group_is_never_a_member_of_itself() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let a = create(&client, "A", &[]).await;
    let b = create(&client, "B", &[id(&a)]).await;
    let c = create(&client, "C", &[id(&b)]).await;
    for (group_path, name, member) in [(&a, "A", &a), (&a, "A", &b), (&a, "A", &c), (&b, "B", &c)] {
        let patched = client.patch(group_path, &add(&[id(member)])).await;
        let replaced = client.put(group_path, &group(name, &[id(member)])).await;
        for refused in [patched, replaced] {
            assert_eq!((refused.status, &refused.body["scimType"]), (400, &json!("invalidValue")));
        }
    }
    assert_eq!(client.patch(&c, &add(&[id(&a)])).await.status, 204);
    // The cycle is open as soon as the group in between is deleted.
    assert_eq!(client.delete(&b).await.status, 204);
    assert_eq!(client.patch(&c, &remove(id(&a))).await.status, 204);
    assert_eq!(client.patch(&a, &add(&[id(&c)])).await.status, 204);
    check(&directory).await;
}
