//! Media types of requests and answers.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::client::Client;

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
        "application/json;q=0.5, application/scim+json",
        "application/scim+json;q=0.5, application/json",
        "application/scim+json;q=0.1, application/*;q=0.8",
        "application/*;q=0.8, application/json;q=0",
        "application/json; Q=0.9; charset=utf-8, application/scim+json;q=0.8",
        "application/json;q=2, application/scim+json;q=nan",
        "*/*;q=0",
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
        writeln!(table, "{accept:70}{}", types[0]).unwrap();
    }
    assert_snapshot!(table, @"
    application/scim+json                                                 application/scim+json
    application/json                                                      application/json
    application/json, application/scim+json                               application/scim+json
    application/json;q=0.9, */*;q=0.1                                     application/json
    application/json; charset=utf-8                                       application/json
    APPLICATION/JSON                                                      application/json
    */*                                                                   application/scim+json
    application/*                                                         application/scim+json
    application/json;q=0.5, application/scim+json                         application/scim+json
    application/scim+json;q=0.5, application/json                         application/json
    application/scim+json;q=0.1, application/*;q=0.8                      application/json
    application/*;q=0.8, application/json;q=0                             application/scim+json
    application/json; Q=0.9; charset=utf-8, application/scim+json;q=0.8   application/json
    application/json;q=2, application/scim+json;q=nan                     application/scim+json
    */*;q=0                                                               application/scim+json
    text/html                                                             application/scim+json
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
    // A request without a body has no media type to check.
    let get = client.request("GET", "/Users").header("content-type", "text/plain").send().await;
    assert_eq!(get.status, 200);
}

/// RFC 9110 s12.5.5: what selected the answer besides its URL.
#[tokio::test]
async fn an_answer_names_the_headers_that_it_varies_by() {
    let client = Client::new().await;
    let user = client.create(r#"{"userName":"bo"}"#).await;
    let (path, location) = (user.path(), user.header("location").unwrap());
    for (method, path, status, vary) in [
        ("GET", "/Users", 200, "Accept, Accept-Encoding, Authorization"),
        ("GET", &path, 200, "Accept, Accept-Encoding, Authorization"),
        ("HEAD", &path, 200, "Accept, Accept-Encoding, Authorization"),
        ("GET", "/Users/nobody", 404, "Accept, Accept-Encoding, Authorization"),
        ("PUT", &path, 200, "Accept, Accept-Encoding, Authorization, Prefer"),
        ("DELETE", &path, 204, "Accept, Accept-Encoding, Authorization, Prefer"),
    ] {
        let answer = client.request(method, path).body(r#"{"userName":"bo"}"#).send_raw().await;
        assert_eq!((answer.status, answer.header("vary")), (status, Some(vary)), "{method} {path}");
    }
    let user = client.create(r#"{"userName":"bo"}"#).await;
    let known = client.request("GET", &user.path()).header("if-none-match", "*").send().await;
    assert_eq!((known.status, known.header("vary").is_some()), (304, true));
    assert_ne!(user.header("location"), Some(location));
}
