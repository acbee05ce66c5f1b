//! Routes and methods: 404 for unknown endpoints, 405 for other methods, `HEAD` and `OPTIONS`.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;

use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let client = Client::new().await;
    let mut table = String::new();
    for (method, path) in [
        ("GET", "/ResourceTypes/Robot"),
        ("GET", "/Schemas/urn:example:Robot"),
        ("GET", "/Robots"),
        ("POST", "/Robots"),
        ("GET", "/Robots/1"),
        ("GET", "/Users/1/2"),
        ("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User/name"),
        ("GET", "/ServiceProviderConfig/1"),
        ("GET", "/ServiceProviderConfigs"),
        ("GET", "/Me"),
        ("PATCH", "/me"),
        ("GET", "/Bulk"),
        ("PUT", "/Users"),
        ("PATCH", "/Users"),
        ("DELETE", "/Users"),
        ("POST", "/Users/1"),
        ("GET", "/Users/.search"),
        ("DELETE", "/.search"),
        ("POST", "/Robots/.search"),
        ("POST", ""),
        ("TRACE", "/Schemas"),
    ] {
        let answer = client.request(method, path).body("{}").send().await;
        assert_eq!(answer.body["status"], answer.status.to_string(), "{method} {path}");
        let allow = answer.header("allow").map(|allow| format!(" (Allow: {allow})")).unwrap_or_default();
        writeln!(table, "{method} {path}: {}{allow} {}", answer.status, answer.detail()).unwrap();
    }
    assert_snapshot!(table, @"
    GET /ResourceTypes/Robot: 404 resource type Robot does not exist
    GET /Schemas/urn:example:Robot: 404 schema urn:example:Robot does not exist
    GET /Robots: 404 endpoint /Robots not found: check the base URL, which ends in /scim/v2
    POST /Robots: 404 endpoint /Robots not found: check the base URL, which ends in /scim/v2
    GET /Robots/1: 404 endpoint /Robots/1 not found: check the base URL, which ends in /scim/v2
    GET /Users/1/2: 404 endpoint /Users/1/2 not found: check the base URL, which ends in /scim/v2
    GET /Schemas/urn:ietf:params:scim:schemas:core:2.0:User/name: 404 endpoint /Schemas/urn:ietf:params:scim:schemas:core:2.0:User/name not found: check the base URL, which ends in /scim/v2
    GET /ServiceProviderConfig/1: 404 endpoint /ServiceProviderConfig/1 not found: check the base URL, which ends in /scim/v2
    GET /ServiceProviderConfigs: 404 endpoint /ServiceProviderConfigs not found: check the base URL, which ends in /scim/v2
    GET /Me: 501 /Me is not available: this token is not bound to a user
    PATCH /me: 501 /Me is not available: this token is not bound to a user
    GET /Bulk: 405 (Allow: POST, OPTIONS) GET is not allowed here: use POST, OPTIONS
    PUT /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) PUT is not allowed here: use GET, HEAD, POST, OPTIONS
    PATCH /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) PATCH is not allowed here: use GET, HEAD, POST, OPTIONS
    DELETE /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) DELETE is not allowed here: use GET, HEAD, POST, OPTIONS
    POST /Users/1: 405 (Allow: GET, HEAD, PUT, PATCH, DELETE, OPTIONS) POST is not allowed here: use GET, HEAD, PUT, PATCH, DELETE, OPTIONS
    GET /Users/.search: 405 (Allow: POST, OPTIONS) GET is not allowed here: use POST, OPTIONS
    DELETE /.search: 405 (Allow: POST, OPTIONS) DELETE is not allowed here: use POST, OPTIONS
    POST /Robots/.search: 404 endpoint /Robots/.search not found: check the base URL, which ends in /scim/v2
    POST : 405 (Allow: GET, HEAD, OPTIONS) POST is not allowed here: use GET, HEAD, OPTIONS
    TRACE /Schemas: 405 (Allow: GET, HEAD, OPTIONS) TRACE is not allowed here: use GET, HEAD, OPTIONS
    ");
}

