//! Events with odd members, and events of other services: each has a reply, because an error of the
//! function is a 502 without a word for the client.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use scim_lambda::lambda::Event;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::TOKEN;

fn http_event(method: &str) -> Value {
    json!({
        "version": "2.0",
        "rawPath": "/scim/v2/Users",
        "rawQueryString": "attributes=userName",
        "headers": { "authorization": format!("Bearer {TOKEN}"), "host": "example.com" },
        "requestContext": { "stage": "$default", "requestId": "r1", "timeEpoch": 1, "http": { "method": method } },
        "body": r#"{"userName":"bo"}"#,
        "isBase64Encoded": false,
    })
}

fn rest_event(method: &str) -> Value {
    json!({
        "httpMethod": method,
        "path": "/scim/v2/Users",
        "headers": { "Authorization": format!("Bearer {TOKEN}"), "Host": "example.com" },
        "queryStringParameters": { "attributes": "userName" },
        "requestContext": { "stage": "prod", "requestId": "r1", "identity": { "sourceIp": "192.0.2.1" } },
        "body": r#"{"userName":"bo"}"#,
        "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn an_odd_member_of_an_event_counts_as_empty_or_is_ignored() {
    let client = Client::new().await;
    let mut table = String::new();
    for (member, odd) in [
        ("/headers/x-odd", json!(null)),
        ("/headers/x-odd", json!(5)),
        ("/headers/x-odd", json!({ "a": [1] })),
        ("/headers/x-odd", json!("a\nb")),
        ("/headers/an odd name", json!("x")),
        ("/headers/", json!("x")),
        ("/headers/host", json!(null)),
        ("/headers/accept", json!(["application/json", null])),
        ("/headers/content-type", json!("application/json\u{7}")),
        ("/headers/if-none-match", json!(7)),
        ("/headers", json!(null)),
        ("/headers", json!("authorization: x")),
        ("/multiValueHeaders", json!([])),
        ("/multiValueHeaders", json!({ "authorization": null })),
        ("/queryStringParameters", json!({ "attributes": null })),
        ("/queryStringParameters", json!({ "count": 0 })),
        ("/queryStringParameters", json!({ "filter": null })),
        ("/multiValueQueryStringParameters", json!({ "attributes": ["userName", null, 5] })),
        ("/rawQueryString", json!(null)),
        ("/requestContext", json!({ "stage": 1, "http": { "method": "POST" }, "authorizer": [[[]]] })),
        ("/requestContext/timeEpoch", json!("1768477726486")),
        ("/requestContext/requestId", json!({})),
        ("/requestContext/authorizer", json!({ "jwt": 1 })),
        ("/isBase64Encoded", json!(null)),
        ("/isBase64Encoded", json!("true")),
        ("/isBase64Encoded", json!(0)),
        ("/body", json!(null)),
        ("/body", json!(17)),
        ("/body", json!({ "userName": "bo" })),
        ("/version", json!(2.0)),
        ("/cookies", json!("a=b")),
    ] {
        write!(table, "{member} {odd}:").unwrap();
        for mut event in [rest_event("POST"), http_event("POST")] {
            let (parent, name) = member.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[name] = odd.clone();
            let answer = client.send(event).await;
            if answer.status == 201 {
                client.delete(&format!("/Users/{}", answer.id())).await;
            }
            let said = format!(" {} {}", answer.status, answer.detail());
            table.push_str(said.trim_end());
        }
        table.push('\n');
    }
    assert_snapshot!(table, @r#"
    /headers/x-odd null: 201 201
    /headers/x-odd 5: 201 201
    /headers/x-odd {"a":[1]}: 201 201
    /headers/x-odd "a\nb": 201 201
    /headers/an odd name "x": 201 201
    /headers/ "x": 201 201
    /headers/host null: 201 201
    /headers/accept ["application/json",null]: 201 201
    /headers/content-type "application/json\u0007": 201 201
    /headers/if-none-match 7: 201 201
    /headers null: 401 the bearer token is missing or not valid: send Authorization: Bearer <token> 401 the bearer token is missing or not valid: send Authorization: Bearer <token>
    /headers "authorization: x": 401 the bearer token is missing or not valid: send Authorization: Bearer <token> 401 the bearer token is missing or not valid: send Authorization: Bearer <token>
    /multiValueHeaders []: 201 201
    /multiValueHeaders {"authorization":null}: 401 the bearer token is missing or not valid: send Authorization: Bearer <token> 201
    /queryStringParameters {"attributes":null}: 201 201
    /queryStringParameters {"count":0}: 201 201
    /queryStringParameters {"filter":null}: 201 201
    /multiValueQueryStringParameters {"attributes":["userName",null,5]}: 400 attribute 5: expected the name of an attribute at byte 0, found `5` 201
    /rawQueryString null: 201 201
    /requestContext {"stage":1,"http":{"method":"POST"},"authorizer":[[[]]]}: 201 201
    /requestContext/timeEpoch "1768477726486": 201 201
    /requestContext/requestId {}: 201 201
    /requestContext/authorizer {"jwt":1}: 201 201
    /isBase64Encoded null: 201 201
    /isBase64Encoded "true": 400 the body is not valid base64 400 the body is not valid base64
    /isBase64Encoded 0: 201 201
    /body null: 400 the body is empty: send a JSON object 400 the body is empty: send a JSON object
    /body 17: 400 the body must be a JSON object 400 the body must be a JSON object
    /body {"userName":"bo"}: 400 the body of the event must be text 400 the body of the event must be text
    /version 2.0: 201 201
    /cookies "a=b": 201 201
    "#);
}

/// The parsers of others may be strict: a load balancer, a warm-up plug-in, an operator's test.
#[tokio::test]
async fn an_event_of_another_service_is_answered_with_what_is_expected() {
    let client = Client::new().await;
    for event in [
        json!({}),
        json!(null),
        json!("ping"),
        json!(1e300),
        json!([{ "httpMethod": "GET" }]),
        json!({ "source": "serverless-plugin-warmup" }),
        json!({ "warmer": true, "concurrency": 3 }),
        json!({ "key1": "value1", "key2": "value2", "key3": "value3" }),
        json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": {} }),
        json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{}" }] }),
        json!({ "httpMethod": null, "requestContext": {} }),
        json!({ "httpMethod": "G T", "path": "/scim/v2/Users" }),
        // An Application Load Balancer.
        json!({
            "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/x/1" } },
            "httpMethod": "GET",
            "path": "/scim/v2/Users",
            "queryStringParameters": {},
            "headers": { "authorization": format!("Bearer {TOKEN}") },
            "body": "",
            "isBase64Encoded": false,
        }),
        // VPC Lattice.
        json!({ "version": "2.0", "path": "/scim/v2/Users", "method": "GET", "headers": {}, "requestContext": { "type": "" } }),
        // A WebSocket API.
        json!({ "requestContext": { "routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c=" }, "isBase64Encoded": false }),
    ] {
        let reply = client.invoke(event).await;
        assert_eq!(reply["statusCode"], 501, "{reply}");
        assert_eq!(reply["headers"]["content-type"], "application/scim+json");
        assert_eq!(reply["headers"]["cache-control"], "no-store");
        let body: Value = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["status"], "501");
        assert_eq!(
            body["detail"],
            "the event must be a request of an API Gateway REST API (payload 1.0) or HTTP API (payload 2.0), \
             or a Scheduled Event of EventBridge"
        );
    }
}

