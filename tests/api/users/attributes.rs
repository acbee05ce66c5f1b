//! The life of a user.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Interpretation, Mutable, Policy};
use serde_json::{Value, json};

use crate::support::builders::{DEACTIVATE, SARAH};
use crate::support::client::Client;
use crate::support::directory::Directory;

fn rename(user_name: &str) -> String {
    json!({ "Operations": [{ "op": "replace", "path": "userName", "value": user_name }] }).to_string()
}

/// Of a tenant that takes nothing but what the RFCs say.
async fn strict_client() -> Client {
    let directory = Directory::new().await;
    let policy = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    directory.set_policy("demo", policy).await;
    directory.client()
}

/// What is kept of a user who is created with these members beside `userName`:
/// the answer without what the server adds.
async fn kept(client: &Client, members: &str) -> String {
    let created = client.post("/Users", &format!(r#"{{"userName":"bo",{members}}}"#)).await;
    if created.status != 201 {
        return format!("{} {} {}", created.status, created.body["scimType"], created.detail());
    }
    assert_eq!(client.get(&created.path()).await.body, created.body);
    assert_eq!(client.delete(&created.path()).await.status, 204);
    let Value::Object(mut user) = created.body else { panic!("no object") };
    for ours in ["schemas", "id", "userName", "meta"] {
        assert!(user.shift_remove(ours).is_some(), "no {ours}");
    }
    Value::Object(user).to_string()
}

async fn table_of_kept(client: &Client, cases: &[&str]) -> String {
    let mut table = String::new();
    for case in cases {
        writeln!(table, "{case}\n    {}", kept(client, case).await).unwrap();
    }
    table
}

#[tokio::test]
async fn a_user_is_created_renamed_and_deactivated_and_a_stale_writer_loses() {
    let client = Client::new().await;
    let created = client.post("/Users", SARAH).await;
    assert_snapshot!(created, @r#"201 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Jones","givenName":"Sarah"},"active":true,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:01Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"1\""}}"#);
    assert_eq!(created.header("location"), created.body["meta"]["location"].as_str());
    let user = created.path();

    let smith = SARAH.replace("Jones", "Smith");
    let renamed = client.request("PUT", &user).if_match("\"1\"").body(&smith).send().await;
    assert_snapshot!(renamed, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Smith","givenName":"Sarah"},"active":true,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:02Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"2\""}}"#);

    let deactivated = client.request("PATCH", &user).if_match("\"2\"").body(DEACTIVATE).send().await;
    assert_snapshot!(deactivated, @r#"200 W/"3" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Smith","givenName":"Sarah"},"active":false,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:03Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"3\""}}"#);

    let lost = client.request("PUT", &user).if_match("\"1\"").body(SARAH).send().await;
    assert_snapshot!(lost, @r#"412 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"412","detail":"the resource has changed since the version in If-Match: read it again and repeat the change"}"#);
    assert_eq!(client.get(&user).await.body, deactivated.body);
}

#[tokio::test]
async fn a_name_is_free_again_when_its_user_is_deleted() {
    let client = Client::new().await;
    let first = client.post("/Users", SARAH).await;
    let gone = client.delete(&first.path()).await;
    assert_snapshot!(gone, @"204 -");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let body = if method == "PUT" { SARAH } else { DEACTIVATE };
        let answer = client.request(method, &first.path()).body(body).send().await;
        assert_eq!(answer.status, 404, "{method}: {answer}");
    }
    assert_eq!(client.find(r#"userName eq "sarah.jones@example.com""#).await.body["totalResults"], 0);
    assert_eq!(client.find(r#"emails.value eq "sarah.jones@example.com""#).await.body["totalResults"], 0);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);

    let second = client.post("/Users", SARAH).await;
    assert_eq!(second.status, 201);
    assert_ne!(second.id(), first.id());
    assert_eq!(client.get(&first.path()).await.status, 404);
}

#[tokio::test]
async fn a_create_keeps_what_the_schema_knows_and_the_client_may_write() {
    let client = Client::new().await;
    let cases = [
        // readOnly
        r#""id":"mine","meta":{"version":"W/\"9\""},"groups":[{"value":"g"}],"schemas":["urn:example:nothing"],"title":"x""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m","displayName":"Mine"}}"#,
        // unassigned
        r#""title":null,"roles":[],"emails":[null],"phoneNumbers":[{}],"name":{},"addresses":[{"type":null}],"nickName":"x""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":null,"nickName":"x""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{},"nickName":"x""#,
        // names without case
        r#""DISPLAYNAME":"x","Name":{"GIVENNAME":"y"},"EMAILS":[{"Value":"z","TYPE":"work","Primary":true}]"#,
        r#""URN:IETF:params:scim:schemas:EXTENSION:enterprise:2.0:user":{"COSTCENTER":"4130"}"#,
        // other ways to name the same
        r#""urn:ietf:params:scim:schemas:core:2.0:User:displayName":"x","name.givenName":"y""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter":"4130""#,
        // unknown
        r#""shoeSize":38,"name":{"nick":"x"},"emails":[{"value":"x","verified":true}],"urn:example:Walk":{"pace":1}"#,
        // an extension only under its URN
        r#""department":"Tours","nickName":"x""#,
        // what identity providers make of booleans, lists and managers
        r#""active":"False","emails":{"value":"x","primary":"True"}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":""},"division":"x"}"#,
    ];
    assert_snapshot!(table_of_kept(&client, &cases).await, @r#"
    "id":"mine","meta":{"version":"W/\"9\""},"groups":[{"value":"g"}],"schemas":["urn:example:nothing"],"title":"x"
        {"title":"x"}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m","displayName":"Mine"}}
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m"}}}
    "title":null,"roles":[],"emails":[null],"phoneNumbers":[{}],"name":{},"addresses":[{"type":null}],"nickName":"x"
        {"nickName":"x"}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":null,"nickName":"x"
        {"nickName":"x"}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{},"nickName":"x"
        {"nickName":"x"}
    "DISPLAYNAME":"x","Name":{"GIVENNAME":"y"},"EMAILS":[{"Value":"z","TYPE":"work","Primary":true}]
        {"name":{"givenName":"y"},"displayName":"x","emails":[{"value":"z","type":"work","primary":true}]}
    "URN:IETF:params:scim:schemas:EXTENSION:enterprise:2.0:user":{"COSTCENTER":"4130"}
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"4130"}}
    "urn:ietf:params:scim:schemas:core:2.0:User:displayName":"x","name.givenName":"y"
        {"name":{"givenName":"y"},"displayName":"x"}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter":"4130"
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"4130"}}
    "shoeSize":38,"name":{"nick":"x"},"emails":[{"value":"x","verified":true}],"urn:example:Walk":{"pace":1}
        {"emails":[{"value":"x"}]}
    "department":"Tours","nickName":"x"
        {"nickName":"x"}
    "active":"False","emails":{"value":"x","primary":"True"}
        {"active":false,"emails":[{"value":"x","primary":true}]}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"26118915"}}}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":""},"division":"x"}
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"division":"x"}}
    "#);
}