#[tokio::test]
async fn head_says_what_get_says_but_for_the_body() {
    let client = Client::new().await;
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    for path in [user.as_str(), "/Users?filter=userName+pr", "/Schemas", "/Users/none", "/"] {
        let get = client.request("GET", path).send_raw().await;
        let mut head = client.request("HEAD", path).send_raw().await;
        let length = head.headers.remove("content-length").unwrap();
        assert_eq!(
            (head.status, &head.headers, head.bytes),
            (get.status, &get.headers, Vec::new()),
            "{path}"
        );
        assert_eq!(length, get.bytes.len().to_string(), "{path}");
        assert!(head.headers.contains_key("content-type"), "{path}");
    }
    let known = client.request("HEAD", &user).header("if-none-match", "W/\"1\"").send().await;
    assert_eq!((known.status, known.header("etag")), (304, Some("W/\"1\"")));
    assert_eq!(client.request("HEAD", "/.search").send().await.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test]
async fn options_tells_the_methods_that_there_are() {
    let client = Client::new().await;
    let mut table = String::new();
    for path in
        ["/Users", "/Users/1", "/", "/.search", "/Users/.search", "/Bulk", "/Me", "/Schemas", "/Robots"]
    {
        let answer = client.request("OPTIONS", path).send().await;
        writeln!(table, "{path} {} {}", answer.status, answer.header("allow").unwrap_or_default()).unwrap();
    }
    assert_snapshot!(table, @"
    /Users 204 GET, HEAD, POST, OPTIONS
    /Users/1 204 GET, HEAD, PUT, PATCH, DELETE, OPTIONS
    / 204 GET, HEAD, OPTIONS
    /.search 204 POST, OPTIONS
    /Users/.search 204 POST, OPTIONS
    /Bulk 204 POST, OPTIONS
    /Me 204 GET, HEAD, PUT, PATCH, DELETE, OPTIONS
    /Schemas 204 GET, HEAD, OPTIONS
    /Robots 404
    ");
}

#[tokio::test]
async fn resource_paths_are_matched_without_case() {
    let client = Client::new().await;
    let user = client.post("/users", r#"{"userName":"bo"}"#).await;
    assert_eq!(client.get(&user.path().replace("Users", "USERS")).await.body, user.body);
    for path in [
        "/serviceproviderconfig",
        "/RESOURCETYPES/user",
        "/schemas/URN:ietf:params:scim:schemas:core:2.0:USER",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_id_of_another_type_is_404_with_the_endpoint_that_has_it() {
    const UNKNOWN: &str = "the resource does not exist: it was deleted or never created";
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let client = directory.client();
    let other = client.with_token(&TOKEN.replace("_demo_", "_other_"));
    let user = client.create(r#"{"userName":"bo"}"#).await;
    let group = client.post("/Groups", r#"{"displayName":"Crew"}"#).await;
    let rename = r#"{"Operations":[{"op":"add","path":"displayName","value":"x"}]}"#;
    for (endpoint, id, kind, used) in
        [("Users", group.id(), "Group", "Groups"), ("Groups", user.id(), "User", "Users")]
    {
        let expected =
            format!("the resource is not at /{endpoint}, because it is a {kind}: use /{used}/{id}");
        let path = format!("/{endpoint}/{id}");
        for (method, body) in
            [("GET", ""), ("PUT", r#"{"userName":"x","displayName":"x"}"#), ("PATCH", rename), ("DELETE", "")]
        {
            let told = client.request(method, &path).body(body).send().await;
            assert_eq!((told.status, told.detail()), (404, expected.as_str()), "{method} {path}");
            // Another tenant learns nothing.
            let told = other.request(method, &path).body(body).send().await;
            assert_eq!((told.status, told.detail()), (404, UNKNOWN), "{method} {path}");
        }
        for id in ["nobody", "00000000-0000-4000-8000-00000000ffff"] {
            let told = client.get(&format!("/{endpoint}/{id}")).await;
            assert_eq!((told.status, told.detail()), (404, UNKNOWN));
        }
    }
}
