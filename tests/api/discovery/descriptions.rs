//! What the service says about itself (RFC 7644 s4), and what it has not.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::directory::TOKEN;

const PATHS: [&str; 5] = [
    "/ServiceProviderConfig",
    "/ResourceTypes",
    "/ResourceTypes/User",
    "/Schemas",
    "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
];

#[tokio::test]
async fn a_list_holds_the_documents_that_are_found_by_their_id() {
    let client = Client::new().await;
    let mut table = String::new();
    for endpoint in ["/ResourceTypes", "/Schemas"] {
        let list = client.get(endpoint).await;
        assert_eq!(list.status, 200);
        let documents = list.body["Resources"].as_array().unwrap();
        let numbers = ["totalResults", "startIndex", "itemsPerPage"].map(|name| &list.body[name]);
        assert_eq!(numbers, [&json!(documents.len()), &json!(1), &json!(documents.len())]);
        for document in documents {
            let id = document["id"].as_str().unwrap();
            for id in [id.to_owned(), id.to_uppercase(), id.replace(':', "%3A")] {
                assert_eq!(client.get(&format!("{endpoint}/{id}")).await.body, *document, "{id}");
            }
            let location = document["meta"]["location"].as_str().unwrap();
            assert_eq!(location, format!("https://example.com/scim/v2{endpoint}/{id}"));
            writeln!(table, "{endpoint} {} {} {id}", document["schemas"], document["name"]).unwrap();
        }
    }
    assert_snapshot!(table, @r#"
    /ResourceTypes ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"] "User" User
    /ResourceTypes ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"] "Group" Group
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "User" urn:ietf:params:scim:schemas:core:2.0:User
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "EnterpriseUser" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "Group" urn:ietf:params:scim:schemas:core:2.0:Group
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "Service Provider Configuration" urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "ResourceType" urn:ietf:params:scim:schemas:core:2.0:ResourceType
    /Schemas ["urn:ietf:params:scim:schemas:core:2.0:Schema"] "Schema" urn:ietf:params:scim:schemas:core:2.0:Schema
    "#);
}

#[tokio::test]
async fn every_type_is_made_of_schemas_that_are_served() {
    let client = Client::new().await;
    for kind in client.get("/ResourceTypes").await.body["Resources"].as_array().unwrap() {
        let extensions = kind["schemaExtensions"].as_array().unwrap();
        for urn in extensions.iter().map(|extension| &extension["schema"]).chain([&kind["schema"]]) {
            let schema = client.get(&format!("/Schemas/{}", urn.as_str().unwrap())).await;
            assert_eq!(schema.body["id"], *urn);
        }
        assert_eq!(client.get(kind["endpoint"].as_str().unwrap()).await.status, 200);
    }
}

/// RFC 7643 s7. `required` and `multiValued` have defaults there; clients read
/// them all the same.
fn check_attribute(path: &str, attribute: &Value) {
    let path = format!("{path}.{}", attribute["name"].as_str().unwrap());
    let one_of = |member: &str, allowed: &[&str]| {
        let value = attribute[member].as_str().unwrap_or_else(|| panic!("{path} has no {member}"));
        assert!(allowed.contains(&value), "{path} {member}: {value}");
    };
    one_of(
        "type",
        &["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"],
    );
    one_of("mutability", &["readOnly", "readWrite", "immutable", "writeOnly"]);
    one_of("returned", &["always", "never", "default", "request"]);
    for member in ["multiValued", "required"] {
        assert!(attribute[member].is_boolean(), "{path} {member}");
    }
    assert!(attribute["description"].as_str().is_some_and(|text| !text.is_empty()), "{path} description");
    let kind = attribute["type"].as_str().unwrap();
    if ["string", "reference", "binary"].contains(&kind) {
        assert!(attribute["caseExact"].is_boolean(), "{path} caseExact");
        one_of("uniqueness", &["none", "server", "global"]);
    }
    let is_list_of_text = |member: &str| {
        attribute[member].as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string))
    };
    assert_eq!(kind == "reference", is_list_of_text("referenceTypes"), "{path} referenceTypes");
    assert!(attribute.get("canonicalValues").is_none() || is_list_of_text("canonicalValues"), "{path}");
    // RFC 7643 s7: what cannot be read back is not returned.
    assert_eq!(attribute["mutability"] == "writeOnly", attribute["returned"] == "never", "{path}");
    match attribute["subAttributes"].as_array() {
        Some(subs) => {
            assert_eq!(kind, "complex", "{path}");
            for sub in subs {
                check_attribute(&path, sub);
            }
        }
        None => assert_ne!(kind, "complex", "{path}"),
    }
}

