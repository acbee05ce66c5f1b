//! Encodings of API Gateway: bodies in base64, repeated headers, query strings.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::TOKEN;

/// Returns an event of a REST API. A header may occur more than once.
fn rest_event(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let mut values = json!({ "Authorization": [format!("Bearer {TOKEN}")], "Host": ["example.com"] });
    for (name, value) in headers {
        match values[*name].as_array_mut() {
            Some(values) => values.push((*value).into()),
            None => values[*name] = json!([value]),
        }
    }
    json!({
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {},
        "multiValueHeaders": values,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": { "path": path, "stage": "prod", "httpMethod": method },
        "body": body,
        "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn a_body_may_be_base64() {
    let client = Client::new().await;
    let mut table = String::new();
    for (what, body) in [
        ("a user", "eyJ1c2VyTmFtZSI6InpvXHUwMGViIn0="),
        ("not UTF-8", "eyJ1c2VyTmFtZSI6Inpv6yJ9"),
        ("not base64", "{\"userName\":\"bo\"}"),
        ("without padding", "eyJ1c2VyTmFtZSI6ImJvIn0"),
        ("empty", ""),
    ] {
        for rest in [false, true] {
            let path = "/scim/v2/Users";
            let mut event = rest_event("POST", path, &[("Content-Type", "application/json")], body);
            if !rest {
                event = json!({
                    "version": "2.0",
                    "rawPath": path,
                    "rawQueryString": "",
                    "headers": { "authorization": format!("Bearer {TOKEN}"), "content-type": "application/json" },
                    "requestContext": { "stage": "$default", "http": { "method": "POST" } },
                    "body": body,
                });
            }
            event["isBase64Encoded"] = true.into();
            let answer = client.send(event).await;
            if answer.status == 201 {
                assert_eq!(client.delete(&answer.path()).await.status, 204);
            }
            let told = answer.body["userName"].as_str().unwrap_or(answer.detail());
            writeln!(table, "{what}: {} {told}", answer.status).unwrap();
        }
    }
    assert_snapshot!(table, @"
    a user: 201 zoë
    a user: 201 zoë
    not UTF-8: 400 the body is not valid JSON: invalid unicode code point at line 1 column 16
    not UTF-8: 400 the body is not valid JSON: invalid unicode code point at line 1 column 16
    not base64: 400 the body is not valid base64
    not base64: 400 the body is not valid base64
    without padding: 400 the body is not valid base64
    without padding: 400 the body is not valid base64
    empty: 400 the body is empty: send a JSON object
    empty: 400 the body is empty: send a JSON object
    ");
}

#[tokio::test]
async fn two_if_match_headers_are_one_list() {
    let client = Client::new().await;
    let id = client.post("/Users", r#"{"userName":"bo"}"#).await.id().to_owned();
    let path = format!("/prod/scim/v2/Users/{id}");
    let put = |tags: [&str; 2]| {
        let headers = tags.map(|tag| ("If-Match", tag));
        client.send(rest_event("PUT", &path, &headers, r#"{"userName":"bo","title":"x"}"#))
    };
    assert_eq!(put(["\"7\"", "\"8\""]).await.status, 412);
    assert_eq!(put(["\"7\"", "W/\"1\""]).await.to_string().get(..9), Some("200 W/\"2\""));
}

#[tokio::test]
async fn a_query_is_decoded_once() {
    let client = Client::new().await;
    for name in ["a b", "a+b", "a%20b", "a%2Bb", "a&b", "a=b", "a#b"] {
        assert_eq!(client.post("/Users", &json!({ "userName": name }).to_string()).await.status, 201);
    }
    let mut table = String::new();
    for value in ["a b", "a+b", "a%20b", "a%2Bb", "a%2520b", "a%252Bb", "a%26b", "a%3Db", "a=b", "a%23b"] {
        let found = client.get(&format!("/Users?filter=userName+eq+%22{value}%22")).await;
        writeln!(table, "{value}: {}", found.list("userName")).unwrap();
    }
    assert_snapshot!(table, @"
    a b: a b
    a+b: a b
    a%20b: a b
    a%2Bb: a+b
    a%2520b: a%20b
    a%252Bb: a%2Bb
    a%26b: a&b
    a%3Db: a=b
    a=b: a=b
    a%23b: a#b
    ");
    // In a REST event the parameters are decoded already.
    let mut event = rest_event("GET", "/scim/v2/Users", &[], "");
    event["multiValueQueryStringParameters"] = json!({ "filter": ["userName eq \"a%20b\""] });
    assert_eq!(client.send(event).await.list("userName"), "a%20b");
}

#[tokio::test]
async fn a_body_that_is_empty_or_begins_with_a_mark_is_told_so() {
    let client = Client::new().await;
    let user = client.create(r#"{"userName":"bo"}"#).await.path();
    for (method, path) in
        [("POST", "/Users"), ("PUT", &user), ("PATCH", &user), ("POST", "/Bulk"), ("POST", "/Users/.search")]
    {
        for (body, detail) in [
            ("", "the body is empty: send a JSON object"),
            (" \r\n\t", "the body is empty: send a JSON object"),
            ("\u{feff}{}", "the body begins with a byte order mark: send UTF-8 without one"),
            ("\u{feff}", "the body begins with a byte order mark: send UTF-8 without one"),
        ] {
            let answer = client.request(method, path).body(body).send().await;
            let told = (answer.status, answer.body["scimType"].as_str(), answer.detail());
            assert_eq!(told, (400, Some("invalidSyntax"), detail), "{method} {path} {body:?}");
        }
    }
}