#[tokio::test]
async fn values_are_kept_as_they_were_sent() {
    let client = Client::new().await;
    for members in [
        r#""displayName":" Zoë  Łukasiewicz \t😀 ","title":"e\u0301 is not é","nickName":"""#,
        r#""phoneNumbers":[{"value":"415.123.4567","type":"Work"},{"value":"tel:+1-201-555-0123;ext=7","type":"satellite"}]"#,
        r#""emails":[{"value":"Not@An@Address","type":"work"},{"value":"Not@An@Address","type":"home"}]"#,
        r#""externalId":"00U-Mixed","locale":"en_us","timezone":"Nowhere/Atlantis","profileUrl":"not a URL""#,
        r#""roles":[{"value":"{\"id\":\"18d1\",\"value\":\"Admin\"}"}],"x509Certificates":[{"value":"MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UE"}]"#,
    ] {
        let sent: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
        let kept: Value = serde_json::from_str(&kept(&client, members).await).unwrap();
        assert_eq!(kept, sent);
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused_by_the_name_of_its_attribute() {
    let client = Client::new().await;
    let cases = [
        r#""displayName":7"#,
        r#""displayName":true"#,
        r#""displayName":{"value":"x"}"#,
        r#""DisplayName":["x"]"#,
        r#""externalId":7"#,
        r#""active":"yes""#,
        r#""active":1"#,
        r#""profileUrl":false"#,
        r#""name":"Bo Jensen""#,
        r#""name":[{"givenName":"x"}]"#,
        r#""name":{"givenName":7}"#,
        r#""name.givenName":7"#,
        r#""emails":7"#,
        r#""emails":[7]"#,
        r#""emails":[["x"]]"#,
        r#""emails":[{"value":7}]"#,
        r#""emails":[{"value":"x","primary":"maybe"}]"#,
        r#""photos":[{"value":7}]"#,
        r#""x509Certificates":[{"value":"not base64!"}]"#,
        r#""x509Certificates":[{"value":7}]"#,
        r#""password":7"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":"x""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":4130}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":7}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":7}}"#,
        // more than one of what there is one of
        r#""emails":[{"value":"a","primary":true},{"value":"b","primary":true}]"#,
        r#""title":"x","TITLE":"y""#,
        r#""name":{"givenName":"x"},"name.givenName":"y""#,
    ];
    assert_snapshot!(table_of_kept(&client, &cases).await, @r#"
    "displayName":7
        400 "invalidValue" displayName has to be a string
    "displayName":true
        400 "invalidValue" displayName has to be a string
    "displayName":{"value":"x"}
        400 "invalidValue" displayName has to be a string
    "DisplayName":["x"]
        400 "invalidValue" displayName has to be a string
    "externalId":7
        400 "invalidValue" externalId has to be a string
    "active":"yes"
        400 "invalidValue" active has to be true or false
    "active":1
        400 "invalidValue" active has to be true or false
    "profileUrl":false
        400 "invalidValue" profileUrl has to be a string
    "name":"Bo Jensen"
        400 "invalidValue" name has to be an object
    "name":[{"givenName":"x"}]
        400 "invalidValue" name has to be an object
    "name":{"givenName":7}
        400 "invalidValue" name.givenName has to be a string
    "name.givenName":7
        400 "invalidValue" name.givenName has to be a string
    "emails":7
        400 "invalidValue" emails has to be an object
    "emails":[7]
        400 "invalidValue" emails has to be an object
    "emails":[["x"]]
        400 "invalidValue" emails has to be an object
    "emails":[{"value":7}]
        400 "invalidValue" emails.value has to be a string
    "emails":[{"value":"x","primary":"maybe"}]
        400 "invalidValue" emails.primary has to be true or false
    "photos":[{"value":7}]
        400 "invalidValue" photos.value has to be a string
    "x509Certificates":[{"value":"not base64!"}]
        400 "invalidValue" x509Certificates.value has to be a base64 string
    "x509Certificates":[{"value":7}]
        400 "invalidValue" x509Certificates.value has to be a base64 string
    "password":7
        400 "invalidValue" password has to be a string
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":"x"
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User has to be an object
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":4130}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter has to be a string
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":7}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager has to be an object
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":7}}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value has to be a string
    "emails":[{"value":"a","primary":true},{"value":"b","primary":true}]
        400 "invalidValue" emails has 2 primary values, at most one is allowed
    "title":"x","TITLE":"y"
        400 "invalidSyntax" title is given twice
    "name":{"givenName":"x"},"name.givenName":"y"
        400 "invalidSyntax" name.givenName is given twice
    "#);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
}

#[tokio::test]
async fn a_strict_tenant_refuses_what_the_rfcs_do_not_know() {
    let client = strict_client().await;
    let cases = [
        r#""shoeSize":38"#,
        r#""name":{"nick":"x"}"#,
        r#""emails":[{"value":"x","verified":true}]"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"shoeSize":38}"#,
        r#""urn:example:Walk":{"pace":1}"#,
        r#""active":"False""#,
        r#""emails":{"value":"x"}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}"#,
        // still ignored, and still without case
        r#""id":"mine","groups":[],"meta":{},"TITLE":"x""#,
    ];
    assert_snapshot!(table_of_kept(&client, &cases).await, @r#"
    "shoeSize":38
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "name":{"nick":"x"}
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "emails":[{"value":"x","verified":true}]
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"shoeSize":38}
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "urn:example:Walk":{"pace":1}
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "active":"False"
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "emails":{"value":"x"}
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "id":"mine","groups":[],"meta":{},"TITLE":"x"
        400 "invalidSyntax" schemas has to hold urn:ietf:params:scim:schemas:core:2.0:User
    "#);
}

#[tokio::test]
async fn a_body_that_is_no_user_is_refused() {
    let client = Client::new().await;
    let user = client.post("/Users", SARAH).await.path();
    let mut table = String::new();
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#""bo""#,
        "{}",
        r#"{"userName":null}"#,
        r#"{"userName":""}"#,
        r#"{"userName":7}"#,
        r#"{"userName":["bo"]}"#,
        r#"{"userName":"bo","userName":"bo"} {}"#,
        &format!("{}{}", "[".repeat(200), "]".repeat(200)),
    ] {
        let created = client.post("/Users", body).await;
        assert_eq!(client.put(&user, body).await.to_string(), created.to_string());
        // A body is judged before the resource is looked up.
        assert_eq!(client.put("/Users/nobody", body).await.to_string(), created.to_string());
        let shown: String = body.chars().take(40).collect();
        writeln!(table, "{shown}\n    {} {} {}", created.status, created.body["scimType"], created.detail())
            .unwrap();
    }
    assert_snapshot!(table, @r#"

        400 "invalidSyntax" the body is not valid JSON: EOF while parsing a value at line 1 column 0
    {
        400 "invalidSyntax" the body is not valid JSON: EOF while parsing an object at line 1 column 1
    []
        400 "invalidSyntax" the body has to be a JSON object
    null
        400 "invalidSyntax" the body has to be a JSON object
    "bo"
        400 "invalidSyntax" the body has to be a JSON object
    {}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":null}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":""}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":7}
        400 "invalidValue" userName has to be a string
    {"userName":["bo"]}
        400 "invalidValue" userName has to be a string
    {"userName":"bo","userName":"bo"} {}
        400 "invalidSyntax" the body is not valid JSON: an object has the name "userName" twice at line 1 column 33
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        400 "invalidSyntax" the body is not valid JSON: more than 32 objects and arrays are within each other at line 1 column 33
    "#);
}

#[tokio::test]
async fn a_password_is_taken_and_forgotten() {
    const PASSWORD: &str = "correct-horse-battery";
    let directory = Directory::new().await;
    let client = directory.client();
    let with_password = r#"{"userName":"bo","password":"correct-horse-battery"}"#;
    let set = r#"{"Operations":[{"op":"replace","path":"password","value":"correct-horse-battery"}]}"#;
    let set_among_others =
        r#"{"Operations":[{"op":"replace","value":{"password":"correct-horse-battery","title":"x"}}]}"#;
    let created = client.post("/Users?attributes=userName,password", with_password).await;
    assert_snapshot!(created, @r#"201 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","userName":"bo"}"#);
    let user = created.path();
    for (method, body, version) in
        [("PUT", with_password, 1), ("PATCH", set, 1), ("PATCH", set_among_others, 2), ("GET", "", 2)]
    {
        let answer = client.request(method, &user).body(body).send().await;
        assert_eq!(answer.header("etag"), Some(format!("W/\"{version}\"").as_str()), "{method} {body}");
        assert!(!answer.to_string().contains("password"), "{answer}");
    }
    assert_snapshot!(client.find(r#"password eq "correct-horse-battery""#).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidFilter","detail":"password is never returned and cannot be filtered by"}"#);

    let items = directory.dynamodb().scan().table_name(directory.table()).send().await.unwrap().items;
    let table = format!("{items:?}");
    assert!(table.contains("userName"), "{table}");
    assert!(!table.contains(PASSWORD) && !table.contains("password"), "{table}");
}

#[tokio::test]
async fn a_name_is_taken_in_every_case() {
    let client = Client::new().await;
    let sarah = client.post("/Users", SARAH).await;
    let bo = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let taken = client.post("/Users", r#"{"userName":"SARAH.Jones@Example.COM"}"#).await;
    assert_snapshot!(taken, @r#"409 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"userName is already taken by the resource with id 00000000-0000-4000-8000-000000000001: choose another or update that one"}"#);
    assert!(taken.detail().contains(sarah.id()));
    let put = client.put(&bo, r#"{"userName":"Sarah.Jones@example.com"}"#).await;
    assert_eq!(put.to_string(), taken.to_string());
    let patched = client.patch(&bo, &rename("sarah.jones@EXAMPLE.com")).await;
    assert_eq!(patched.to_string(), taken.to_string());
    assert_eq!(client.get(&bo).await.body["userName"], "bo");
}

#[tokio::test]
async fn a_user_changes_name() {
    let client = Client::new().await;
    let user = client.post("/Users", SARAH).await.path();
    for (version, name) in [(2, "sarah.smith@example.com"), (3, "Sarah.SMITH@example.com")] {
        let put = client.put(&user, &SARAH.replace("sarah.jones@example.com", name)).await;
        assert_eq!((put.status, put.header("etag")), (200, Some(format!("W/\"{version}\"").as_str())));
        assert_eq!(put.body["userName"], name);
    }
    let patched = client.patch(&user, &rename("s.smith")).await;
    assert_eq!((patched.status, patched.header("etag")), (200, Some("W/\"4\"")));
    assert_eq!(client.find(r#"userName eq "S.Smith""#).await.list("userName"), "s.smith");
    for former in ["sarah.jones@example.com", "sarah.smith@example.com"] {
        let found = client.find(&format!("userName eq {former:?}")).await;
        assert_eq!(found.body["totalResults"], 0, "{former}");
        assert_eq!(client.post("/Users", &json!({ "userName": former }).to_string()).await.status, 201);
    }
}

#[tokio::test]
async fn a_put_replaces_the_whole_user() {
    let client = Client::new().await;
    let created = client.post("/Users", SARAH).await;
    let user = created.path();
    // What clients echo of an answer changes nothing.
    let mut echo = created.body.clone();
    echo["groups"] = json!([{ "value": "g" }]);
    echo["meta"]["version"] = json!("W/\"7\"");
    for same in [SARAH.to_owned(), created.body.to_string(), echo.to_string()] {
        let put = client.put(&user, &same).await;
        assert_eq!(put.to_string(), created.to_string().replacen("201", "200", 1));
    }
    assert_snapshot!(client.put(&user, r#"{"userName":"sarah.jones@example.com"}"#).await, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","userName":"sarah.jones@example.com","meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:05Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"2\""}}"#);
    for filter in [r#"externalId eq "00u987zyx654wvu321""#, r#"emails.value eq "sarah.jones@example.com""#] {
        assert_eq!(client.find(filter).await.body["totalResults"], 0, "{filter}");
    }
}

#[tokio::test]
async fn a_tenant_can_make_names_immutable() {
    let directory = Directory::new().await;
    directory.set_policy("demo", Policy { user_name: Mutable::Immutable, ..Policy::default() }).await;
    let client = directory.client();
    let user = client.post("/Users", SARAH).await.path();
    let refused = client.put(&user, &SARAH.replace("jones@", "smith@")).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"mutability","detail":"userName cannot be changed once it is set"}"#);
    for answer in [
        client.patch(&user, &rename("sarah.smith@example.com")).await,
        client.patch(&user, &rename("Sarah.Jones@example.com")).await,
        client.put(&user, &SARAH.replace("sarah.jones@", "Sarah.Jones@")).await,
    ] {
        assert_eq!(answer.to_string(), refused.to_string());
    }
    assert_eq!(client.patch(&user, &rename("sarah.jones@example.com")).await.header("etag"), Some("W/\"1\""));
    assert_eq!(client.put(&user, &SARAH.replace("Jones", "Smith")).await.header("etag"), Some("W/\"2\""));
    assert_eq!(client.patch(&user, DEACTIVATE).await.header("etag"), Some("W/\"3\""));

    let schema = client.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await.body;
    let attributes = schema["attributes"].as_array().unwrap();
    let user_name = attributes.iter().find(|attribute| attribute["name"] == "userName").unwrap();
    assert_eq!(user_name["mutability"], "immutable");
}
