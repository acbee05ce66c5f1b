//! Preconditions of a request about one resource (RFC 9110 s13, RFC 7644 s3.14): `If-Match` and
//! `If-None-Match`.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::builders::{DEACTIVATE, SARAH, patch, user};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;

#[tokio::test]
async fn if_match_guards_every_write() {
    let client = Client::new().await;
    let mut table = String::new();
    // The user is in version 2.
    for if_match in [
        "W/\"2\"",
        "\"2\"",
        "*",
        "W/\"1\"",
        "\"3\"",
        "W/\"1\", W/\"2\"",
        "\"1\",\"2\"",
        "\"1\", \"3\"",
        "\"e180ee84f0671b1\"",
        "\"e180ee84f0671b1\", \"2\"",
        "\"\"",
        "2",
        "\"02\"",
        "\"18446744073709551617\"",
    ] {
        let mut statuses = Vec::new();
        for (method, body) in [
            ("PUT", r#"{"userName":"bo","title":"y"}"#),
            ("PUT", r#"{"userName":"bobby"}"#),
            ("PATCH", DEACTIVATE),
            ("PATCH", r#"{"Operations":[{"op":"remove","path":"title"}]}"#),
            // The next two requests are no-ops.
            ("PUT", r#"{"userName":"bo","title":"x"}"#),
            ("PATCH", r#"{"Operations":[{"op":"add","path":"title","value":"x"}]}"#),
            ("DELETE", ""),
        ] {
            let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
            let before = client.put(&user, r#"{"userName":"bo","title":"x"}"#).await;
            assert_eq!(before.header("etag"), Some("W/\"2\""));
            let answer = client.request(method, &user).if_match(if_match).body(body).send().await;
            if answer.status == 412 {
                assert_eq!(client.get(&user).await.to_string(), before.to_string());
            }
            statuses.push(answer.status.to_string());
            client.delete(&user).await;
        }
        writeln!(table, "{if_match:26}{}", statuses.join(" ")).unwrap();
    }
    assert_snapshot!(table, @r#"
    W/"2"                     200 200 200 200 200 200 204
    "2"                       200 200 200 200 200 200 204
    *                         200 200 200 200 200 200 204
    W/"1"                     412 412 412 412 412 412 412
    "3"                       412 412 412 412 412 412 412
    W/"1", W/"2"              200 200 200 200 200 200 204
    "1","2"                   200 200 200 200 200 200 204
    "1", "3"                  412 412 412 412 412 412 412
    "e180ee84f0671b1"         412 412 412 412 412 412 412
    "e180ee84f0671b1", "2"    200 200 200 200 200 200 204
    ""                        412 412 412 412 412 412 412
    2                         412 412 412 412 412 412 412
    "02"                      412 412 412 412 412 412 412
    "18446744073709551617"    412 412 412 412 412 412 412
    "#);
}

#[tokio::test]
async fn a_reader_who_knows_the_version_gets_no_body() {
    let client = Client::new().await;
    let user = client.post("/Users", SARAH).await.path();
    client.patch(&user, DEACTIVATE).await;
    let mut table = String::new();
    for known in ["W/\"2\"", "\"2\"", "*", "\"1\", W/\"2\"", "\"1\"", "\"e180ee84\"", "2"] {
        let answer = client.request("GET", &user).header("if-none-match", known).send().await;
        let has_body = if answer.body.is_null() { "without" } else { "with" };
        let (status, etag) = (answer.status, answer.header("etag").unwrap());
        assert_eq!(answer.body.is_null(), answer.header("content-type").is_none());
        writeln!(table, "{known:14}{status} {etag} {has_body} a body").unwrap();
    }
    assert_snapshot!(table, @r#"
    W/"2"         304 W/"2" without a body
    "2"           304 W/"2" without a body
    *             304 W/"2" without a body
    "1", W/"2"    304 W/"2" without a body
    "1"           200 W/"2" with a body
    "e180ee84"    200 W/"2" with a body
    2             200 W/"2" with a body
    "#);
    let nobody = client.request("GET", "/Users/nobody").header("if-none-match", "*").send().await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn an_if_match_may_list_any_number_of_versions() {
    let directory = Directory::new().await;
    let client = directory.client();
    let bo = client.create(&user("bo")).await.path();
    let tags =
        |versions: std::ops::Range<u64>| versions.map(|n| format!("W/\"{n}\"")).collect::<Vec<_>>().join(",");
    let put = |tags: &str, name: &str| {
        client.request("PUT", &bo).if_match(tags).body(&json!({ "userName": name }).to_string())
    };
    let cases = [
        (tags(2..202), 412),
        ("\"never\"".to_owned(), 412),
        (tags(1..101), 200),
        (tags(1..201), 200),
        (tags(4..104), 412),
    ];
    for (n, (tags, status)) in cases.into_iter().enumerate() {
        let answer = put(&tags, &format!("bo{n}")).send().await;
        assert_eq!(answer.status, status, "{n}: {answer}");
    }
    check(&directory).await;
}

/// The ways to write a user and a group. Each takes its own path through the store.
const WRITES: [(&str, &str, &str); 11] = [
    ("PUT", "/Users", r#"{"userName":"bo","title":"y","active":true}"#),
    ("PUT", "/Users", r#"{"userName":"bobby","active":true}"#),
    ("PATCH", "/Users", DEACTIVATE),
    ("PATCH", "/Users", r#"{"Operations":[{"op":"remove","path":"title"}]}"#),
    ("PATCH", "/Users", r#"{"Operations":[{"op":"add","path":"title","value":"x"}]}"#),
    ("DELETE", "/Users", ""),
    ("PUT", "/Groups", r#"{"displayName":"crew","externalId":"y"}"#),
    ("PATCH", "/Groups", r#"{"Operations":[{"op":"add","path":"members","value":[{"value":"ID"}]}]}"#),
    ("PATCH", "/Groups", r#"{"Operations":[{"op":"remove","path":"members[value eq \"ID\"]"}]}"#),
    ("PATCH", "/Groups", r#"{"Operations":[{"op":"replace","path":"displayName","value":"z"}]}"#),
    ("DELETE", "/Groups", ""),
];

/// Sends each write with these headers to a resource in version 2, and returns the statuses. A
/// write that fails must change nothing.
async fn statuses(client: &Client, headers: &[(&str, &str)]) -> String {
    let mut statuses = Vec::new();
    for (method, endpoint, body) in WRITES {
        let member = client.create(&user("member")).await;
        let created = client.post(endpoint, r#"{"userName":"bo","displayName":"crew"}"#).await.path();
        let body = body.replace("ID", member.id());
        let change = json!([{ "op": "add", "value": { "title": "x", "externalId": "x" } }]);
        client.patch(&created, &patch(&change)).await;
        let before = client.get(&created).await;
        assert_eq!(before.header("etag"), Some("W/\"2\""));
        let request =
            headers.iter().fold(client.request(method, &created).body(&body), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = request.send().await;
        if answer.status >= 400 {
            assert_eq!(client.get(&created).await.to_string(), before.to_string());
        }
        statuses.push(answer.status.to_string());
        client.delete(&created).await;
        client.delete(&member.path()).await;
    }
    statuses.join(" ")
}

/// RFC 9110 s13.1.2: `If-None-Match` on a method that changes the resource.
#[tokio::test]
async fn if_none_match_guards_every_write() {
    let client = Client::new().await;
    let mut table = String::new();
    for (if_match, if_none_match) in [
        (None, "*"),
        (None, "W/\"2\""),
        (None, "\"1\", \"2\""),
        (None, "W/\"1\""),
        (None, "\"foreign\""),
        (Some("*"), "\"1\""),
        (Some("\"2\""), "\"1\""),
        (Some("\"1\", \"2\""), "\"2\""),
        (Some("\"1\""), "\"3\""),
    ] {
        let headers: Vec<_> = if_match
            .map(|value| ("if-match", value))
            .into_iter()
            .chain([("if-none-match", if_none_match)])
            .collect();
        let shown = format!("{} / {if_none_match}", if_match.unwrap_or("-"));
        writeln!(table, "{shown:20}{}", statuses(&client, &headers).await).unwrap();
    }
    assert_snapshot!(table, @r#"
    - / *               412 412 412 412 412 412 412 412 412 412 412
    - / W/"2"           412 412 412 412 412 412 412 412 412 412 412
    - / "1", "2"        412 412 412 412 412 412 412 412 412 412 412
    - / W/"1"           200 200 200 200 200 204 200 204 204 204 204
    - / "foreign"       200 200 200 200 200 204 200 204 204 204 204
    * / "1"             200 200 200 200 200 204 200 204 204 204 204
    "2" / "1"           200 200 200 200 200 204 200 204 204 204 204
    "1", "2" / "2"      412 412 412 412 412 412 412 412 412 412 412
    "1" / "3"           412 412 412 412 412 412 412 412 412 412 412
    "#);
}

#[tokio::test]
async fn an_empty_precondition_does_not_make_a_write_unconditional() {
    let client = Client::new().await;
    for (name, empty) in [("if-match", ""), ("if-match", " , ,"), ("if-none-match", "")] {
        assert_eq!(statuses(&client, &[(name, empty)]).await, ["400"; 11].join(" "), "{name}: {empty:?}");
    }
    // A tag may have bytes above 0x7F (RFC 9110 s8.8.3). None of ours has.
    assert_eq!(statuses(&client, &[("if-match", "\"é\"")]).await, ["412"; 11].join(" "));
    let bo = client.create(&user("bo")).await.path();
    let refused = client.request("DELETE", &bo).if_match("").send().await;
    assert_eq!(refused.body["scimType"], "invalidValue");
    assert_eq!(
        refused.detail(),
        "If-Match must not be empty: send a version, such as W/\"1\", or *, or omit the header"
    );
}

/// RFC 9110 s13.2.1: a precondition does not count if the answer without it would be no success.
#[tokio::test]
async fn a_resource_that_does_not_exist_is_404_whatever_the_precondition() {
    let client = Client::new().await;
    for id in ["nobody", "00000000-0000-4000-8000-00000000ffff"] {
        for (method, endpoint, body) in WRITES {
            for header in ["if-match", "if-none-match"] {
                let request =
                    client.request(method, &format!("{endpoint}/{id}")).body(&body.replace("ID", id));
                assert_eq!(
                    request.header(header, "*").send().await.status,
                    404,
                    "{method} {endpoint} {header}"
                );
            }
        }
    }
}

/// RFC 9110 s13.2.2: `If-Match` is evaluated before `If-None-Match`.
#[tokio::test]
async fn if_match_guards_a_read() {
    let client = Client::new().await;
    let bo = client.create(&user("bo")).await.path();
    let crew = client.post("/Groups", r#"{"displayName":"crew"}"#).await.path();
    for path in [bo, crew] {
        for (if_match, if_none_match, status) in [
            ("*", None, 200),
            ("W/\"1\"", None, 200),
            ("\"1\"", Some("\"2\""), 200),
            ("\"1\"", Some("\"1\""), 304),
            ("\"2\"", None, 412),
            ("\"2\"", Some("\"1\""), 412),
            ("\"foreign\"", None, 412),
            ("", None, 400),
        ] {
            let request = client.request("GET", &path).if_match(if_match);
            let request = match if_none_match {
                Some(known) => request.header("if-none-match", known),
                None => request,
            };
            assert_eq!(request.send().await.status, status, "{path} {if_match} {if_none_match:?}");
        }
    }
    assert_eq!(client.request("GET", "/Users/nobody").if_match("*").send().await.status, 404);
}

/// The condition is a part of the write: another writer comes between the request and the write.
#[tokio::test]
async fn a_version_that_is_excluded_and_comes_to_be_before_the_write_is_412() {
    let directory = Directory::new().await;
    for (method, endpoint, body) in WRITES {
        let (client, other) = (directory.client(), directory.client());
        let member = client.create(&user("member")).await;
        let path =
            client.post(endpoint, r#"{"userName":"bo","displayName":"crew","title":"a"}"#).await.path();
        let body = body.replace("ID", member.id());
        let is_one_update = endpoint == "/Users" && method != "DELETE";
        let call = if is_one_update { "UpdateItem" } else { "TransactWriteItems" };
        let mut pause = client.faults.pause_before(call);
        let request = client.request(method, &path).header("if-none-match", "\"2\"").body(&body);
        let write = tokio::spawn(request.send());
        pause.arrived().await;
        let change = json!([{ "op": "add", "value": { "nickName": "x", "externalId": "x" } }]);
        other.patch(&path, &patch(&change)).await;
        let before = other.get(&path).await;
        assert_eq!(before.header("etag"), Some("W/\"2\""));
        pause.release();
        assert_eq!(write.await.unwrap().status, 412, "{method} {path} {body}");
        assert_eq!(other.get(&path).await.to_string(), before.to_string());
        other.delete(&path).await;
        other.delete(&member.path()).await;
    }
    check(&directory).await;
}
