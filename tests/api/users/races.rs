//! Several writers of users at once. No update is lost, and the table is consistent after each
//! test.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::builders::{patch, user};
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::races::{at_once, statuses};
use crate::support::user_write::Act;

const USER: &str =
    r#"{"userName":"sarah","externalId":"e1","emails":[{"value":"sarah@example.com"}],"title":"a"}"#;

fn set(path: &str, value: &str) -> String {
    patch(&json!([{ "op": "replace", "path": path, "value": value }]))
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
async fn a_creation_of_a_name_that_another_renames_to_meanwhile_is_409() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    let bo = other.post("/Users", &user("bo")).await;
    let mut pause = client.faults.pause_before("TransactWriteItems");
    let create = tokio::spawn(client.request("POST", "/Users").body(&user("bea")).send());
    pause.arrived().await;
    assert_eq!(other.put(&bo.path(), &user("bea")).await.status, 200);
    pause.release();
    let lost = create.await.unwrap();
    assert_eq!((lost.status, &lost.body["scimType"]), (409, &json!("uniqueness")), "{lost}");
    check(&directory).await;
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
async fn a_rename_to_the_own_name_in_other_case_is_a_plain_write() {
    let directory = Directory::new().await;
    let client = directory.client();
    let bo = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    client.faults.forget();
    let renamed =
        client.put(&format!("{bo}?attributes=userName"), r#"{"userName":"BO","active":true}"#).await;
    assert!(renamed.to_string().starts_with("200 W/\"2\""), "{renamed}");
    assert_eq!(
        (&renamed.body["userName"], client.faults.calls()),
        (&json!("BO"), vec!["UpdateItem".to_owned()])
    );
    check(&directory).await;
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
async fn a_rename_keeps_what_another_writes_meanwhile() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    let bo = client.post("/Users", &user("bo")).await.path();
    let rename = r#"{"Operations":[{"op":"replace","path":"userName","value":"bea"}]}"#;
    let mut pause = client.faults.pause_before("TransactWriteItems");
    let renamed = tokio::spawn(client.request("PATCH", &bo).body(rename).send());
    pause.arrived().await;
    Act::AddEmail.has_succeeded(&Act::AddEmail.request(&other, "bo", &bo).send().await);
    pause.release();
    let renamed = renamed.await.unwrap();
    assert!(renamed.to_string().starts_with("200 W/\"3\""), "{renamed}");
    assert_eq!(
        (&renamed.body["userName"], &renamed.body["emails"][1]["value"]),
        (&json!("bea"), &json!("second"))
    );
    check(&directory).await;
}

#[tokio::test]
async fn a_deletion_takes_along_what_another_writes_meanwhile() {
    let directory = Directory::new().await;
    let (client, other) = (directory.client(), directory.client());
    for (if_match, expected) in [("*", 204), ("\"1\"", 412)] {
        let bo = client.post("/Users", &user("bo")).await.path();
        let mut pause = client.faults.pause_before("TransactWriteItems");
        let deletion = tokio::spawn(client.request("DELETE", &bo).if_match(if_match).send());
        pause.arrived().await;
        Act::Rename.has_succeeded(&Act::Rename.request(&other, "bo", &bo).send().await);
        pause.release();
        let deletion = deletion.await.unwrap();
        assert_eq!(deletion.status, expected, "{deletion}");
        check(&directory).await;
    }
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
