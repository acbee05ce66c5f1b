//! Policies of a tenant about its groups.

use scim_lambda::scim::policy::{GroupNames, MassRemoval, PatchAnswer, Policy, UnknownMembers};
use serde_json::{Value, json};

use crate::support::answer::{Answer, members};
use crate::support::builders::{add, group, patch, remove};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::seed::{create, id, users};

const NOBODY: &str = "00000000-0000-4000-9000-000000000001";
const NO_ONE: &str = "00000000-0000-4000-9000-000000000002";

async fn with_policy(policy: Policy) -> (Directory, Client) {
    let directory = Directory::new().await;
    directory.set_policy("demo", policy).await;
    let client = directory.client();
    (directory, client)
}

fn assert_refused(answer: &Answer, status: u16, scim_type: &str, detail: &str) {
    assert_eq!(
        (answer.status, answer.body["scimType"].as_str(), answer.detail()),
        (status, Some(scim_type), detail)
    );
}

fn rename(name: &str) -> String {
    patch(&json!([{ "op": "replace", "path": "displayName", "value": name }]))
}

#[tokio::test]
async fn two_groups_have_one_name_only_where_names_are_free() {
    let (directory, client) = with_policy(Policy::default()).await;
    let design = create(&client, "Design", &[]).await;
    let staff = create(&client, "Staff", &[]).await;
    let detail = format!(
        "displayName is already used by the resource with the id {}: choose another value or update that resource",
        id(&design)
    );
    for answer in [
        client.post("/Groups", &group("DESIGN", &[])).await,
        client.put(&staff, &group("Design", &[])).await,
        client.patch(&staff, &rename("design")).await,
    ] {
        assert_refused(&answer, 409, "uniqueness", &detail);
    }
    assert_eq!(client.patch(&design, &rename("DESIGN")).await.status, 204);
    assert_eq!(client.get(&staff).await.header("etag"), Some("W/\"1\""));
    check(&directory).await;

    let (directory, client) =
        with_policy(Policy { group_names: GroupNames::Free, ..Policy::default() }).await;
    let user = users(&client, 1).await;
    let design = create(&client, "Design", &[&user[0]]).await;
    create(&client, "DESIGN", &[]).await;
    let staff = create(&client, "Staff", &[]).await;
    assert_eq!(client.put(&staff, &group("design", &[])).await.status, 200);
    let lab = create(&client, "Lab", &[]).await;
    assert_eq!(client.patch(&lab, &rename("Design")).await.status, 204);
    let found = client.get("/Groups?filter=displayName+eq+%22Design%22").await;
    assert_eq!(found.list("displayName"), "Design DESIGN design Design");
    assert_eq!(client.delete(&design).await.status, 204);
    let found = client.get("/Groups?filter=displayName+eq+%22Design%22").await;
    assert_eq!(found.list("displayName"), "DESIGN design Design");
    check(&directory).await;
}

#[tokio::test]
async fn unknown_members_are_refused_by_id() {
    let (directory, client) = with_policy(Policy::default()).await;
    let user = users(&client, 1).await;
    let crew = create(&client, "Crew", &[]).await;
    for (unknown, name) in
        [(vec![NOBODY], NOBODY.to_owned()), (vec![NOBODY, NO_ONE], format!("{NOBODY}, {NO_ONE}"))]
    {
        let detail = format!("no user or group has the id {name}: create it before you add it as a member");
        let both: Vec<&str> = unknown.iter().copied().chain([user[0].as_str()]).collect();
        let replace = patch(&json!([{ "op": "replace", "path": "members",
            "value": both.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>() }]));
        for answer in [
            client.post("/Groups", &group("New", &unknown)).await,
            client.post("/Groups", &group("New", &both)).await,
            client.put(&crew, &group("Crew", &both)).await,
            client.patch(&crew, &add(&unknown)).await,
            client.patch(&crew, &add(&both)).await,
            client.patch(&crew, &replace).await,
        ] {
            assert_refused(&answer, 400, "invalidValue", &detail);
        }
    }
    let wrong = client.patch(&crew, &add(&["no id", "", "x#y"])).await;
    assert_eq!((wrong.status, &wrong.body["scimType"]), (400, &json!("invalidValue")), "{wrong}");
    assert_eq!(client.get(&crew).await.header("etag"), Some("W/\"1\""));
    assert_eq!(client.get("/Groups").await.body["totalResults"], 1);
    check(&directory).await;
}

#[tokio::test]
async fn unknown_members_are_accepted_where_the_tenant_has_it_so() {
    let (directory, client) =
        with_policy(Policy { unknown_members: UnknownMembers::Accept, ..Policy::default() }).await;
    let user = users(&client, 1).await;
    let crew = create(&client, "Crew", &[NOBODY, &user[0]]).await;
    let shown = client.get(&crew).await;
    let kinds: Vec<&Value> =
        shown.body["members"].as_array().unwrap().iter().map(|member| &member["type"]).collect();
    assert_eq!(kinds, ["User", "User"], "{shown}");
    assert_eq!(client.patch(&crew, &add(&[NO_ONE])).await.status, 204);
    assert_eq!(members(&client.get(&crew).await), [&user[0], NOBODY, NO_ONE]);
    let found = client.get(&format!("/Groups?filter=members+eq+%22{NO_ONE}%22")).await;
    assert_eq!(found.list("displayName"), "Crew");
    let put = client.put(&crew, &group("Crew", &[NO_ONE])).await;
    assert_eq!((put.status, members(&put)), (200, vec![NO_ONE.to_owned()]));
    assert_eq!(client.patch(&crew, &remove(NO_ONE)).await.status, 204);
    assert_eq!(members(&client.get(&crew).await), [""; 0]);
    check(&directory).await;
}

