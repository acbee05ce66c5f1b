//! How much of a user an answer carries: `Prefer`, `attributes`, `excludedAttributes`.

use std::fmt::Write;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::builders::{DEACTIVATE, ENTERPRISE, SARAH, add};
use crate::support::client::Client;

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
    POST: 201 W/"1" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - no body
    PUT: 204 W/"2" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - no body
    PUT same: 204 W/"2" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - no body
    PATCH: 204 W/"3" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - no body
    GET: 200 W/"3" - https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 application/scim+json a body
    POST duplicate: 409 - - - application/scim+json a body
    return=representation: 200 W/"3" - https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 application/scim+json a body
    respond-async, Return="minimal"; foo: 204 W/"3" return=minimal https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 - no body
    return: 200 W/"3" - https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001 application/scim+json a body
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
        // Only the id differs between the cases.
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
    assert_snapshot!(both, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"attributes and excludedAttributes cannot be combined: send one of them"}"#);
    assert_snapshot!(client.post("/Users?attributes=1st", SARAH).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"attribute 1st: expected the name of an attribute at byte 0, found `1st`"}"#);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);
}

/// RFC 7644 s3.5.2: a PATCH with `attributes` is answered 200 with a body, whatever the preference.
#[tokio::test]
async fn attributes_that_are_asked_for_are_shown_to_a_client_that_prefers_no_body() {
    let client = Client::new().await;
    let minimal = |method: &str, path: &str| client.request(method, path).header("prefer", "return=minimal");
    let created = minimal("POST", "/Users?attributes=userName").body(SARAH).send().await;
    assert_eq!((created.status, created.header("preference-applied")), (201, None));
    let group = client.post("/Groups", r#"{"displayName":"Crew"}"#).await.path();
    let rename = r#"{"Operations":[{"op":"replace","path":"displayName","value":"Crews"}]}"#;
    let join = add(&[created.id()]);
    for (method, path, body) in [
        ("PUT", &created.path(), SARAH),
        ("PATCH", &created.path(), DEACTIVATE),
        ("PATCH", &group, rename),
        ("PATCH", &group, &join),
    ] {
        let shown = minimal(method, &format!("{path}?attributes=meta")).body(body).send().await;
        assert_eq!((shown.status, shown.header("preference-applied")), (200, None), "{method} {path}");
        assert!(shown.body["meta"]["location"].is_string(), "{shown}");
        // Nothing is named, so nothing is asked for.
        let empty = minimal(method, &format!("{path}?attributes=")).body(body).send().await;
        assert_eq!(empty.status, 204, "{method} {path}");
    }
}

#[tokio::test]
async fn an_answer_about_one_resource_has_its_location() {
    let client = Client::new().await;
    for (endpoint, new) in [("/Users", SARAH), ("/Groups", r#"{"displayName":"Crew"}"#)] {
        let created = client.post(endpoint, new).await;
        let location = created.body["meta"]["location"].as_str().unwrap();
        let path = created.path();
        let rename = r#"{"Operations":[{"op":"replace","path":"displayName","value":"x"}]}"#;
        let shown = format!("{path}?attributes=displayName");
        for (method, path, body, status) in [
            ("GET", &path, "", 200),
            ("HEAD", &path, "", 200),
            ("PUT", &path, new, 200),
            ("PATCH", &shown, rename, 200),
        ] {
            let answer = client.request(method, path).body(body).send_raw().await;
            assert_eq!(answer.status, status, "{method} {path}");
            for name in ["location", "content-location"] {
                let values: Vec<_> = answer.headers.get_all(name).iter().collect();
                assert_eq!(values, [location], "{method} {path} {name}");
            }
        }
        assert_eq!(created.header("content-location"), Some(location));
        let known = client.request("GET", &path).header("if-none-match", "*").send().await;
        assert_eq!((known.status, known.header("content-location")), (304, Some(location)));
        assert_eq!(client.get(endpoint).await.header("location"), None);
        assert_eq!(client.delete(&path).await.header("location"), None);
    }
}
