//! The life of a group: creation, members, deletion (RFC 7643 s4.2).

use serde_json::{Value, json};

use crate::support::answer::members;
use crate::support::builders::{add, patch, remove, user};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::fill::populate;
use crate::support::seed::users;

#[tokio::test]
async fn a_group_lives_from_creation_to_deletion() {
    let directory = Directory::new().await;
    let client = directory.client();
    let users = users(&client, 3).await;
    let group = json!({ "displayName": "Design", "externalId": "g1",
        "members": [{ "value": users[0], "display": "Zero" }] });
    let created = client.post("/Groups", &group.to_string()).await;
    insta::assert_snapshot!(created);
    let path = created.path();
    insta::assert_snapshot!(client.patch(&path, &add(&[&users[1]])).await);
    insta::assert_snapshot!(client.patch(&path, &add(&[&users[0], &users[2]])).await);
    let read = client.get(&path).await;
    assert_eq!(members(&read), users);
    assert_eq!(client.patch(&path, &remove(&users[0])).await.status, 204);
    insta::assert_snapshot!(client.get(&path).await);
    insta::assert_snapshot!(client.get(&format!("/Users/{}", users[1])).await);
    assert_eq!(client.delete(&format!("/Users/{}", users[1])).await.status, 204);
    assert_eq!(members(&client.get(&path).await), users[2..]);
    let put = json!({ "displayName": "Design 2", "members": [{ "value": users[0] }] });
    insta::assert_snapshot!(client.put(&path, &put.to_string()).await);
    insta::assert_snapshot!(client.get("/Groups").await);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.status, 404);
    insta::assert_snapshot!(client.get(&format!("/Users/{}", users[0])).await);
}

#[tokio::test]
async fn a_group_is_created_with_any_number_of_members() {
    let directory = Directory::spread().await;
    let ids = populate(&directory, 150).await;
    let client = directory.client();
    let inner = client.post("/Groups", r#"{"displayName":"Inner"}"#).await;
    for count in [0, 1, 47, 48, 49, 95, 96, 97, 99, 100, 150] {
        let mut members: Vec<Value> = ids[..count].iter().map(|id| json!({ "value": id })).collect();
        members.push(json!({ "value": inner.id() }));
        let group = json!({ "displayName": format!("G{count}"), "members": members });
        let created = client.post("/Groups", &group.to_string()).await;
        assert_eq!(created.status, 201, "{created}");
        assert_eq!(self::members(&client.get(&created.path()).await).len(), count + 1);
    }
    check(&directory).await;
}

/// Each of these demands the observed version, while some of the named memberships are already as
/// they should be.
#[tokio::test]
async fn a_conditional_change_that_names_present_members_and_non_members_is_applied() {
    let client = Client::new().await;
    let [a, b] = [client.create(&user("a")).await, client.create(&user("b")).await];
    let rename = json!({ "op": "replace", "path": "displayName", "value": "Tour Guides" });
    let join = |id: &str| json!({ "op": "add", "path": "members", "value": [{ "value": id }] });
    let leave = |id: &str| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
    for (header, operations, etag) in [
        (Some(("if-match", "\"1\",\"2\"")), json!([leave(b.id())]), "W/\"1\""),
        (Some(("if-none-match", "\"2\"")), json!([leave(b.id())]), "W/\"1\""),
        (Some(("if-match", "\"1\"")), json!([join(a.id()), leave(b.id())]), "W/\"1\""),
        (None, json!([rename, leave(b.id())]), "W/\"2\""),
        (None, json!([rename, join(a.id()), leave(b.id())]), "W/\"2\""),
    ] {
        let crew = json!({ "displayName": "Crew", "members": [{ "value": a.id() }] });
        let crew = client.post("/Groups", &crew.to_string()).await.path();
        let mut request = client.request("PATCH", &crew).body(&patch(&operations));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.status, 204, "{operations}");
        let after = client.get(&crew).await;
        assert_eq!(after.header("etag"), Some(etag), "{operations}");
        assert_eq!(members(&after), [a.id()], "{operations}");
        client.delete(&crew).await;
    }
}
