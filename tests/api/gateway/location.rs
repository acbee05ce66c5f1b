//! The base URL in `Location` and `meta.location`.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::config::Config;
use serde_json::json;

use crate::support::directory::{Directory, TOKEN};

#[tokio::test]
async fn a_location_is_where_the_client_found_us() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.forwarded_headers = true;
    let client = directory.client_with(config);
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

/// Any client can send these headers. A link to a host of its choice would be stored by others.
#[tokio::test]
async fn links_follow_the_domain_of_the_api_and_no_header() {
    let directory = Directory::new().await;
    for (forwarded_headers, domain, headers, expected) in [
        (false, Some("d.example.net"), vec![("host", "evil.example")], "https://d.example.net"),
        (false, Some("d.example.net"), vec![("x-forwarded-host", "evil.example")], "https://d.example.net"),
        (false, Some("d.example.net"), vec![("x-forwarded-proto", "http")], "https://d.example.net"),
        (false, None, vec![("host", "inner"), ("x-forwarded-host", "evil.example")], "https://inner"),
        (false, None, vec![("host", "inner"), ("x-forwarded-proto", "http")], "https://inner"),
        (true, Some("localhost"), vec![("host", "127.0.0.1:3000")], "https://127.0.0.1:3000"),
        (true, Some("d.example.net"), vec![("x-forwarded-host", "outer.example")], "https://outer.example"),
        (true, Some("d.example.net"), vec![("x-forwarded-proto", "http")], "http://d.example.net"),
    ] {
        let mut config = Config::new(directory.table());
        config.forwarded_headers = forwarded_headers;
        let mut event = json!({
            "version": "2.0",
            "rawPath": "/scim/v2/ResourceTypes/User",
            "headers": { "authorization": format!("Bearer {TOKEN}") },
            "requestContext": { "stage": "$default", "domainName": domain, "http": { "method": "GET" } },
            "isBase64Encoded": false,
        });
        for (name, value) in &headers {
            event["headers"][name] = (*value).into();
        }
        let answer = directory.client_with(config).send(event).await;
        let expected = format!("{expected}/scim/v2/ResourceTypes/User");
        assert_eq!(answer.body["meta"]["location"], expected, "{forwarded_headers} {domain:?} {headers:?}");
    }
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
