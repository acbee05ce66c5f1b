//! PATCH of a user: RFC 7644 s3.5.2 sentence by sentence, and requests as clients send them
//! (`patch/clients.json`). A case is a user, operations, and the user afterwards. Adding one needs
//! no Rust.
//!
//! In a case, `ENT` stands for the URN of the enterprise extension, `ID` and `USERNAME` for those
//! of the user. `after` is the user afterwards, `=` if it keeps its version and lastModified, or
//! `<scimType>: <detail>` of a 400 that changes nothing. `strict` is the result under the strict
//! policy where that differs.

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Interpretation, Mutable, Policy};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::ENTERPRISE;
use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

const CASES: [&str; 6] = [
    include_str!("patch/add.json"),
    include_str!("patch/remove.json"),
    include_str!("patch/replace.json"),
    include_str!("patch/paths.json"),
    include_str!("patch/sequence.json"),
    include_str!("patch/clients.json"),
];

#[tokio::test]
async fn every_case_ends_as_it_says() {
    let directory = Directory::new().await;
    directory.add_tenant("strict", strict()).await;
    let tolerant = directory.client();
    let strict = tolerant.with_token(&TOKEN.replace("demo", "strict"));
    let mut wrong = Vec::new();
    let cases = CASES.iter().flat_map(|text| serde_json::from_str::<Vec<Value>>(text).unwrap());
    for (number, case) in cases.enumerate() {
        let after = &case["after"];
        for (client, policy, expected) in
            [(&tolerant, "tolerant", after), (&strict, "strict", case.get("strict").unwrap_or(after))]
        {
            let found = run(client, &format!("user{number}"), &case).await;
            if found != *expected {
                wrong.push(format!("{} ({policy})\n   found {found}\nexpected {expected}", case["case"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Creates the user, patches it, and returns what a client then reads.
async fn run(client: &Client, user_name: &str, case: &Value) -> Value {
    let mut user: Value =
        serde_json::from_str(&case["before"].to_string().replace("\"ENT", &format!("\"{ENTERPRISE}")))
            .unwrap();
    user["userName"] = user_name.into();
    // A new user is active. A case that is not about it does not say so.
    let is_about_active = case.to_string().contains("active");
    user["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
    let created = client.post("/Users", &user.to_string()).await;
    assert_eq!(created.status, 201, "{created}");
    let operations = case["operations"]
        .to_string()
        .replace("\"ENT", &format!("\"{ENTERPRISE}"))
        .replace("\"ID\"", &created.body["id"].to_string())
        .replace("USERNAME", user_name);
    let patched = client.patch(&created.path(), &message(&operations)).await;
    let found = client.get(&created.path()).await;
    if patched.status != 200 {
        assert_eq!((patched.status, &found.body), (400, &created.body), "{patched}");
        return error(&patched).replace(ENTERPRISE, "ENT").into();
    }
    assert_eq!(patched.body, found.body);
    assert_eq!(patched.header("etag"), found.body["meta"]["version"].as_str());
    if found.body == created.body {
        return "=".into();
    }
    assert_eq!(patched.header("etag"), Some("W/\"2\""));
    assert_ne!(found.body["meta"]["lastModified"], created.body["meta"]["lastModified"]);
    let mut body = found.body;
    if !is_about_active {
        assert_eq!(body.as_object_mut().unwrap().remove("active"), Some(true.into()));
    }
    without_what_every_user_has(body, user_name)
}

fn without_what_every_user_has(mut body: Value, user_name: &str) -> Value {
    let attributes = body.as_object_mut().unwrap();
    let extended = attributes["schemas"].as_array().unwrap().iter().any(|urn| urn == ENTERPRISE);
    assert_eq!(extended, attributes.contains_key(ENTERPRISE));
    assert_eq!(attributes["userName"], user_name);
    attributes.retain(|name, _| !["schemas", "id", "meta", "userName"].contains(&name.as_str()));
    serde_json::from_str(&body.to_string().replace(ENTERPRISE, "ENT")).unwrap()
}

fn message(operations: &str) -> String {
    format!(r#"{{"schemas":["{MESSAGE}"],"Operations":{operations}}}"#)
}

fn error(answer: &Answer) -> String {
    format!("{}: {}", answer.body["scimType"].as_str().unwrap_or("-"), answer.detail())
}

fn strict() -> Policy {
    Policy { interpretation: Interpretation::Strict, ..Policy::default() }
}

#[tokio::test]
async fn a_body_that_is_no_patch_is_refused_before_anything_is_looked_up() {
    const OPERATIONS: &str =
        "invalidSyntax: the body must contain Operations, an array of at least one operation";
    const OP: &str = "invalidSyntax: op must be add, remove or replace";
    let directory = Directory::new().await;
    directory.add_tenant("strict", strict()).await;
    let tolerant = directory.client();
    let strict = tolerant.with_token(&TOKEN.replace("demo", "strict"));
    for (members, expected) in [
        ("", OPERATIONS),
        (r#","Operations":{"op":"remove","path":"title"}"#, OPERATIONS),
        (r#","Operations":[[]]"#, OP),
        (r#","Operations":[{"path":"title"}]"#, OP),
        (r#","Operations":[{"op":"move","path":"title"}]"#, OP),
        (r#","Operations":[{"op":["add"],"path":"title"}]"#, OP),
    ] {
        let body = format!(r#"{{"schemas":["{MESSAGE}"]{members}}}"#);
        for client in [&tolerant, &strict] {
            assert_eq!(error(&client.patch("/Users/nobody", &body).await), expected, "{body}");
        }
    }
    // A tolerant tenant takes it for a change of nothing.
    let none = format!(r#"{{"schemas":["{MESSAGE}"],"Operations":[]}}"#);
    assert_eq!(error(&strict.patch("/Users/nobody", &none).await), OPERATIONS);
    for body in ["[]", "null", "7"] {
        assert_eq!(error(&tolerant.patch("/Users/nobody", body).await), OPERATIONS);
    }
    let unnamed = r#"{"Operations":[{"op":"remove","path":"title"}]}"#;
    assert_snapshot!(tolerant.patch("/Users/nobody", unnamed).await, @r#"404 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"the resource does not exist: it was deleted or never created"}"#);
    assert_snapshot!(strict.patch("/Users/nobody", unnamed).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidSyntax","detail":"schemas must contain urn:ietf:params:scim:api:messages:2.0:PatchOp"}"#);
}

#[tokio::test]
async fn a_patch_answers_with_the_attributes_that_are_asked_for() {
    let client = Client::new().await;
    let user = client.post("/Users", r#"{"userName":"bj","title":"A"}"#).await.path();
    let title = message(r#"[{"op":"replace","path":"title","value":"B"}]"#);
    assert_snapshot!(client.patch(&format!("{user}?attributes=title"), &title).await, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","title":"B"}"#);
}

#[tokio::test]
async fn a_user_name_is_renamed_where_the_policy_lets_it() {
    let directory = Directory::new().await;
    let immutable = Policy { user_name: Mutable::Immutable, ..Policy::default() };
    directory.add_tenant("immutable", immutable).await;
    let free = directory.client();
    let fixed = free.with_token(&TOKEN.replace("demo", "immutable"));
    let rename = message(r#"[{"op":"replace","path":"userName","value":"babs"}]"#);
    for (client, expected) in [
        (&free, (200, "-: ", 409)),
        (&fixed, (400, "mutability: userName cannot be changed once it is set", 201)),
    ] {
        let user = client.post("/Users", r#"{"userName":"bj"}"#).await.path();
        let same = message(r#"[{"op":"replace","value":{"userName":"bj"}}]"#);
        assert_eq!(client.patch(&user, &same).await.header("etag"), Some("W/\"1\""));
        let renamed = client.patch(&user, &rename).await;
        let taken = client.post("/Users", r#"{"userName":"BABS"}"#).await.status;
        assert_eq!((renamed.status, error(&renamed).as_str(), taken), expected);
    }
}

#[tokio::test]
async fn a_long_path_is_not_repeated_to_the_client() {
    let client = Client::new().await;
    let long = "é".repeat(100_000);
    for operation in [
        json!({ "op": "remove", "path": long }),
        json!({ "op": "remove", "path": format!("emails[type eq \"{long}\"]") }),
    ] {
        let answer = client.patch("/Users/nobody", &message(&json!([operation]).to_string())).await;
        assert_eq!((answer.status, &answer.body["scimType"]), (400, &json!("invalidPath")));
        assert!(answer.body.to_string().len() < 500, "{answer}");
    }
}
