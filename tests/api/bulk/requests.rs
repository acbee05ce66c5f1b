//! Bulk requests (RFC 7644 s3.7). The examples of the RFC are in `events/rfc`.

use std::time::Duration;

use insta::assert_snapshot;
use scim_lambda::config::Config;
use scim_lambda::scim::policy::{GroupCycles, Interpretation, Policy};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;

const CIRCLE: &str = include_str!("../../../events/rfc/7644-3.7.1-bulk-circular-groups.json");

async fn send(client: &Client, operations: &[Value]) -> Answer {
    client.post("/Bulk", &body(operations).to_string()).await
}

fn body(operations: &[Value]) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

fn post(bulk_id: &str, path: &str, data: impl Into<Value>) -> Value {
    json!({ "method": "POST", "path": path, "bulkId": bulk_id, "data": data.into() })
}

fn user(name: &str) -> Value {
    post(name, "/Users", json!({ "userName": name }))
}

fn patch(path: &str, op: &str, name: &str, value: impl Into<Value>) -> Value {
    json!({ "method": "PATCH", "path": path, "data": { "Operations": [{ "op": op, "path": name, "value": value.into() }] } })
}

fn delete(path: &str) -> Value {
    json!({ "method": "DELETE", "path": path })
}

/// What became of each operation: a line of status, version and detail.
fn outcomes(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer}");
    let lines = answer.body["Operations"].as_array().unwrap().iter().map(|operation| {
        let text = |pointer| operation.pointer(pointer).and_then(Value::as_str);
        let texts =
            [text("/method"), text("/bulkId"), text("/status"), text("/version"), text("/response/detail")];
        texts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn statuses(answer: &Answer) -> Vec<&str> {
    let operations = answer.body["Operations"].as_array().unwrap_or_else(|| panic!("{answer}"));
    operations.iter().map(|operation| operation["status"].as_str().unwrap()).collect()
}

/// The id of what an operation is about.
fn id(answer: &Answer, operation: usize) -> String {
    let location = answer.body["Operations"][operation]["location"].as_str().unwrap();
    location.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_bulk_request_adds_updates_and_removes_users() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob"), user("dave"), user("eve")]).await;
    let [bob, dave, eve] = [0, 1, 2].map(|operation| id(&made, operation));
    let answer = send(
        &client,
        &[
            post("qwerty", "/Users", json!({ "userName": "Alice" })),
            json!({ "method": "PUT", "path": format!("/Users/{bob}"), "version": "W/\"1\"", "data": { "userName": "Robert" } }),
            json!({ "method": "PATCH", "path": format!("/Users/{dave}"), "version": "W/\"1\"", "data": { "Operations": [
                { "op": "remove", "path": "nickName" }, { "op": "add", "path": "userName", "value": "David" }] } }),
            json!({ "method": "DELETE", "path": format!("/Users/{eve}"), "version": "W/\"1\"" }),
        ],
    )
    .await;
    assert_snapshot!(format!("{:#}", answer.body), @r#"
    {
      "schemas": [
        "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
      ],
      "Operations": [
        {
          "location": "https://example.com/scim/v2/Users/00000000-0000-4000-8000-00000000000a",
          "method": "POST",
          "bulkId": "qwerty",
          "version": "W/\"1\"",
          "status": "201"
        },
        {
          "location": "https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001",
          "method": "PUT",
          "version": "W/\"2\"",
          "status": "200"
        },
        {
          "location": "https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000004",
          "method": "PATCH",
          "version": "W/\"2\"",
          "status": "200"
        },
        {
          "location": "https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000007",
          "method": "DELETE",
          "status": "204"
        }
      ]
    }
    "#);
    assert_snapshot!(client.get("/Users?sortBy=userName&attributes=userName").await.list("userName"), @"Alice David Robert");
}

#[tokio::test]
async fn an_operation_that_fails_says_why_and_the_others_are_done() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob")]).await;
    let bob = format!("/Users/{}", id(&made, 0));
    let answer = send(
        &client,
        &[
            post("1", "/Users", json!({ "displayName": "nameless" })),
            json!({ "method": "PUT", "path": bob, "version": "W/\"7\"", "data": { "userName": "bob" } }),
            json!({ "method": "PATCH", "path": bob, "version": "no version", "data": { "Operations": [{ "op": "remove", "path": "title" }] } }),
            delete("/Users/00000000-0000-4000-8000-000000000000"),
            post("2", "/Printers", json!({})),
            post("3", &bob, json!({ "userName": "x" })),
            delete("/Users"),
            post("4", "/Users/.search", json!({ "filter": "userName pr" })),
            post("5", "/Bulk", json!({ "Operations": [] })),
            json!({ "method": "GET", "path": bob }),
            json!({ "method": "PUT", "path": bob }),
            json!({ "method": "DELETE" }),
            json!(7),
            post("6", "/Users", json!({ "userName": "carol" })),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @r#"
    POST 1 400 userName is required and cannot be empty
    PUT 412 the resource has changed since the version in If-Match: read it again and repeat the change
    PATCH 412 the resource has changed since the version in If-Match: read it again and repeat the change
    DELETE 404 there is no such resource: it was deleted, or never existed
    POST 2 404 there is no endpoint /Printers: check the base URL, which ends in /scim/v2
    POST 3 405 POST is not allowed here: use GET, HEAD, PUT, PATCH, DELETE, OPTIONS
    DELETE 405 DELETE is not allowed here: use GET, HEAD, POST, OPTIONS
    POST 4 400 /Users/.search cannot be part of a bulk request: send a request of its own
    POST 5 400 /Bulk cannot be part of a bulk request: send a request of its own
    GET 400 method has to be POST, PUT, PATCH or DELETE
    PUT 400 PUT needs data
    DELETE 400 path has to name an endpoint, such as /Users, or a resource below one
    400 method has to be POST, PUT, PATCH or DELETE
    POST 6 201 W/"1"
    "#);
    assert_snapshot!(format!("{:#}", answer.body["Operations"][1]), @r#"
    {
      "location": "https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001",
      "method": "PUT",
      "status": "412",
      "response": {
        "schemas": [
          "urn:ietf:params:scim:api:messages:2.0:Error"
        ],
        "status": "412",
        "detail": "the resource has changed since the version in If-Match: read it again and repeat the change"
      }
    }
    "#);
}

#[tokio::test]
async fn a_request_that_is_no_bulk_request_is_refused_as_a_whole() {
    let client = Client::new().await;
    let twice = body(&[
        user("a"),
        user("b"),
        json!({ "method": "POST", "path": "/Users", "bulkId": "a", "data": {} }),
    ]);
    let many = body(&vec![delete("/Users/1"); 1_001]);
    let long = body(&[post("1", "/Users", json!({ "userName": "x".repeat(1024 * 1024) }))]);
    let mut answers = Vec::new();
    for body in [
        json!([]),
        json!({}),
        json!({ "Operations": {} }),
        json!({ "Operations": [], "failOnErrors": 0 }),
        json!({ "Operations": [], "failOnErrors": "1" }),
        twice,
        many,
        long,
        json!({ "operations": [] }),
    ] {
        answers.push(client.post("/Bulk", &body.to_string()).await.to_string());
    }
    assert_snapshot!(answers.join("\n"), @r#"
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body has to hold Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body has to hold Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body has to hold Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"failOnErrors has to be an integer from 1"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"failOnErrors has to be an integer from 1"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the bulkId a is used by the operations 1 and 3: give each its own"}
    413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the request has 1001 operations, which exceeds maxOperations (1000): send several requests"}
    413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the bulk request has 1048726 bytes, which exceeds maxPayloadSize (1048576): send several requests"}
    200 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],"Operations":[]}
    "#);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
    let get = client.get("/Bulk").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST, OPTIONS")));
}

#[tokio::test]
async fn the_limits_are_those_that_the_configuration_tells() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    (config.max_bulk_operations, config.max_bulk_bytes) = (2, 300);
    let client = directory.client_with(config);
    let told = client.get("/ServiceProviderConfig").await;
    assert_eq!(told.body["bulk"], json!({ "supported": true, "maxOperations": 2, "maxPayloadSize": 300 }));
    let three = client.post("/Bulk", &json!({ "Operations": [0, 0, 0] }).to_string()).await;
    assert_snapshot!(three, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the request has 3 operations, which exceeds maxOperations (2): send several requests"}"#);
    let long = client.post("/Bulk", &format!("{}{}", json!({ "Operations": [] }), " ".repeat(300))).await;
    assert_snapshot!(long, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the bulk request has 317 bytes, which exceeds maxPayloadSize (300): send several requests"}"#);
}

#[tokio::test]
async fn a_strict_tenant_wants_a_bulk_request_to_the_letter() {
    let directory = Directory::new().await;
    let strict = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    directory.set_policy("demo", strict).await;
    let client = directory.client();
    assert_snapshot!(client.post("/Bulk", &json!({ "Operations": [] }).to_string()).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"schemas has to hold urn:ietf:params:scim:api:messages:2.0:BulkRequest"}"#);
    let answer = send(
        &client,
        &[
            json!({ "method": "POST", "path": "/Users", "data": { "userName": "a" } }),
            json!({ "method": "delete", "path": "/Users/1" }),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @"
    POST 400 a POST needs a bulkId
    delete 400 method has to be POST, PUT, PATCH or DELETE
    ");
}

#[tokio::test]
async fn references_are_resolved_wherever_they_stand() {
    let client = Client::new().await;
    let answer = send(
        &client,
        &[
            // Before what it names.
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
    PATCH 204
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
    POST x 400 bulkId:stranger is the bulkId of no POST in this request
    ");
    assert_eq!(client.get("/").await.body["totalResults"], 0);
}

#[tokio::test]
async fn resources_that_name_each_other_are_created_and_then_linked() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
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
    POST qwerty 201
    POST ytrewq 201 W/"1"
    "#);
    let groups = client.get("/Groups?filter=displayName%20sw%20%22Group%22").await;
    let member =
        |group: usize| groups.body["Resources"][group]["members"][0]["value"].as_str().unwrap().to_owned();
    let (a, b) = (id(&answer, 0), id(&answer, 1));
    assert_eq!((groups.list("id"), member(0), member(1)), (format!("{a} {b}"), b, a));
}

#[tokio::test]
async fn operations_on_one_resource_happen_in_their_order() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob"), user("ann")]).await;
    let [bob, ann] = [0, 1].map(|operation| format!("/Users/{}", id(&made, operation)));
    let mut operations = Vec::new();
    for n in 0..20 {
        operations.push(patch(&bob, "replace", "title", json!(n.to_string())));
        operations.push(patch(&ann, "replace", "title", json!(n.to_string())));
    }
    operations.push(delete(&ann));
    operations.push(patch(&ann, "replace", "title", json!("late")));
    // A name that becomes free is there to be taken, however it is spelt.
    operations.push(user("ANN"));
    operations.push(user("ann"));
    let answer = send(&client, &operations).await;
    let versions: Vec<&str> = answer.body["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| operation["location"].as_str().unwrap_or_default().ends_with(&bob))
        .map(|operation| operation["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, (2..=21).map(|n| format!("W/\"{n}\"")).collect::<Vec<_>>());
    assert_eq!(statuses(&answer)[40..], ["204", "404", "201", "409"]);
    assert_eq!(client.get(&bob).await.body["title"], "19");
}

#[tokio::test]
async fn a_member_who_is_deleted_later_is_added_before() {
    let client = Client::new().await;
    let made = send(&client, &[user("bob"), post("g", "/Groups", json!({ "displayName": "G" }))]).await;
    let (bob, group) = (id(&made, 0), format!("/Groups/{}", id(&made, 1)));
    let add = |id: &str| patch(&group, "add", "members", json!([{ "value": id }]));
    let answer = send(&client, &[add(&bob), delete(&format!("/Users/{bob}")), add(&bob)]).await;
    assert_eq!(statuses(&answer), ["204", "204", "400"], "{answer}");
    assert_eq!(client.get(&group).await.body["members"], Value::Null);
}

#[tokio::test]
async fn after_so_many_errors_nothing_more_is_begun() {
    let client = Client::new().await;
    let unnamed = || json!({ "method": "POST", "path": "/Users", "data": {} });
    let operations = [user("a"), unnamed(), user("b"), unnamed(), user("c")];
    for (limit, expected) in [(1, vec!["201", "400"]), (2, vec!["409", "400"])] {
        let body = json!({ "failOnErrors": limit, "Operations": operations });
        let answer = client.post("/Bulk", &body.to_string()).await;
        assert_eq!(statuses(&answer), expected, "{answer}");
    }
    assert_eq!(client.get("/Users").await.body["totalResults"], 1);
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

#[tokio::test]
async fn what_the_time_does_not_suffice_for_is_told() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.timeout = Duration::from_millis(700);
    let client = directory.client_with(config);
    let group = client.post("/Groups", r#"{"displayName":"G"}"#).await;
    let operations: Vec<Value> =
        (0..1_000).map(|n| patch(&group.path(), "replace", "externalId", json!(n.to_string()))).collect();
    let answer = send(&client, &operations).await;
    let statuses = statuses(&answer);
    let done = statuses.iter().position(|status| *status != "204").unwrap();
    assert_eq!(statuses.len(), 1_000);
    assert!(done > 0 && statuses[done..].iter().all(|status| *status == "503"), "{statuses:?}");
    let last = &answer.body["Operations"][999];
    assert_snapshot!(last["response"]["detail"].as_str().unwrap(), @"the request took so long that this was not begun: send it again");
    assert_eq!(last["location"].as_str().unwrap(), format!("https://example.com/scim/v2{}", group.path()));
    // The one that was cut off may have happened.
    let version = client.get(&group.path()).await;
    let version = version.header("etag").unwrap();
    assert!([done + 1, done + 2].iter().any(|n| version == format!("W/\"{n}\"")), "{version} {done}");
}