#[tokio::test]
async fn every_attribute_says_all_that_the_rfc_asks_for() {
    let schemas = Client::new().await.get("/Schemas").await.body;
    let mut checked = 0;
    for schema in schemas["Resources"].as_array().unwrap() {
        for member in ["id", "name", "description"] {
            assert!(schema[member].is_string(), "{member}: {schema}");
        }
        for attribute in schema["attributes"].as_array().unwrap() {
            check_attribute(schema["id"].as_str().unwrap(), attribute);
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[tokio::test]
async fn a_description_is_read_whole_and_only_read() {
    let client = Client::new().await;
    let mut table = String::new();
    for path in PATHS {
        let filtered = client.get(&format!("{path}?filter=id+pr")).await;
        writeln!(table, "{} {path}?filter=id+pr {}", filtered.status, filtered.detail()).unwrap();
        // s4: all other parameters of a query are ignored.
        let queried = client.get(&format!("{path}?startIndex=2&count=0&sortBy=id&attributes=id")).await;
        assert_eq!(queried.to_string(), client.get(path).await.to_string(), "{path}");
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = client.request(method, path).body("{}").send().await;
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD, OPTIONS")),
                "{method} {path}"
            );
        }
    }
    assert_snapshot!(table, @"
    403 /ServiceProviderConfig?filter=id+pr this endpoint takes no filter: read it whole
    403 /ResourceTypes?filter=id+pr this endpoint takes no filter: read it whole
    403 /ResourceTypes/User?filter=id+pr this endpoint takes no filter: read it whole
    403 /Schemas?filter=id+pr this endpoint takes no filter: read it whole
    403 /Schemas/urn:ietf:params:scim:schemas:core:2.0:User?filter=id+pr this endpoint takes no filter: read it whole
    ");
}

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
    GET /ResourceTypes/Robot: 404 there is no resource type Robot
    GET /Schemas/urn:example:Robot: 404 there is no schema urn:example:Robot
    GET /Robots: 404 there is no endpoint /Robots: check the base URL, which ends in /scim/v2
    POST /Robots: 404 there is no endpoint /Robots: check the base URL, which ends in /scim/v2
    GET /Robots/1: 404 there is no endpoint /Robots/1: check the base URL, which ends in /scim/v2
    GET /Users/1/2: 404 there is no endpoint /Users/1/2: check the base URL, which ends in /scim/v2
    GET /Schemas/urn:ietf:params:scim:schemas:core:2.0:User/name: 404 there is no endpoint /Schemas/urn:ietf:params:scim:schemas:core:2.0:User/name: check the base URL, which ends in /scim/v2
    GET /ServiceProviderConfig/1: 404 there is no endpoint /ServiceProviderConfig/1: check the base URL, which ends in /scim/v2
    GET /ServiceProviderConfigs: 404 there is no endpoint /ServiceProviderConfigs: check the base URL, which ends in /scim/v2
    GET /Me: 501 /Me is not supported: the token is that of a service, not of a user
    PATCH /me: 501 /Me is not supported: the token is that of a service, not of a user
    GET /Bulk: 405 (Allow: POST, OPTIONS) GET is not allowed here: use POST, OPTIONS
    PUT /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) PUT is not allowed here: use GET, HEAD, POST, OPTIONS
    PATCH /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) PATCH is not allowed here: use GET, HEAD, POST, OPTIONS
    DELETE /Users: 405 (Allow: GET, HEAD, POST, OPTIONS) DELETE is not allowed here: use GET, HEAD, POST, OPTIONS
    POST /Users/1: 405 (Allow: GET, HEAD, PUT, PATCH, DELETE, OPTIONS) POST is not allowed here: use GET, HEAD, PUT, PATCH, DELETE, OPTIONS
    GET /Users/.search: 405 (Allow: POST, OPTIONS) GET is not allowed here: use POST, OPTIONS
    DELETE /.search: 405 (Allow: POST, OPTIONS) DELETE is not allowed here: use POST, OPTIONS
    POST /Robots/.search: 404 there is no endpoint /Robots/.search: check the base URL, which ends in /scim/v2
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
async fn tenants_are_described_one_by_one() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let demo = directory.client();
    let other = demo.with_token(&TOKEN.replace("demo", "other"));
    for path in PATHS {
        assert_eq!(demo.get(path).await.body, other.get(path).await.body);
    }
}
