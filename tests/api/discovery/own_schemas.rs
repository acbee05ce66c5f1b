//! Schemas and resource types that an operator declares in documents.

use insta::assert_snapshot;
use scim_lambda::config::{Config, read_definitions};
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::registry::custom::Definitions;
use serde_json::{Value, json};

use crate::support::builders::encoded;
use crate::support::client::Client;
use crate::support::consistency::count;
use crate::support::directory::{Directory, TOKEN};

const BADGES: &str = include_str!("../definitions/badges.json");
const DEVICES: &str = include_str!("../definitions/devices.json");
const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";
const MAB: &str = "urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device";

/// Returns a client of a function that is packaged with this document.
fn packaged(directory: &Directory, document: &str) -> Client {
    let mut config = Config::new(directory.table());
    config.definitions = Definitions::parse(document).unwrap();
    directory.client_with(config)
}

fn patch(operations: &Value) -> String {
    json!({ "Operations": operations }).to_string()
}

#[tokio::test]
async fn an_extension_of_users_is_obeyed_everywhere() {
    let directory = Directory::new().await;
    let client = packaged(&directory, BADGES);
    let badge = json!({ "BADGENUMBER": "b7", "site": "Oslo", "issued": "2026-01-31T09:00:00Z", "note": "n", "pin": "1",
        "doors": [{ "value": "Front", "type": "main", "level": 0 }, { "value": "Roof", "level": 4 }] });
    let made = client.post("/Users", &json!({ "userName": "ann", BADGE: badge }).to_string()).await;
    assert_snapshot!(made, @r#"201 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:example:params:scim:schemas:extension:badge:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","userName":"ann","active":true,"urn:example:params:scim:schemas:extension:badge:2.0:User":{"badgeNumber":"b7","site":"Oslo","issued":"2026-01-31T09:00:00Z","note":"n","doors":[{"value":"Front","type":"main","level":0},{"value":"Roof","level":4}]},"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:01Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"1\""}}"#);
    let path = made.path();

    let mut refused = Vec::new();
    for badge in [
        json!({ "badgeNumber": "b7", "site": "Oslo" }),
        json!({ "badgeNumber": "b8" }),
        json!({ "site": 7 }),
        json!({ "site": "Oslo", "issued": "yesterday" }),
        json!({ "site": "Oslo", "doors": [{ "type": "main" }] }),
        json!({ "site": "Oslo", "doors": [{ "value": "x", "level": 1.5 }] }),
    ] {
        let body = json!({ "userName": "bob", BADGE: badge }).to_string();
        refused.push(client.post("/Users", &body).await.to_string());
    }
    assert_snapshot!(refused.join("\n"), @r#"
    409 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:badgeNumber is already used by the resource with the id 00000000-0000-4000-8000-000000000001: choose another value or update that resource"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:site is required and cannot be empty"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:site must be a string"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:issued must be a date and time such as 2026-01-31T09:30:00Z"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:doors.value is required and cannot be empty"}
    400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:doors.level must be an integer"}
    "#);
    // Badge numbers are case-sensitive.
    let other = json!({ "userName": "bob", BADGE: { "badgeNumber": "B7", "site": "oslo" } });
    assert_eq!(client.post("/Users", &other.to_string()).await.status, 201);

    client.faults.forget();
    for (filter, found) in [
        (format!("{BADGE}:badgeNumber eq \"b7\""), "ann"),
        (format!("{BADGE}:site eq \"OSLO\" and {BADGE}:doors.level gt 3"), "ann"),
        (format!("{BADGE}:doors[value eq \"roof\" and level eq 4]"), "ann"),
        (format!("{BADGE}:site sw \"o\" and not ({BADGE}:issued pr)"), "bob"),
    ] {
        assert_eq!(client.find(&filter).await.list("userName"), found, "{filter}");
    }
    assert_eq!(client.find(&format!("{BADGE}:pin eq \"1\"")).await.body["scimType"], "invalidFilter");
    let by_eq = client.faults.calls()[..5].join(" ");
    assert_eq!(by_eq, "GetItem GetItem Query Query BatchGetItem", "unique and look-up values have rows");
    let sorted = client
        .get(&format!("/Users?sortBy={}&sortOrder=descending", encoded(&format!("{BADGE}:badgeNumber"))))
        .await;
    assert_eq!(sorted.list("userName"), "ann bob");

    let operations = json!([
        { "op": "add", "path": format!("{BADGE}:doors"), "value": [{ "value": "Cellar", "level": -1 }] },
        { "op": "remove", "path": format!("{BADGE}:doors[level gt 3]") },
        { "op": "replace", "path": format!("{BADGE}:badgeNumber"), "value": "b9" },
        { "op": "replace", "value": { BADGE: { "site": "Porto" } } },
    ]);
    assert_snapshot!(client.patch(&format!("{path}?attributes={BADGE}"), &patch(&operations)).await, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:example:params:scim:schemas:extension:badge:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","urn:example:params:scim:schemas:extension:badge:2.0:User":{"badgeNumber":"b9","site":"Porto","issued":"2026-01-31T09:00:00Z","note":"n","doors":[{"value":"Front","type":"main","level":0},{"value":"Cellar","level":-1}]}}"#);
    let late =
        json!([{ "op": "replace", "path": format!("{BADGE}:issued"), "value": "2026-02-01T09:00:00Z" }]);
    assert_snapshot!(client.patch(&path, &patch(&late)).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"mutability","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:issued cannot be changed once it is set"}"#);
    assert_eq!(client.find(&format!("{BADGE}:badgeNumber eq \"b7\"")).await.list("userName"), "");

    assert_snapshot!(client.put(&path, r#"{"userName":"ann"}"#).await, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"mutability","detail":"urn:example:params:scim:schemas:extension:badge:2.0:User:issued cannot be changed once it is set"}"#);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(count(&directory, &format!("demo#User.{BADGE}")).await, 2, "the rows of bob");
}

#[tokio::test]
async fn a_resource_type_of_ones_own_is_like_any_other() {
    let directory = Directory::new().await;
    let client = packaged(&directory, DEVICES);
    let device = |name: &str, mac: &str| json!({ "displayName": name, "active": true, "mudUrl": "https://example.com/mud", MAB: { "deviceMacAddress": mac } });
    let made = client.post("/Devices", &device("Lamp", "2C:54").to_string()).await;
    assert_snapshot!(made, @r#"201 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:Device","urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device"],"id":"00000000-0000-4000-8000-000000000001","displayName":"Lamp","active":true,"mudUrl":"https://example.com/mud","urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device":{"deviceMacAddress":"2C:54"},"meta":{"resourceType":"Device","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:01Z","location":"https://example.com/scim/v2/Devices/00000000-0000-4000-8000-000000000001","version":"W/\"1\""}}"#);
    let path = made.path();
    assert_eq!(client.get(&path).await.body, made.body);
    let taken = client.post("/Devices", &device("Plug", "2c:54").to_string()).await;
    assert_snapshot!(taken, @r#"409 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device:deviceMacAddress is already used by the resource with the id 00000000-0000-4000-8000-000000000001: choose another value or update that resource"}"#);
    let bare = client.post("/Devices", r#"{"active":true}"#).await;
    assert_snapshot!(bare, @r#"400 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device is required and cannot be empty"}"#);

    let bulk = json!({ "Operations": [
        { "method": "POST", "path": "/Devices", "bulkId": "p", "data": device("Plug", "2C:55") },
        { "method": "PATCH", "path": "/Devices/bulkId:p", "data": { "Operations": [{ "op": "replace", "path": "active", "value": "False" }] } },
        { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "ann", "displayName": "Lamp" } },
    ] });
    let bulk = client.post("/Bulk", &bulk.to_string()).await;
    assert_eq!(bulk.body["Operations"][1]["status"], "200", "{bulk}");

    for (query, found) in [
        ("/Devices?sortBy=displayName", "Lamp Plug"),
        ("/Devices?filter=active+eq+false", "Plug"),
        ("/Devices?filter=displayName+eq+%22lamp%22&count=1", "Lamp"),
        ("/Devices?filter=meta.lastModified+gt+%222026-01-01T00:00:00Z%22&sortBy=meta.created", "Lamp Plug"),
        ("/Devices?cursor&count=1", "Lamp"),
        ("/?filter=displayName+eq+%22Lamp%22&sortBy=meta.resourceType", "Lamp Lamp"),
        (&format!("/Devices?filter={}", encoded(&format!("{MAB}:deviceMacAddress eq \"2c:55\""))), "Plug"),
    ] {
        assert_eq!(client.get(query).await.list("displayName"), found, "{query}");
    }
    let put = client
        .request("PUT", &path)
        .if_match("W/\"1\"")
        .body(&device("Lantern", "2C:56").to_string())
        .send()
        .await;
    assert_eq!((put.status, put.header("etag")), (200, Some("W/\"2\"")), "{put}");
    let stale = client.request("DELETE", &path).if_match("W/\"1\"").send().await;
    assert_eq!(stale.status, 412);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get("/Devices").await.body["totalResults"], 1);
}

#[tokio::test]
async fn what_is_added_is_described_like_what_is_built_in() {
    let directory = Directory::new().await;
    let client = packaged(&directory, DEVICES);
    assert_snapshot!(client.get("/ResourceTypes/device").await, @r#"200 - {"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"id":"Device","name":"Device","endpoint":"/Devices","description":"Device","schema":"urn:ietf:params:scim:schemas:core:2.0:Device","schemaExtensions":[{"schema":"urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device","required":true}],"meta":{"resourceType":"ResourceType","location":"https://example.com/scim/v2/ResourceTypes/Device"}}"#);
    assert_snapshot!(client.get(&format!("/Schemas/{MAB}")).await, @r#"200 - {"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device","name":"Ethernet MAB","description":"MAC authenticated bypass, after RFC 9944","attributes":[{"name":"deviceMacAddress","type":"string","multiValued":false,"description":"MAC address","required":true,"caseExact":false,"mutability":"readWrite","returned":"default","uniqueness":"global"}],"meta":{"resourceType":"Schema","location":"https://example.com/scim/v2/Schemas/urn:ietf:params:scim:schemas:extension:ethernet-mab:2.0:Device"}}"#);
    let types = client.get("/ResourceTypes").await;
    assert_eq!(types.list("name"), "User Group Device");
    assert_eq!(client.get("/Schemas").await.body["totalResults"], 8);
    let client = packaged(&directory, BADGES);
    let user = client.get("/ResourceTypes/User").await;
    assert_eq!(user.body["schemaExtensions"][1], json!({ "schema": BADGE, "required": false }));
}

#[tokio::test]
async fn a_tenant_has_definitions_of_its_own() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let demo = directory.client();
    let other = demo.with_token(&TOKEN.replace("demo", "other"));
    let device = json!({ "active": true, MAB: { "deviceMacAddress": "1" } }).to_string();
    assert_eq!(demo.post("/Devices", &device).await.status, 404);
    directory.set_definitions("demo", DEVICES).await.unwrap();
    // An instance that has cached the tenant sees the change within a minute.
    assert_eq!(demo.post("/Devices", &device).await.status, 404);
    directory.pass(60);
    assert_eq!(demo.post("/Devices", &device).await.status, 201);
    assert_eq!(other.post("/Devices", &device).await.status, 404);
    assert_eq!(other.get("/ResourceTypes").await.list("name"), "User Group");

    // The schemas that the function is packaged with apply as well.
    let client = packaged(&directory, BADGES);
    assert_eq!(client.get("/Schemas").await.body["totalResults"], 9);
    let refused = directory.set_definitions("demo", &DEVICES.replace("/Devices", "/Users")).await;
    assert_eq!(
        refused.unwrap_err(),
        "resource type Device: the endpoint is already taken by User: choose another"
    );
    assert_eq!(client.get("/Devices").await.body["totalResults"], 1);
}

#[tokio::test]
async fn a_tenant_whose_definitions_cannot_be_used_is_told_and_no_other() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    directory.set_definitions("demo", DEVICES).await.unwrap();
    // These conflict with the schemas that a later function is packaged with.
    let client = packaged(&directory, DEVICES);
    assert_snapshot!(client.get("/Users").await, @r#"500 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"500","detail":"the schemas of this tenant cannot be used: tell the operator the time and the id of this request"}"#);
    assert_eq!(client.with_token(&TOKEN.replace("demo", "other")).get("/Devices").await.status, 200);
    assert_eq!(directory.client().get("/Devices").await.status, 200);
}

#[test]
fn a_folder_of_documents_is_read_and_a_bad_one_named() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/definitions");
    let definitions = read_definitions(&folder).unwrap();
    let registry = Registry::with(&Policy::default(), &definitions).unwrap();
    assert!(registry.resource_type("Device").is_some() && registry.schema(BADGE).is_some());
    let missing = read_definitions(&folder.join("none.json")).unwrap_err();
    assert!(missing.ends_with("none.json: No such file or directory (os error 2)"), "{missing}");
    let code = read_definitions(&folder.with_file_name("main.rs")).unwrap_err();
    assert!(code.ends_with("main.rs: expected value at line 1 column 1"), "{code}");
}

/// Each of these takes the place of a resource type in the partition of other items.
#[tokio::test]
async fn a_resource_type_does_not_have_the_name_of_a_key() {
    let directory = Directory::new().await;
    for name in ["Audit", "Census", "Changed", "Job", "Member", "Nesting", "Tenant"] {
        let document = json!({
            "schemas": [{ "id": "urn:example:S", "name": "S", "attributes": [{ "name": "a" }] }],
            "resourceTypes": [{ "name": name, "endpoint": "/Things", "schema": "urn:example:S" }],
        });
        let error = directory.set_definitions("demo", &document.to_string()).await.unwrap_err();
        assert_eq!(error, format!("resource type {name}: the name is reserved: choose another"));
    }
}
