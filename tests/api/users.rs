//! The life of a user.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::config::Config;
use scim_lambda::scim::policy::{Interpretation, Mutable, Policy};
use serde_json::{Value, json};

use crate::client::{Answer, Client, Directory};

const SARAH: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"00u987zyx654wvu321","active":true,
    "userName":"sarah.jones@example.com","name":{"givenName":"Sarah","familyName":"Jones"},
    "emails":[{"value":"sarah.jones@example.com","type":"work"}]}"#;

const DEACTIVATE: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations":[{"op":"replace","path":"active","value":false}]}"#;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

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
        {"name":{"givenName":"y"},"emails":[{"value":"z","type":"work","primary":true}],"displayName":"x"}
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
        400 "invalidSyntax" shoeSize is not an attribute of User: remove it or correct its name
    "name":{"nick":"x"}
        400 "invalidSyntax" name has no sub-attribute nick
    "emails":[{"value":"x","verified":true}]
        400 "invalidSyntax" emails has no sub-attribute verified
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"shoeSize":38}
        400 "invalidSyntax" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:shoeSize is not an attribute of User: remove it or correct its name
    "urn:example:Walk":{"pace":1}
        400 "invalidSyntax" urn:example:Walk is not an attribute of User: remove it or correct its name
    "active":"False"
        400 "invalidValue" active has to be true or false
    "emails":{"value":"x"}
        400 "invalidValue" emails has to be an array
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager has to be an object
    "id":"mine","groups":[],"meta":{},"TITLE":"x"
        {"title":"x"}
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
        400 "invalidSyntax" the body is not valid JSON: trailing characters at line 1 column 35
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        400 "invalidSyntax" the body is not valid JSON: recursion limit exceeded at line 1 column 128
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
            // These two would change nothing.
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
    W/"2"         304 W/"2" 
    "2"           304 W/"2" 
    *             304 W/"2" 
    "1", W/"2"    304 W/"2" 
    "1"           200 W/"2" and a body
    "e180ee84"    200 W/"2" and a body
    2             200 W/"2" and a body
    "#);
    let nobody = client.request("GET", "/Users/nobody").header("if-none-match", "*").send().await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn a_client_may_want_no_body() {
    let client = Client::new().await;
    let mut table = String::new();
    let mut show = |what: &str, answer: &Answer| {
        let header = |name| answer.header(name).unwrap_or("-").to_owned();
        let body = if answer.body.is_null() { "no body" } else { "a body" };
        let [applied, location, kind] = ["preference-applied", "location", "content-type"].map(header);
        let etag = header("etag");
        writeln!(table, "{what}: {} {etag} {applied} {location} {kind} {body}", answer.status).unwrap();
    };
    let prefer = |method: &str, path: &str| client.request(method, path).header("prefer", "return=minimal");
    let created = prefer("POST", "/Users").body(SARAH).send().await;
    show("POST", &created);
    let location = created.header("location").unwrap();
    let user = location.strip_prefix("https://example.com/scim/v2").unwrap();
    show("PUT", &prefer("PUT", user).body(&SARAH.replace("Jones", "Smith")).send().await);
    show("PUT same", &prefer("PUT", user).body(&SARAH.replace("Jones", "Smith")).send().await);
    show("PATCH", &prefer("PATCH", user).body(DEACTIVATE).send().await);
    show("GET", &prefer("GET", user).send().await);
    show("POST duplicate", &prefer("POST", "/Users").body(SARAH).send().await);
    for preference in ["return=representation", "respond-async, Return=\"minimal\"; foo", "return"] {
        let answer = client.request("PATCH", user).header("prefer", preference).body(DEACTIVATE).send().await;
        show(preference, &answer);
    }
    assert_snapshot!(table, @r#"
    POST: 201 W/"1" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - 
    PUT: 204 W/"2" return=minimal - - 
    PUT same: 204 W/"2" return=minimal - - 
    PATCH: 204 W/"3" return=minimal - - 
    GET: 200 W/"3" - - application/scim+json and a body
    POST duplicate: 409 - - - application/scim+json and a body
    return=representation: 200 W/"3" - - application/scim+json and a body
    respond-async, Return="minimal"; foo: 204 W/"3" return=minimal - - 
    return: 200 W/"3" - - application/scim+json and a body
    "#);
}

#[tokio::test]
async fn an_answer_carries_the_attributes_that_were_asked_for() {
    let client = Client::new().await;
    let mut table = String::new();
    for query in [
        "attributes=userName",
        "attributes=username,%20NAME.familyname",
        "attributes=emails.type,meta.version",
        "attributes=urn:ietf:params:scim:schemas:core:2.0:User:active",
        "attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division",
        "attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "attributes=shoeSize",
        "excludedAttributes=name,emails,meta,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "excludedAttributes=id,schemas,name.givenName,emails.value,meta.location,meta.created,meta.lastModified",
        "excludedAttributes=shoeSize,emails,meta,name",
    ] {
        let body = format!(
            r#"{{"userName":"bo","name":{{"givenName":"Bo","familyName":"Jensen"}},"active":true,
            "emails":[{{"value":"bo@example.com","type":"work"}}],"{ENTERPRISE}":{{"division":"x","costCenter":"y"}}}}"#
        );
        let created = client.post(&format!("/Users?{query}"), &body).await;
        assert_eq!(created.status, 201);
        let path = created.path();
        let user = format!("{path}?{query}");
        for same in [
            client.get(&user).await,
            client.put(&user, &body).await,
            client.patch(&user, r#"{"Operations":[{"op":"add","path":"active","value":true}]}"#).await,
        ] {
            assert_eq!((same.status, &same.body), (200, &created.body), "{query}");
        }
        let list = client.get(&format!("/Users?{query}")).await;
        assert_eq!(list.body["Resources"], json!([created.body]), "{query}");
        client.delete(&path).await;
        // The id alone differs from case to case.
        let shown = created.body.to_string().replace(created.id(), "ID").replace(ENTERPRISE, "ENTERPRISE");
        writeln!(table, "{query}\n    {shown}").unwrap();
    }
    assert_snapshot!(table, @r#"
    attributes=userName
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","userName":"bo"}
    attributes=username,%20NAME.familyname
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","userName":"bo","name":{"familyName":"Jensen"}}
    attributes=emails.type,meta.version
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","emails":[{"type":"work"}],"meta":{"version":"W/\"1\""}}
    attributes=urn:ietf:params:scim:schemas:core:2.0:User:active
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","active":true}
    attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","ENTERPRISE":{"division":"x"}}
    attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","ENTERPRISE":{"costCenter":"y","division":"x"}}
    attributes=shoeSize
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID"}
    excludedAttributes=name,emails,meta,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","userName":"bo","active":true}
    excludedAttributes=id,schemas,name.givenName,emails.value,meta.location,meta.created,meta.lastModified
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","userName":"bo","name":{"familyName":"Jensen"},"active":true,"emails":[{"type":"work"}],"ENTERPRISE":{"costCenter":"y","division":"x"},"meta":{"resourceType":"User","version":"W/\"1\""}}
    excludedAttributes=shoeSize,emails,meta,name
        {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","ENTERPRISE"],"id":"ID","userName":"bo","active":true,"ENTERPRISE":{"costCenter":"y","division":"x"}}
    "#);
    let both = client.get("/Users?attributes=id&excludedAttributes=name").await;
    assert_snapshot!(both, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"attributes and excludedAttributes exclude each other: send one of them"}"#);
    assert_snapshot!(client.post("/Users?attributes=1st", SARAH).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"attribute 1st: expected the name of an attribute at byte 0, found `1st`"}"#);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let directory = Directory::new().await;
    let mut config = Config::new(directory.table());
    config.max_body_bytes = 100;
    let client = directory.client_with(config);
    let body = |bytes: usize| format!("{:<bytes$}", r#"{"userName":"bo"}"#);
    let user = client.post("/Users", &body(100)).await;
    assert_eq!(user.status, 201);
    assert_snapshot!(client.post("/Users", &body(101)).await, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the body has 101 bytes, at most 100 are allowed"}"#);
    assert_eq!(client.put(&user.path(), &body(101)).await.status, 413);
    assert_eq!(client.patch(&user.path(), &format!("{DEACTIVATE:<101}")).await.status, 413);
}

/// Scenario 14 of the store: `DynamoDB` itself takes no more than 400 KB.
#[tokio::test]
async fn a_user_over_390_kb_is_refused() {
    let client = Client::new().await;
    let user = |bytes: usize| json!({ "userName": "bo", "title": "x".repeat(bytes) }).to_string();
    // {"userName":"bo","title":""}
    let created = client.post("/Users", &user(390 * 1024 - 28)).await;
    assert_eq!(created.status, 201, "{}", created.detail());
    let path = created.path();
    let refused = client.post("/Users", &user(390 * 1024 - 27)).await;
    assert_snapshot!(refused, @r#"413 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"413","detail":"the resource would have 399361 bytes, at most 399360 are allowed: send fewer or shorter values"}"#);
    assert_eq!(client.put(&path, &user(390 * 1024 - 27)).await.to_string(), refused.to_string());
    for (attribute, value) in [("nickName", "y"), ("userName", "bo the second")] {
        let patch = json!({ "Operations": [{ "op": "add", "path": attribute, "value": value }] });
        let answer = client.patch(&path, &patch.to_string()).await;
        assert_eq!(answer.status, 413, "{attribute}: {}", answer.detail());
    }
    assert_eq!(client.get(&path).await.header("etag"), Some("W/\"1\""));
}

#[tokio::test]
async fn a_user_with_100_emails_is_refused() {
    let client = Client::new().await;
    let emails = |n: usize| -> Vec<Value> {
        (0..n).map(|n| json!({ "value": format!("bo{n}@example.com") })).collect()
    };
    let user = |n: usize| json!({ "userName": "bo", "emails": emails(n) }).to_string();
    let refused = client.post("/Users", &user(100)).await;
    assert_snapshot!(refused, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"the resource would have 101 values to be found by, at most 48 are allowed: send fewer e-mails"}"#);
    let path = client.post("/Users", &user(47)).await.path();
    assert_eq!(client.put(&path, &user(100)).await.to_string(), refused.to_string());
    let add = json!({ "Operations": [{ "op": "add", "path": "emails", "value": emails(100) }] });
    assert_eq!(client.patch(&path, &add.to_string()).await.to_string(), refused.to_string());
    // Every row of the one is deleted and every row of the other put, in one transaction.
    let others = user(47).replace("bo", "jo");
    assert_eq!(client.put(&path, &others).await.header("etag"), Some("W/\"2\""));
    assert_eq!(client.find(r#"emails.value eq "jo46@example.com""#).await.body["totalResults"], 1);
    assert_eq!(client.delete(&path).await.status, 204);
}

/// Scenario 13 of the store.
#[tokio::test]
async fn every_name_that_differs_is_a_user_of_its_own() {
    let client = Client::new().await;
    let long = "n".repeat(1_099);
    let names = [
        &format!("{long}n"),
        &format!("{long}m"),
        long.as_str(),
        "bo",
        " bo",
        "bo ",
        "b o",
        "bo#",
        "bo#1",
        "#",
        "##",
        "bo\0",
        "bo\0\0",
        "\0",
        "😀",
        "😁",
        "👩\u{200d}🚀",
        "\u{200f}bo",
        "bo\u{200f}",
        "\u{202e}bo",
        "a\"b\\c",
        "!",
        "~",
    ];
    for name in names {
        let created = client.post("/Users", &json!({ "userName": name }).to_string()).await;
        assert_eq!((created.status, created.body["userName"].as_str()), (201, Some(name)), "{created}");
    }
    for name in names {
        let again = client.post("/Users", &json!({ "userName": name }).to_string()).await;
        assert_eq!(again.status, 409, "{name:?}: {again}");
        let found = client.find(&format!("userName eq {}", json!(name))).await;
        assert_eq!(found.body["totalResults"], 1, "{name:?}: {found}");
        assert_eq!(found.list("userName"), name);
    }
    assert_eq!(client.get("/Users").await.body["totalResults"], names.len());
}
