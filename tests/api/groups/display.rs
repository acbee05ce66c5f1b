//! The `display` of members (RFC 7643 s4.2), and groups without members.

use scim_lambda::scim::policy::{MemberDisplay, Policy};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::{add, patch};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::seed::{create, id};

/// Creates users of whom every other one has a `displayName`.
async fn users(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let display = (n % 2 == 0).then(|| format!("User {n}"));
        let user = json!({ "userName": format!("user{n}"), "displayName": display });
        ids.push(client.create(&user.to_string()).await.id().to_owned());
    }
    ids
}

fn displays(group: &Answer) -> Vec<&str> {
    let members = group.body["members"].as_array().unwrap().iter();
    members.map(|member| member["display"].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn a_display_that_is_not_sent_is_the_name_of_the_member_where_that_is_read() {
    let directory = Directory::new().await;
    let client = directory.client();
    let users = users(&client, 101).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let crew = create(&client, "Crew", &[]).await;
    let group = create(&client, "Design", &[]).await;
    for (body, expected) in [
        // One member is added without a read of it.
        (add(&ids[..1]), vec!["-"]),
        (add(&[ids[1], ids[2], id(&crew)]), vec!["-", "user1", "User 2", "Crew"]),
        (
            patch(&json!([{ "op": "replace", "path": "members",
                "value": [{ "value": ids[2], "display": "Mine" }, { "value": ids[3], "display": "Theirs" }] }])),
            vec!["User 2", "Theirs"],
        ),
    ] {
        assert_eq!(client.patch(&group, &body).await.status, 204);
        assert_eq!(displays(&client.get(&group).await), expected, "{body}");
    }
    assert_eq!(client.patch(&group, &add(&ids)).await.status, 204);
    let staged = client.get(&group).await;
    assert_eq!(displays(&staged)[2..4], ["User 2", "Theirs"]);
    assert_eq!(displays(&staged)[99..], ["user99", "User 100"]);
    let created = create(&client, "Many", &ids[..60]).await;
    assert_eq!(displays(&client.get(&created).await)[..2], ["User 0", "user1"]);
    check(&directory).await;
}

#[tokio::test]
async fn members_are_shown_by_their_present_names_if_the_policy_says_so() {
    let directory = Directory::new().await;
    let policy = Policy { member_display: MemberDisplay::Resolve, ..Policy::default() };
    directory.set_policy("demo", policy).await;
    let client = directory.client();
    let users = users(&client, 3).await;
    let ids: Vec<&str> = users.iter().map(String::as_str).collect();
    let group = create(&client, "Design", &ids).await;
    let read = client.get(&group).await;
    assert_eq!(displays(&read), ["User 0", "user1", "User 2"]);
    let rename = patch(&json!([{ "op": "replace", "path": "displayName", "value": "Renamed" }]));
    client.patch(&format!("/Users/{}", users[1]), &rename).await;
    // RFC 9110 s8.8.1: the tag covers the names, which change without the group.
    let known = read.header("etag").unwrap();
    let renamed = client.request("GET", &group).header("if-none-match", known).send().await;
    assert_eq!((renamed.status, displays(&renamed)), (200, vec!["User 0", "Renamed", "User 2"]));
    let known = renamed.header("etag").unwrap();
    assert_eq!(renamed.body["meta"]["version"], known);
    let same = client.request("GET", &group).header("if-none-match", known).send().await;
    assert_eq!(same.status, 304);
    let list = client.get("/Groups").await;
    assert_eq!(list.body["Resources"][0]["members"], renamed.body["members"]);
    let put = json!({ "displayName": "Design", "members": [{ "value": ids[1], "display": "Old" }] });
    assert_eq!(displays(&client.put(&group, &put.to_string()).await), ["Renamed"]);
    // Half a unit for each member.
    client.faults.forget();
    client.get(&group).await;
    let resolved = client.faults.capacity().read;
    directory.set_policy("demo", Policy::default()).await;
    let stored = directory.client();
    stored.get("/ServiceProviderConfig").await;
    stored.faults.forget();
    assert_eq!(displays(&stored.get(&group).await), ["-"]);
    let more = resolved - stored.faults.capacity().read;
    assert!((more - 0.5).abs() < f64::EPSILON || !client.faults.reports_read_units(), "{more}");
    check(&directory).await;
}

#[tokio::test]
async fn a_group_without_members_is_shown_with_none() {
    let client = Client::new().await;
    let none = Some(&Value::Array(Vec::new()));
    let created = client.post("/Groups", r#"{"displayName":"Design"}"#).await;
    let path = created.path();
    let show = format!("{path}?attributes=members");
    let rename = patch(&json!([{ "op": "replace", "path": "displayName", "value": "Drawing" }]));
    for answer in [
        created,
        client.get(&path).await,
        client.get(&show).await,
        client.get(&format!("{path}?attributes=members.value")).await,
        client.put(&path, r#"{"displayName":"Design"}"#).await,
        client.patch(&show, &rename).await,
        client.get("/Groups").await,
        client.get("/").await,
    ] {
        let group = answer.body.pointer("/Resources/0").unwrap_or(&answer.body);
        assert_eq!(group.get("members"), none, "{answer}");
    }
    for query in ["attributes=displayName", "excludedAttributes=members"] {
        for path in [&path, "/Groups"] {
            let answer = client.get(&format!("{path}?{query}")).await;
            let group = answer.body.pointer("/Resources/0").unwrap_or(&answer.body);
            assert_eq!(group.get("members"), None, "{query}: {answer}");
        }
    }
}
