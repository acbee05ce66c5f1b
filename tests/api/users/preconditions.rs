//! Preconditions of a request about one user: `If-Match` and `If-None-Match`.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::builders::{DEACTIVATE, SARAH, user};
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
