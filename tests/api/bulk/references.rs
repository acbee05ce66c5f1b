//! References between the resources of a bulk request (RFC 7644 s3.7.1, s3.7.2).

use insta::assert_snapshot;
use scim_lambda::scim::policy::{GroupCycles, Policy};
use serde_json::{Value, json};

use crate::support::builders::ENTERPRISE;
use crate::support::bulk::{delete, id, outcomes, patch, post, send, statuses, user};
use crate::support::client::Client;
use crate::support::directory::Directory;

const CIRCLE: &str = include_str!("../../../events/rfc/7644-3.7.1-bulk-circular-groups.json");

#[tokio::test]
async fn references_are_resolved_wherever_they_stand() {
    let client = Client::new().await;
    let answer = send(
        &client,
        &[
            // This operation comes before those that it names.
            json!({ "method": "PATCH", "path": "/Groups/bulkId:crew", "data": { "Operations": [
                { "op": "add", "path": "members", "value": [{ "value": "bulkId:mona" }] },
                { "op": "remove", "path": "members[value eq \"bulkId:zoe\"]" }] } }),
            post(
                "crew",
                "/Groups",
                json!({ "displayName": "Crew", "members": [
                { "value": "bulkId:zoe" }, { "$ref": "https://example.com/scim/v2/Users/bulkId:finn" }] }),
            ),
            user("zoe"),
            user("finn"),
            user("mona"),
            delete("/Users/bulkId:finn"),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @r#"
    PATCH 204 W/"2"
    POST crew 201 W/"1"
    POST zoe 201 W/"1"
    POST finn 201 W/"1"
    POST mona 201 W/"1"
    DELETE 204
    "#);
    let crew = client.get(&format!("/Groups/{}", id(&answer, 1))).await;
    assert_eq!(crew.body["members"].as_array().unwrap().len(), 1);
    assert_eq!(crew.body["members"][0]["value"].as_str(), Some(id(&answer, 4).as_str()));
}

#[tokio::test]
async fn what_names_a_resource_that_was_not_created_is_not_done() {
    let client = Client::new().await;
    let answer = send(
        &client,
        &[
            post("nobody", "/Users", json!({ "displayName": "nameless" })),
            post(
                "crew",
                "/Groups",
                json!({ "displayName": "Crew", "members": [{ "value": "bulkId:nobody" }] }),
            ),
            patch("/Users/bulkId:nobody", "replace", "active", json!(false)),
            post("x", "/Groups", json!({ "displayName": "X", "members": [{ "value": "bulkId:stranger" }] })),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @"
    POST nobody 400 userName is required and cannot be empty
    POST crew 409 bulkId:nobody was not created: see the error of its operation
    PATCH 409 bulkId:nobody was not created: see the error of its operation
    POST x 400 bulkId:stranger does not match the bulkId of a POST in this request
    ");
    assert_eq!(client.get("/").await.body["totalResults"], 0);
}

#[tokio::test]
async fn resources_that_name_each_other_are_created_and_then_linked() {
    let client = Client::new().await;
    let of = |name: &str, manager: &str| {
        post(
            name,
            "/Users",
            json!({ "userName": name, ENTERPRISE: { "employeeNumber": name, "manager": { "value": format!("bulkId:{manager}") } } }),
        )
    };
    let answer = send(
        &client,
        &[
            post("all", "/Groups", json!({ "displayName": "All", "members": [{ "value": "bulkId:a" }, { "value": "bulkId:own" }] })),
            of("a", "b"),
            of("b", "c"),
            of("c", "a"),
            of("own", "own"),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @r#"
    POST all 201 W/"1"
    POST a 201 W/"2"
    POST b 201 W/"1"
    POST c 201 W/"1"
    POST own 201 W/"2"
    "#);
    let mut managers = Vec::new();
    for (operation, manager) in [(1, 2), (2, 3), (3, 1), (4, 4)] {
        let user = client.get(&format!("/Users/{}", id(&answer, operation))).await;
        let enterprise = &user.body[ENTERPRISE];
        assert_eq!(enterprise["manager"]["value"].as_str(), Some(id(&answer, manager).as_str()), "{user}");
        managers.push(enterprise["employeeNumber"].as_str().unwrap().to_owned());
    }
    assert_eq!(managers, ["a", "b", "c", "own"]);
    let all = client.get(&format!("/Groups/{}", id(&answer, 0))).await;
    assert_eq!(all.body["members"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn groups_may_be_in_each_other_where_the_tenant_accepts_circles() {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { group_cycles: GroupCycles::Accept, ..Policy::default() }).await;
    let client = directory.client();
    let answer = client.send(serde_json::from_str(CIRCLE).unwrap()).await;
    assert_snapshot!(outcomes(&answer), @r#"
    POST qwerty 201 W/"2"
    POST ytrewq 201 W/"1"
    "#);
    let groups = client.get("/Groups?filter=displayName%20sw%20%22Group%22").await;
    let member =
        |group: usize| groups.body["Resources"][group]["members"][0]["value"].as_str().unwrap().to_owned();
    let (a, b) = (id(&answer, 0), id(&answer, 1));
    assert_eq!((groups.list("id"), member(0), member(1)), (format!("{a} {b}"), b, a));
}

#[tokio::test]
async fn a_thousand_operations_create_users_fill_a_group_and_close_circles() {
    let client = Client::new().await;
    let mut operations: Vec<Value> = (0..780).map(|n| user(&format!("u{n}"))).collect();
    operations.push(post("g", "/Groups", json!({ "displayName": "G" })));
    operations.extend(
        (0..200).map(|n| {
            patch("/Groups/bulkId:g", "add", "members", json!([{ "value": format!("bulkId:u{n}") }]))
        }),
    );
    operations.extend((0..19).map(|n| {
        post(&format!("c{n}"), "/Users", json!({ "userName": format!("c{n}"),
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": format!("bulkId:c{}", (n + 1) % 19) } } }))
    }));
    assert_eq!(operations.len(), 1_000);
    let answer = send(&client, &operations).await;
    let expected = |n: usize| if (781..981).contains(&n) { "204" } else { "201" };
    assert_eq!(statuses(&answer), (0..1_000).map(expected).collect::<Vec<_>>());
    let group = client.get(&format!("/Groups/{}", id(&answer, 780))).await;
    assert_eq!(group.body["members"].as_array().unwrap().len(), 200);
    assert_eq!(group.header("etag"), Some("W/\"201\""));
    assert_eq!(client.get("/Users").await.body["totalResults"], 799);
}