#[tokio::test]
async fn the_answer_to_a_patch_of_a_group_is_the_group_if_somebody_wants_it() {
    let (_directory, client) = with_policy(Policy::default()).await;
    let users = users(&client, 3).await;
    let crew = create(&client, "Crew", &[&users[0]]).await;
    let plain = client.patch(&crew, &add(&[&users[1]])).await;
    assert_eq!((plain.status, plain.body), (204, Value::Null));
    let preferred = client
        .request("PATCH", &crew)
        .header("prefer", "return=representation")
        .body(&add(&[&users[2]]))
        .send()
        .await;
    assert_eq!((preferred.status, members(&preferred)), (200, users.clone()));
    assert_eq!(preferred.header("etag"), Some("W/\"3\""));
    client.faults.forget();
    let asked = client.patch(&format!("{crew}?attributes=displayName"), &remove(&users[2])).await;
    assert_eq!((asked.status, &asked.body["displayName"]), (200, &json!("Crew")), "{asked}");
    assert_eq!((asked.header("etag"), asked.body.get("members")), (Some("W/\"4\""), None));
    assert!(!client.faults.calls().contains(&"Query".to_owned()), "{:?}", client.faults.calls());

    let policy = Policy { patch_answer: PatchAnswer::Representation, ..Policy::default() };
    let (_directory, client) = with_policy(policy).await;
    let users = self::users(&client, 2).await;
    let crew = create(&client, "Crew", &[]).await;
    let added = client.patch(&crew, &add(&[&users[0], &users[1]])).await;
    assert_eq!((added.status, added.header("etag"), members(&added)), (200, Some("W/\"2\""), users.clone()));
    let renamed = client.patch(&crew, &rename("Boat")).await;
    assert_eq!((renamed.status, members(&renamed)), (200, users.clone()), "{renamed}");
    let minimal = client.request("PATCH", &crew).header("prefer", "return=minimal").body(&remove(&users[0]));
    assert_eq!(minimal.send().await.status, 204);
    let without = client.patch(&format!("{crew}?excludedAttributes=members"), &remove(&users[1])).await;
    assert_eq!((without.status, without.body.get("members")), (200, None), "{without}");
}

#[tokio::test]
async fn no_request_removes_more_members_than_the_tenant_allows() {
    let number = MassRemoval { members: Some(2), percent: None };
    let percent = MassRemoval { members: None, percent: Some(50) };
    for (mass_removal, limit, setting) in
        [(number, "2 members", "members"), (percent, "50 percent", "percent")]
    {
        let (directory, client) = with_policy(Policy { mass_removal, ..Policy::default() }).await;
        let users = users(&client, 8).await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let crew = create(&client, "Crew", &ids[..4]).await;
        let these = |ids: &[&str]| {
            let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
            patch(&json!([{ "op": "remove", "path": "members", "value": members }]))
        };
        let detail = |removed: usize| {
            format!(
                "the request removes {removed} of 4 members, the limit is {limit}: \
                 send smaller requests, or ask the operator to raise the policy massRemoval.{setting}"
            )
        };
        for (method, body, removed) in [
            ("PATCH", patch(&json!([{ "op": "remove", "path": "members" }])), 4),
            ("PATCH", patch(&json!([{ "op": "replace", "path": "members", "value": [] }])), 4),
            ("PATCH", patch(&json!([{ "op": "remove", "path": "members[type eq \"User\"]" }])), 4),
            ("PATCH", these(&ids[..3]), 3),
            ("PUT", group("Crew", &[]), 4),
            ("PUT", group("Crew", &[ids[3], ids[4], ids[5], ids[6]]), 3),
        ] {
            let answer = client.request(method, &crew).body(&body).send().await;
            assert_refused(&answer, 400, "invalidValue", &detail(removed));
        }
        assert_eq!(members(&client.get(&crew).await), users[..4]);
        // Non-members do not count as removed.
        assert_eq!(client.patch(&crew, &these(&ids[4..])).await.status, 204);
        assert_eq!(client.patch(&crew, &these(&ids[3..])).await.status, 204);
        assert_eq!(members(&client.get(&crew).await), users[..3]);
        assert_eq!(client.put(&crew, &group("Crew", &ids[1..])).await.status, 200);
        // A single member may always be removed.
        let pair = create(&client, "Pair", &ids[..1]).await;
        assert_eq!(
            client.patch(&pair, &patch(&json!([{ "op": "remove", "path": "members" }]))).await.status,
            204
        );
        assert_eq!(client.patch(&pair, &add(&ids[..1])).await.status, 204);
        assert_eq!(client.patch(&pair, &remove(ids[0])).await.status, 204);
        assert_eq!(members(&client.get(&pair).await), [""; 0]);
        // A deletion of the group is not limited.
        assert_eq!(client.delete(&crew).await.status, 204);
        client.sweep().await;
        check(&directory).await;
    }
}
