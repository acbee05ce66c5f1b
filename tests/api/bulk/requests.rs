//! Bulk requests (RFC 7644 s3.7): their operations, limits and errors. The examples of the RFC are
//! in `events/rfc`.

use insta::assert_snapshot;
use scim_lambda::config::Config;
use scim_lambda::scim::policy::{Interpretation, Policy};
use serde_json::json;

use crate::support::bulk::{body, delete, id, outcomes, post, send, user};
use crate::support::client::Client;
use crate::support::directory::Directory;

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
    PUT 412 the version of the resource does not satisfy If-Match or If-None-Match: read it and repeat the change
    PATCH 412 the version of the resource does not satisfy If-Match or If-None-Match: read it and repeat the change
    DELETE 404 the resource does not exist: it was deleted or never created
    POST 2 404 endpoint /Printers not found: check the base URL, which ends in /scim/v2
    POST 3 405 POST is not allowed at /Users/00000000-0000-4000-8000-000000000001 in a bulk request: use PUT, PATCH, DELETE
    DELETE 405 DELETE is not allowed at /Users in a bulk request: use POST
    POST 4 400 /Users/.search is not available in a bulk request: send a separate request
    POST 5 400 /Bulk is not available in a bulk request: send a separate request
    GET 400 method must be POST, PUT, PATCH or DELETE
    PUT 400 PUT must have data
    DELETE 400 path must name an endpoint, such as /Users, or a resource below one
    400 method must be POST, PUT, PATCH or DELETE
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
        "detail": "the version of the resource does not satisfy If-Match or If-None-Match: read it and repeat the change"
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
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body must contain Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body must contain Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"the body must contain Operations, an array"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"failOnErrors must be an integer of at least 1"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"failOnErrors must be an integer of at least 1"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the bulkId a cannot be used twice, by the operations 1 and 3: give each its own"}
    413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the request has 1001 operations, the limit is 1000 (maxOperations): send several requests"}
    413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the bulk request has 1048726 bytes, the limit is 1048576 (maxPayloadSize): send several requests"}
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
    assert_snapshot!(three, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the request has 3 operations, the limit is 2 (maxOperations): send several requests"}"#);
    let long = client.post("/Bulk", &format!("{}{}", json!({ "Operations": [] }), " ".repeat(300))).await;
    assert_snapshot!(long, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the bulk request has 317 bytes, the limit is 300 (maxPayloadSize): send several requests"}"#);
}

#[tokio::test]
async fn a_strict_tenant_wants_a_bulk_request_to_the_letter() {
    let directory = Directory::new().await;
    let strict = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    directory.set_policy("demo", strict).await;
    let client = directory.client();
    assert_snapshot!(client.post("/Bulk", &json!({ "Operations": [] }).to_string()).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"schemas must contain urn:ietf:params:scim:api:messages:2.0:BulkRequest"}"#);
    let answer = send(
        &client,
        &[
            json!({ "method": "POST", "path": "/Users", "data": { "userName": "a" } }),
            json!({ "method": "delete", "path": "/Users/1" }),
        ],
    )
    .await;
    assert_snapshot!(outcomes(&answer), @"
    POST 400 a POST must have a bulkId
    delete 400 method must be POST, PUT, PATCH or DELETE
    ");
}

#[tokio::test]
async fn a_version_that_is_none_does_not_make_an_operation_unconditional() {
    let client = Client::new().await;
    let bo = client.create(r#"{"userName":"bo"}"#).await.path();
    let before = client.get(&bo).await.to_string();
    for version in [json!(1), json!(""), json!(" "), json!(true), json!(["W/\"1\""]), json!({}), json!([])] {
        for mut operation in [
            json!({ "method": "PUT", "path": bo, "data": { "userName": "x" } }),
            json!({ "method": "PATCH", "path": bo, "data": { "Operations": [{ "op": "add", "path": "title", "value": "x" }] } }),
            delete(&bo),
        ] {
            operation["version"] = version.clone();
            let answer = send(&client, &[operation]).await;
            let outcome = &answer.body["Operations"][0];
            assert_eq!(outcome["status"], "400", "{version}: {answer}");
            assert_eq!(
                outcome["response"]["detail"],
                "version must be a string that is not empty: send the version of the resource, \
                 such as W/\"1\", or omit it"
            );
        }
    }
    assert_eq!(client.get(&bo).await.to_string(), before);
    // RFC 7643 s2.5: null is the same as no value.
    let mut operation = delete(&bo);
    operation["version"] = json!(null);
    assert_eq!(send(&client, &[operation]).await.body["Operations"][0]["status"], "204");
}
