//! Attributes of a new user: kept, ignored or refused.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::{Interpretation, Policy};
use serde_json::{Value, json};

use crate::support::builders::SARAH;
use crate::support::client::Client;
use crate::support::directory::Directory;

/// Returns a client of a tenant whose interpretation of the RFCs is strict.
async fn strict_client() -> Client {
    let directory = Directory::new().await;
    let policy = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
    directory.set_policy("demo", policy).await;
    directory.client()
}

/// Creates a user from `userName` and these members. Returns the answer without the attributes that
/// the server adds.
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
        // other spellings of a name
        r#""urn:ietf:params:scim:schemas:core:2.0:User:displayName":"x","name.givenName":"y""#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter":"4130""#,
        // unknown
        r#""shoeSize":38,"name":{"nick":"x"},"emails":[{"value":"x","verified":true}],"urn:example:Walk":{"pace":1}"#,
        // the name of an extension's attribute without its URN
        r#""department":"Tours","nickName":"x""#,
        // booleans, lists and managers as identity providers send them
        r#""active":"False","emails":{"value":"x","primary":"True"}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}"#,
        r#""urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":""},"division":"x"}"#,
    ];
    assert_snapshot!(table_of_kept(&client, &cases).await, @r#"
    "id":"mine","meta":{"version":"W/\"9\""},"groups":[{"value":"g"}],"schemas":["urn:example:nothing"],"title":"x"
        {"title":"x","active":true}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m","displayName":"Mine"}}
        {"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"m"}}}
    "title":null,"roles":[],"emails":[null],"phoneNumbers":[{}],"name":{},"addresses":[{"type":null}],"nickName":"x"
        {"nickName":"x","active":true}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":null,"nickName":"x"
        {"nickName":"x","active":true}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{},"nickName":"x"
        {"nickName":"x","active":true}
    "DISPLAYNAME":"x","Name":{"GIVENNAME":"y"},"EMAILS":[{"Value":"z","TYPE":"work","Primary":true}]
        {"name":{"givenName":"y"},"displayName":"x","active":true,"emails":[{"value":"z","type":"work","primary":true}]}
    "URN:IETF:params:scim:schemas:EXTENSION:enterprise:2.0:user":{"COSTCENTER":"4130"}
        {"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"4130"}}
    "urn:ietf:params:scim:schemas:core:2.0:User:displayName":"x","name.givenName":"y"
        {"name":{"givenName":"y"},"displayName":"x","active":true}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter":"4130"
        {"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"4130"}}
    "shoeSize":38,"name":{"nick":"x"},"emails":[{"value":"x","verified":true}],"urn:example:Walk":{"pace":1}
        {"active":true,"emails":[{"value":"x"}]}
    "department":"Tours","nickName":"x"
        {"nickName":"x","active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Tours"}}
    "active":"False","emails":{"value":"x","primary":"True"}
        {"active":false,"emails":[{"value":"x","primary":true}]}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}
        {"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"26118915"}}}
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":""},"division":"x"}
        {"active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"division":"x"}}
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
        let sent: Value = serde_json::from_str(&format!("{{{members},\"active\":true}}")).unwrap();
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
        // more values than one
        r#""emails":[{"value":"a","primary":true},{"value":"b","primary":true}]"#,
        r#""title":"x","TITLE":"y""#,
        r#""name":{"givenName":"x"},"name.givenName":"y""#,
    ];
    assert_snapshot!(table_of_kept(&client, &cases).await, @r#"
    "displayName":7
        400 "invalidValue" displayName must be a string
    "displayName":true
        400 "invalidValue" displayName must be a string
    "displayName":{"value":"x"}
        400 "invalidValue" displayName must be a string
    "DisplayName":["x"]
        400 "invalidValue" displayName must be a string
    "externalId":7
        400 "invalidValue" externalId must be a string
    "active":"yes"
        400 "invalidValue" active must be true or false
    "active":1
        400 "invalidValue" active must be true or false
    "profileUrl":false
        400 "invalidValue" profileUrl must be a string
    "name":"Bo Jensen"
        400 "invalidValue" name must be an object
    "name":[{"givenName":"x"}]
        400 "invalidValue" name must be an object
    "name":{"givenName":7}
        400 "invalidValue" name.givenName must be a string
    "name.givenName":7
        400 "invalidValue" name.givenName must be a string
    "emails":7
        400 "invalidValue" emails must be an array of objects
    "emails":[7]
        400 "invalidValue" emails must be an array of objects
    "emails":[["x"]]
        400 "invalidValue" emails must be an array of objects
    "emails":[{"value":7}]
        400 "invalidValue" emails.value must be a string
    "emails":[{"value":"x","primary":"maybe"}]
        400 "invalidValue" emails.primary must be true or false
    "photos":[{"value":7}]
        400 "invalidValue" photos.value must be a string
    "x509Certificates":[{"value":"not base64!"}]
        400 "invalidValue" x509Certificates.value must be a base64 string
    "x509Certificates":[{"value":7}]
        400 "invalidValue" x509Certificates.value must be a base64 string
    "password":7
        400 "invalidValue" password must be a string
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":"x"
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User must be an object
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":4130}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter must be a string
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":7}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager must be an object
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":7}}
        400 "invalidValue" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value must be a string
    "emails":[{"value":"a","primary":true},{"value":"b","primary":true}]
        400 "invalidValue" emails has 2 primary values, the limit is 1
    "title":"x","TITLE":"y"
        400 "invalidSyntax" title cannot be given twice
    "name":{"givenName":"x"},"name.givenName":"y"
        400 "invalidSyntax" name.givenName cannot be given twice
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
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "name":{"nick":"x"}
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "emails":[{"value":"x","verified":true}]
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"shoeSize":38}
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "urn:example:Walk":{"pace":1}
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "active":"False"
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "emails":{"value":"x"}
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
    "id":"mine","groups":[],"meta":{},"TITLE":"x"
        400 "invalidSyntax" schemas must contain urn:ietf:params:scim:schemas:core:2.0:User
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
        // The body is checked before the resource is looked up.
        assert_eq!(client.put("/Users/nobody", body).await.to_string(), created.to_string());
        let shown: String = body.chars().take(40).collect();
        writeln!(table, "{shown}\n    {} {} {}", created.status, created.body["scimType"], created.detail())
            .unwrap();
    }
    assert_snapshot!(table, @r#"
        400 "invalidSyntax" the body is empty: send a JSON object
    {
        400 "invalidSyntax" the body is not valid JSON: EOF while parsing an object at line 1 column 1
    []
        400 "invalidSyntax" the body must be a JSON object
    null
        400 "invalidSyntax" the body must be a JSON object
    "bo"
        400 "invalidSyntax" the body must be a JSON object
    {}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":null}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":""}
        400 "invalidValue" userName is required and cannot be empty
    {"userName":7}
        400 "invalidValue" userName must be a string
    {"userName":["bo"]}
        400 "invalidValue" userName must be a string
    {"userName":"bo","userName":"bo"} {}
        400 "invalidSyntax" the body is not valid JSON: an object cannot have the name "userName" twice at line 1 column 33
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
        400 "invalidSyntax" the body is not valid JSON: objects and arrays are nested more than 32 levels deep at line 1 column 33
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
    assert_snapshot!(client.find(r#"password eq "correct-horse-battery""#).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidFilter","detail":"password cannot be used in a filter: it is never returned"}"#);

    let items = directory.dynamodb().scan().table_name(directory.table()).send().await.unwrap().items;
    // The policy of that name says that none is stored.
    let table = format!("{items:?}").replace(r#""password": S("ignore")"#, "");
    assert!(table.contains("userName"), "{table}");
    assert!(!table.contains(PASSWORD) && !table.contains("password"), "{table}");
}

/// From an array to an object and back: no text sends a client in a circle.
#[tokio::test]
async fn a_multi_valued_attribute_is_an_array_of_objects_in_every_text() {
    let client = strict_client().await;
    for emails in [json!("x"), json!(5), json!({}), json!(["x"]), json!([5]), json!([["x"]]), json!([[]])] {
        let user = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bo", "emails": emails });
        let refused = client.post("/Users", &user.to_string()).await;
        assert_eq!(
            (refused.status, refused.detail()),
            (400, "emails must be an array of objects"),
            "{emails}"
        );
    }
}

#[tokio::test]
async fn a_user_is_active_from_the_start() {
    let client = Client::new().await;
    for (name, active, expected) in [
        ("absent", "", true),
        ("null", r#","active":null"#, true),
        ("true", r#","active":true"#, true),
        ("false", r#","active":false"#, false),
    ] {
        let made = client.post("/Users", &format!(r#"{{"userName":"{name}"{active}}}"#)).await;
        assert_eq!(made.body["active"], expected, "{name}");
        assert_eq!(client.get(&made.path()).await.body, made.body, "{name}");
    }
    assert_eq!(client.find("active eq true").await.list("userName"), "absent null true");
    assert_eq!(client.find("active ne true").await.list("userName"), "false");
    let group = client.post("/Groups", r#"{"displayName":"Crew"}"#).await;
    assert_eq!(group.body.get("active"), None);
}
