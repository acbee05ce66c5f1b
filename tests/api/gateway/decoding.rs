//! What API Gateway hands over: media types, base64, stages, hosts.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

/// An event of a REST API, with several values for a header.
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
async fn the_answer_has_the_media_type_that_the_client_takes() {
    let client = Client::new().await;
    let mut table = String::new();
    for accept in [
        "application/scim+json",
        "application/json",
        "application/json, application/scim+json",
        "application/json;q=0.9, */*;q=0.1",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "*/*",
        "application/*",
        "text/html",
        "",
    ] {
        let types = ["/Users", "/Users/nobody", "/Schemas"].map(|path| async {
            let answer = client.request("GET", path).header("accept", accept).send().await;
            answer.header("content-type").unwrap().to_owned()
        });
        let [list, error, schemas] = types;
        let types = [list.await, error.await, schemas.await];
        assert!(types.iter().all(|media_type| *media_type == types[0]), "{accept}: {types:?}");
        writeln!(table, "{accept:42}{}", types[0]).unwrap();
    }
    assert_snapshot!(table, @"
    application/scim+json                     application/scim+json
    application/json                          application/json
    application/json, application/scim+json   application/scim+json
    application/json;q=0.9, */*;q=0.1         application/scim+json
    application/json; charset=utf-8           application/json
    APPLICATION/JSON                          application/json
    */*                                       application/scim+json
    application/*                             application/scim+json
    text/html                                 application/scim+json
                                              application/scim+json
    ");
    assert_eq!(client.get("/Users").await.header("content-type"), Some("application/scim+json"));
}

#[tokio::test]
async fn a_body_has_to_be_json() {
    let client = Client::new().await;
    let mut table = String::new();
    for (n, content_type) in [
        "application/scim+json",
        "application/scim+json; charset=utf-8",
        "application/json",
        "Application/JSON;charset=UTF-8",
        "",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
        "application/jsonp",
        "multipart/form-data; boundary=x",
    ]
    .into_iter()
    .enumerate()
    {
        let request = client.request("POST", "/Users").header("content-type", content_type);
        let answer = request.body(&json!({ "userName": format!("user{n}") }).to_string()).send().await;
        let told = answer.body["userName"].as_str().unwrap_or(answer.detail());
        writeln!(table, "{content_type}: {} {told}", answer.status).unwrap();
    }
    assert_snapshot!(table, @"
    application/scim+json: 201 user0
    application/scim+json; charset=utf-8: 201 user1
    application/json: 201 user2
    Application/JSON;charset=UTF-8: 201 user3
    : 201 user4
    text/plain: 415 the content type text/plain is not supported: send application/scim+json
    application/xml: 415 the content type application/xml is not supported: send application/scim+json
    application/x-www-form-urlencoded: 415 the content type application/x-www-form-urlencoded is not supported: send application/scim+json
    application/json-patch+json: 415 the content type application/json-patch+json is not supported: send application/scim+json
    application/jsonp: 415 the content type application/jsonp is not supported: send application/scim+json
    multipart/form-data; boundary=x: 415 the content type multipart/form-data is not supported: send application/scim+json
    ");
    let untyped = client.request("POST", "/Users").without_header("content-type");
    assert_eq!(untyped.body(r#"{"userName":"bo"}"#).send().await.status, 201);
    // What carries no body has no media type to be wrong.
    let get = client.request("GET", "/Users").header("content-type", "text/plain").send().await;
    assert_eq!(get.status, 200);
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
    empty: 400 the body is not valid JSON: EOF while parsing a value at line 1 column 0
    empty: 400 the body is not valid JSON: EOF while parsing a value at line 1 column 0
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
async fn a_location_is_where_the_client_found_us() {
    let client = Client::new().await;
    let mut table = String::new();
    for (path, stage, headers) in [
        ("/scim/v2/Users", "$default", vec![("host", "id.example.com")]),
        ("/scim/v2/Users/", "$default", vec![("host", "id.example.com:8443")]),
        ("//scim//v2//Users", "$default", vec![("host", "id.example.com")]),
        ("/prod/scim/v2/Users", "prod", vec![("host", "id.example.com")]),
        ("/a/b/scim/v2/Users", "prod", vec![("host", "id.example.com")]),
        ("/SCIM/V2/users", "$default", vec![("host", "id.example.com")]),
        ("/Users", "$default", vec![("host", "id.example.com")]),
        ("/prod/Users", "prod", vec![("host", "id.example.com")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-host", "outer.example")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-host", "outer.example, proxy")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-host", "")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-host", "evil.example/x?")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-host", "user@evil.example")]),
        ("/scim/v2/Users", "$default", vec![("host", "[::1]:3000"), ("x-forwarded-proto", "http")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-proto", "https, http")]),
        ("/scim/v2/Users", "$default", vec![("host", "inner"), ("x-forwarded-proto", "javascript")]),
        ("/scim/v2/Users", "$default", vec![]),
    ] {
        let mut event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "attributes=meta.location",
            "headers": { "authorization": format!("Bearer {TOKEN}") },
            "requestContext": { "stage": stage, "domainName": "d.example.net", "http": { "method": "POST" } },
            "body": r#"{"userName":"bo"}"#,
            "isBase64Encoded": false,
        });
        for (name, value) in &headers {
            event["headers"][name] = (*value).into();
        }
        let created = client.send(event).await;
        let location = created.header("location").unwrap_or_else(|| panic!("{path}: {created}"));
        assert_eq!(created.body["meta"]["location"], location);
        client.delete(&created.path()).await;
        let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        writeln!(
            table,
            "{path} {stage} {}\n    {}",
            headers.join(" ").trim_end(),
            location.replace(created.id(), "ID")
        )
        .unwrap();
    }
    assert_snapshot!(table, @"
    /scim/v2/Users $default host: id.example.com
        https://id.example.com/scim/v2/Users/ID
    /scim/v2/Users/ $default host: id.example.com:8443
        https://id.example.com:8443/scim/v2/Users/ID
    //scim//v2//Users $default host: id.example.com
        https://id.example.com/scim/v2/Users/ID
    /prod/scim/v2/Users prod host: id.example.com
        https://id.example.com/prod/scim/v2/Users/ID
    /a/b/scim/v2/Users prod host: id.example.com
        https://id.example.com/a/b/scim/v2/Users/ID
    /SCIM/V2/users $default host: id.example.com
        https://id.example.com/SCIM/V2/Users/ID
    /Users $default host: id.example.com
        https://id.example.com/Users/ID
    /prod/Users prod host: id.example.com
        https://id.example.com/prod/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-host: outer.example
        https://outer.example/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-host: outer.example, proxy
        https://outer.example/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-host:
        https://inner/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-host: evil.example/x?
        https://inner/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-host: user@evil.example
        https://inner/scim/v2/Users/ID
    /scim/v2/Users $default host: [::1]:3000 x-forwarded-proto: http
        http://[::1]:3000/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-proto: https, http
        https://inner/scim/v2/Users/ID
    /scim/v2/Users $default host: inner x-forwarded-proto: javascript
        https://inner/scim/v2/Users/ID
    /scim/v2/Users $default 
        https://d.example.net/scim/v2/Users/ID
    ");
}

#[tokio::test]
async fn a_configured_base_url_goes_before_what_the_request_says() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.base_url = Some("https://scim.example.org/tenants/v2/".to_owned());
    let client = directory.client_with(config);
    let created = client
        .request("POST", "/Users")
        .header("x-forwarded-host", "other.example")
        .body(r#"{"userName":"bo"}"#)
        .send()
        .await;
    let location = format!("https://scim.example.org/tenants/v2/Users/{}", created.id());
    assert_eq!(created.header("location"), Some(location.as_str()));
    assert_eq!(created.body["meta"]["location"], location);
    let config = client.get("/ServiceProviderConfig").await;
    assert_eq!(config.body["meta"]["location"], "https://scim.example.org/tenants/v2/ServiceProviderConfig");
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
    // API Gateway has decoded the parameters of a REST event.
    let mut event = rest_event("GET", "/scim/v2/Users", &[], "");
    event["multiValueQueryStringParameters"] = json!({ "filter": ["userName eq \"a%20b\""] });
    assert_eq!(client.send(event).await.list("userName"), "a%20b");
}
