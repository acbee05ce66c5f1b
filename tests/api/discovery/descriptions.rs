//! The service's description of itself (RFC 7644 s4).

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

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

/// Checks an attribute against RFC 7643 s7. `required` and `multiValued` have defaults there, but
/// clients read them.
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
    // RFC 7643 s7: a writeOnly attribute is never returned.
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
    403 /ServiceProviderConfig?filter=id+pr filter is not supported on this endpoint
    403 /ResourceTypes?filter=id+pr filter is not supported on this endpoint
    403 /ResourceTypes/User?filter=id+pr filter is not supported on this endpoint
    403 /Schemas?filter=id+pr filter is not supported on this endpoint
    403 /Schemas/urn:ietf:params:scim:schemas:core:2.0:User?filter=id+pr filter is not supported on this endpoint
    ");
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

/// Asserts that the attributes describe every member.
fn assert_described(attributes: &Value, shown: &Value, within: &str) {
    for (name, value) in shown.as_object().unwrap() {
        let described = attributes.as_array().unwrap().iter().find(|attribute| attribute["name"] == *name);
        let Some(described) = described else { panic!("{within}{name} is not described") };
        assert_eq!(value.is_array(), described["multiValued"] == true, "{within}{name}");
        let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for element in elements {
            let is_described = match described["type"].as_str().unwrap() {
                "boolean" => element.is_boolean(),
                "integer" => element.is_u64(),
                "string" | "reference" => element.is_string(),
                _ => element.is_object(),
            };
            assert!(is_described, "{within}{name}: {element}");
            if element.is_object() {
                assert_described(&described["subAttributes"], element, &format!("{within}{name}."));
            }
        }
    }
}

/// RFC 7643 s5: the schema of the service provider's configuration is served too.
#[tokio::test]
async fn the_schema_of_the_configuration_describes_all_that_is_shown() {
    const URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
    let directory = Directory::new().await;
    directory.add_tenant("roles", Policy::default()).await;
    let roles = include_str!("../definitions/roles.json");
    directory.set_definitions("roles", roles).await.unwrap();
    let client = directory.client();
    let other = client.with_token(&TOKEN.replace("_demo_", "_roles_"));
    for (client, has_roles) in [(client, false), (other, true)] {
        let mut config = client.get("/ServiceProviderConfig").await.body;
        let schema = client.get(&format!("/Schemas/{URN}")).await.body;
        let members = config.as_object_mut().unwrap();
        // Common attributes (RFC 7643 s3.1) are in no schema.
        for common in ["schemas", "meta"] {
            members.shift_remove(common).unwrap();
        }
        assert_described(&schema["attributes"], &config, "");
        assert_eq!(config.get("RolesAndEntitlements").is_some(), has_roles);
        let described = schema["attributes"].as_array().unwrap();
        let is_described = described.iter().any(|attribute| attribute["name"] == "RolesAndEntitlements");
        assert_eq!(is_described, has_roles);
    }
}
