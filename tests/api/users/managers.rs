//! The manager of a user (RFC 7643 s4.3), and any other reference to a resource: the id is
//! stored, `$ref` and the name are derived.

use scim_lambda::scim::policy::{Policy, UnknownManagers};
use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::{ENTERPRISE, encoded};
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;

const NOBODY: &str = "00000000-0000-4000-8000-00000000ffff";

async fn create(client: &Client, name: &str, display: Option<&str>) -> String {
    client.create(&json!({ "userName": name, "displayName": display }).to_string()).await.id().to_owned()
}

fn with_manager(name: &str, manager: &Value) -> String {
    json!({ "userName": name, ENTERPRISE: { "manager": manager } }).to_string()
}

fn set_manager(value: &Value) -> String {
    json!({ "Operations": [{ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": value }] })
        .to_string()
}

fn manager(answer: &Answer) -> &Value {
    let user = answer.body.pointer("/Resources/0").unwrap_or(&answer.body);
    &user[ENTERPRISE]["manager"]
}

fn url(id: &str) -> String {
    format!("https://example.com/scim/v2/Users/{id}")
}

#[tokio::test]
async fn every_answer_shows_the_reference_and_the_name_of_a_manager() {
    let directory = Directory::new().await;
    let client = directory.client();
    let boss = create(&client, "boss", Some("The Boss")).await;
    let expected = json!({ "value": boss, "$ref": url(&boss), "displayName": "The Boss" });
    let created = client.post("/Users", &with_manager("bo", &json!({ "value": boss }))).await;
    let path = created.path();
    let found = format!("/Users?filter={}", encoded("userName eq \"bo\""));
    for answer in [
        created,
        client.get(&path).await,
        client.get(&format!("{path}?attributes={ENTERPRISE}:manager")).await,
        client
            .put(&path, &with_manager("bo", &json!({ "value": boss, "$ref": "x", "displayName": "y" })))
            .await,
        client.patch(&path, &set_manager(&json!(boss))).await,
        client.patch(&path, &set_manager(&json!({ "$ref": format!("../Users/{boss}") }))).await,
        client.get(&found).await,
    ] {
        assert_eq!(manager(&answer), &expected, "{answer}");
    }
    // A reference that names no id is read as the id that it ends in.
    let other = create(&client, "other", None).await;
    let moved = client.patch(&path, &set_manager(&json!({ "$ref": url(&other) }))).await;
    assert_eq!(manager(&moved), &json!({ "value": other, "$ref": url(&other) }), "{moved}");
    for filter in [
        format!("{ENTERPRISE}:manager.$ref eq \"{}\"", url(&other)),
        format!("{ENTERPRISE}:manager[$ref eq \"{}\"]", url(&other)),
    ] {
        assert_eq!(client.find(&filter).await.list("userName"), "bo", "{filter}");
    }
    let direct = json!({ "Operations": [{ "op": "replace", "path": format!("{ENTERPRISE}:manager.$ref"),
        "value": url(&boss) }] });
    let direct = client.patch(&path, &direct.to_string()).await;
    assert_eq!((direct.status, &direct.body["scimType"]), (400, &json!("mutability")), "{direct}");
    check(&directory).await;
}

#[tokio::test]
async fn a_deleted_manager_is_shown_by_its_id_alone() {
    let client = Client::new().await;
    let boss = create(&client, "boss", Some("The Boss")).await;
    let path = client.create(&with_manager("bo", &json!({ "value": boss, "$ref": url(&boss) }))).await.path();
    let mut known = client.get(&path).await.header("etag").unwrap().to_owned();
    // The tag changes with the name that is shown, and the version does not.
    for (request, expected) in [
        (
            client
                .request("PATCH", &format!("/Users/{boss}"))
                .body(r#"{"Operations":[{"op":"replace","path":"displayName","value":"Boss"}]}"#),
            json!({ "value": boss, "$ref": url(&boss), "displayName": "Boss" }),
        ),
        (client.request("DELETE", &format!("/Users/{boss}")), json!({ "value": boss })),
    ] {
        assert!(request.send().await.status < 300);
        let read = client.request("GET", &path).header("if-none-match", &known).send().await;
        assert_eq!((read.status, manager(&read)), (200, &expected), "{read}");
        let etag = read.header("etag").unwrap();
        assert!(etag.starts_with("W/\"1") && etag != known, "{etag}");
        assert_eq!(read.body["meta"]["version"], etag);
        known = etag.to_owned();
    }
    let same = client.request("GET", &path).header("if-none-match", &known).send().await;
    assert_eq!(same.status, 304);
    // The id can be sent back, found, and replaced.
    let put = client.put(&path, &with_manager("bo", &json!({ "value": boss }))).await;
    assert_eq!((put.status, put.header("etag")), (200, Some(known.as_str())));
    let found = client.find(&format!("{ENTERPRISE}:manager eq \"{boss}\"")).await;
    assert_eq!(found.list("userName"), "bo");
}

#[tokio::test]
async fn a_manager_who_does_not_exist_is_accepted_or_refused_by_policy() {
    for unknown_managers in [UnknownManagers::Accept, UnknownManagers::Refuse] {
        let directory = Directory::new().await;
        directory.set_policy("demo", Policy { unknown_managers, ..Policy::default() }).await;
        let client = directory.client();
        let refused = unknown_managers == UnknownManagers::Refuse;
        let boss = create(&client, "boss", None).await;
        let path = client.create(&with_manager("bo", &json!({ "value": boss }))).await.path();
        let unknown =
            [json!({ "value": NOBODY }), json!({ "value": "no id of ours" }), json!({ "$ref": url(NOBODY) })];
        for (n, unknown) in unknown.iter().enumerate() {
            for answer in [
                client.post("/Users", &with_manager(&format!("new{n}"), unknown)).await,
                client.put(&path, &with_manager("bo", unknown)).await,
                client.patch(&path, &set_manager(unknown)).await,
            ] {
                if refused {
                    let told = (answer.status, answer.body["scimType"].as_str(), answer.detail());
                    assert_eq!(
                        told,
                        (
                            400,
                            Some("invalidValue"),
                            "manager.value must be the id of an existing User: create it first, or ask the operator to set the policy unknownManagers to accept"
                        ),
                        "{unknown}"
                    );
                } else {
                    let value = unknown["value"].as_str().unwrap_or(NOBODY);
                    assert_eq!(manager(&answer), &json!({ "value": value }), "{answer}");
                }
            }
        }
        // Of a manager who was deleted since, the user keeps the id.
        assert_eq!(client.put(&path, &with_manager("bo", &json!({ "value": boss }))).await.status, 200);
        assert_eq!(client.delete(&format!("/Users/{boss}")).await.status, 204);
        let kept = client.put(&path, &with_manager("bob", &json!({ "value": boss }))).await;
        assert_eq!((kept.status, manager(&kept)), (200, &json!({ "value": boss })), "{kept}");
        assert_eq!(client.patch(&path, &set_manager(&json!({ "value": boss }))).await.status, 200);
        let again = client.post("/Users", &with_manager("new", &json!({ "value": boss }))).await;
        assert_eq!(again.status, if refused { 400 } else { 201 }, "{again}");
        check(&directory).await;
    }
}

/// The attributes of a tenant's own schema are read the same way.
#[tokio::test]
async fn an_own_attribute_that_refers_to_a_resource_is_shown_like_a_manager() {
    let directory = Directory::new().await;
    let definitions = json!({
        "schemas": [{ "id": "urn:example:Device", "name": "Device", "attributes": [
            { "name": "serial" },
            { "name": "owner", "type": "complex", "subAttributes": [
                { "name": "value" },
                { "name": "$ref", "type": "reference", "referenceTypes": ["User", "Group"] },
                { "name": "display", "mutability": "readOnly" }] }] }],
        "resourceTypes": [{ "name": "Device", "endpoint": "/Devices", "schema": "urn:example:Device" }],
    });
    directory.set_definitions("demo", &definitions.to_string()).await.unwrap();
    let client = directory.client();
    let boss = create(&client, "boss", Some("The Boss")).await;
    let crew = client.post("/Groups", r#"{"displayName":"Crew"}"#).await;
    for (id, kind, display) in [(boss.as_str(), "Users", "The Boss"), (crew.id(), "Groups", "Crew")] {
        let device = client.post("/Devices", &json!({ "owner": { "value": id } }).to_string()).await;
        let expected = json!({ "value": id, "$ref": format!("https://example.com/scim/v2/{kind}/{id}"),
            "display": display });
        assert_eq!((device.status, &device.body["owner"]), (201, &expected), "{device}");
    }
}

#[tokio::test]
async fn the_managers_of_a_page_are_read_at_once() {
    let client = Client::new().await;
    let bosses = [create(&client, "a", None).await, create(&client, "b", None).await];
    for n in 0..10 {
        client.create(&with_manager(&format!("user{n}"), &json!({ "value": bosses[n % 2] }))).await;
    }
    client.faults.forget();
    let list = client.get("/Users?excludedAttributes=groups").await;
    let shown = list.body["Resources"].as_array().unwrap().iter();
    assert_eq!(shown.filter(|user| user[ENTERPRISE]["manager"].get("$ref").is_some()).count(), 10);
    assert_eq!(client.faults.calls(), ["Query", "Query", "BatchGetItem"]);
    // Two managers, eventually consistent.
    let read = client.faults.capacity().read;
    client.faults.forget();
    client.get("/Users?attributes=userName").await;
    let more = read - client.faults.capacity().read;
    assert!((more - 1.0).abs() < f64::EPSILON || !client.faults.reports_read_units(), "{more}");
}