#[tokio::test]
async fn no_mutation_of_an_event_is_an_error() {
    let client = Client::new().await;
    for event in [rest_event("GET"), http_event("GET"), http_event("POST")] {
        for (member, mutation) in mutations(&event) {
            let reply = client.invoke(mutation).await;
            let status = reply["statusCode"].as_u64().unwrap();
            assert!(status < 500 || status == 501, "{member}: {reply}");
        }
    }
}

#[test]
fn no_mutation_of_an_event_of_aws_is_unreadable() {
    let mut count = 0;
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    for file in
        ["gateway", "eventbridge"].iter().flat_map(|folder| fs::read_dir(events.join(folder)).unwrap())
    {
        let file = file.unwrap().path();
        let event = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for (member, mutation) in mutations(&event) {
            let parsed = serde_json::from_value::<Event>(mutation);
            assert!(parsed.is_ok(), "{} {member}: {parsed:?}", file.display());
            count += 1;
        }
    }
    assert!(count > 3_000, "{count}");
}

/// Returns the event with each scalar replaced by every other kind of value, and without it.
fn mutations(event: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for pointer in scalars(event, String::new()) {
        for other in [json!(null), json!(-1.5), json!("odd\u{0}"), json!([null, "a"]), json!({ "a": [{}] })] {
            let mut mutation = event.clone();
            *mutation.pointer_mut(&pointer).unwrap() = other;
            found.push((pointer.clone(), mutation));
        }
        let mut without = event.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(members) = without.pointer_mut(parent).and_then(Value::as_object_mut) {
            members.remove(&name.replace("~1", "/"));
            found.push((pointer, without));
        }
    }
    found
}

/// Returns the JSON pointer of each scalar.
fn scalars(value: &Value, pointer: String) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| scalars(value, format!("{pointer}/{}", name.replace('/', "~1"))))
            .collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .flat_map(|(index, value)| scalars(value, format!("{pointer}/{index}")))
            .collect(),
        _ => vec![pointer],
    }
}
