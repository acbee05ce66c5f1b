//! PATCH over other schemas than that of users: groups with their members among the
//! attributes, and a declared resource type.

use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::scim::work::Work;
use serde_json::{Value, json};

const DEVICES: &str = r#"{
    "schemas":[
        {"id":"urn:example:Device","name":"Device","attributes":[
            {"name":"serial","required":true,"caseExact":true,"mutability":"immutable","uniqueness":"server"},
            {"name":"tags","multiValued":true},
            {"name":"size","type":"complex","subAttributes":[
                {"name":"height","type":"integer","required":true,"mutability":"immutable"},
                {"name":"notes","multiValued":true}]}]},
        {"id":"urn:example:Rack","name":"Rack","attributes":[
            {"name":"since","type":"dateTime","required":true},
            {"name":"weight","type":"decimal"}]}],
    "resourceTypes":[{"name":"Device","endpoint":"/Devices","schema":"urn:example:Device",
        "schemaExtensions":[{"schema":"urn:example:Rack","required":true}]}]}"#;

/// Returns the attributes after a PATCH, `=` where it changes nothing, or the error.
fn patched(kind: &ResourceType, before: &Value, operations: &Value) -> Value {
    let reader = Reader::new(kind, Leeway::default());
    let before = reader.resource(before).unwrap();
    let patch = Patch::parse(&reader, "own-id", &json!({ "Operations": operations }));
    match patch.and_then(|patch| patch.apply(&before, &Work::default())) {
        Ok(Some(after)) => after.into(),
        Ok(None) => "=".into(),
        Err(error) => format!("{}: {error}", error.kind.scim_type().unwrap()).into(),
    }
}

#[test]
fn members_of_a_group() {
    let registry = Registry::new(&Policy::default());
    let group = registry.resource_type("Group").unwrap();
    let before = json!({ "displayName": "Crew", "members": [
        { "value": "u1", "display": "One", "type": "User" }, { "value": "u2" } ] });
    let one = json!({ "value": "u1", "display": "One", "type": "User" });
    let crew = |members: Value| json!({ "displayName": "Crew", "members": members });
    for (operations, after) in [
        // RFC 7644 s3.5.2.1: "if the user was already a member, no changes"
        (json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": "u1" }] }]), json!("=")),
        (
            json!([{ "op": "add", "path": "members", "value": [{ "value": "u1", "display": "Uno" }] }]),
            json!("="),
        ),
        (
            json!([{ "op": "Add", "path": "members", "value": [{ "value": "u3" }, { "value": "u3" }] }]),
            crew(json!([one, { "value": "u2" }, { "value": "u3" }])),
        ),
        (
            json!([{ "op": "remove", "path": "members[value eq \"u2\"]" },
                { "op": "add", "path": "members", "value": [{ "value": "u3", "display": "Three" }] }]),
            crew(json!([one, { "value": "u3", "display": "Three" }])),
        ),
        (json!([{ "op": "remove", "path": "members[value eq \"u9\"]" }]), json!("=")),
        (
            json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": "u1" }] }]),
            crew(json!([{ "value": "u2" }])),
        ),
        (
            json!([{ "op": "Remove", "path": "members", "value": { "members": [{ "value": "u1" }] } }]),
            crew(json!([{ "value": "u2" }])),
        ),
        (json!([{ "op": "remove", "path": "members" }]), json!({ "displayName": "Crew" })),
        (
            json!([{ "op": "replace", "path": "members", "value": [{ "value": "u3" }] }]),
            crew(json!([{ "value": "u3" }])),
        ),
        // Okta sends the name with every push, and must not empty the group by that.
        (
            json!([{ "op": "replace", "value": { "id": "own-id", "displayName": "Boat" } }]),
            json!({ "displayName": "Boat", "members": [one, { "value": "u2" }] }),
        ),
        (
            json!([{ "op": "replace", "value": { "members": [{ "value": "u3" }], "id": "own-id", "displayName": "Boat" } }]),
            json!({ "displayName": "Boat", "members": [{ "value": "u3" }] }),
        ),
        (
            json!([{ "op": "add", "path": "members[value eq \"u2\"].display", "value": "Two" }]),
            crew(json!([one, { "value": "u2", "display": "Two" }])),
        ),
        (
            json!([{ "op": "replace", "path": "members[value eq \"u1\"].display", "value": "Uno" }]),
            json!("mutability: display cannot be changed once it is set: remove the value and add another"),
        ),
        (
            json!([{ "op": "remove", "path": "displayName" }]),
            json!("mutability: displayName is required and cannot be empty"),
        ),
    ] {
        assert_eq!(patched(group, &before, &operations), after, "{operations}");
    }
}

#[test]
fn a_type_and_an_extension_are_data() {
    let definitions = Definitions::parse(DEVICES).unwrap();
    let registry = Registry::with(&Policy::default(), &definitions).unwrap();
    let device = registry.resource_type("Device").unwrap();
    let before = json!({ "serial": "s1", "tags": ["a", "b"], "size": { "height": 2 },
        "urn:example:Rack": { "since": "2026-01-31T09:00:00Z", "weight": 1.5 } });
    let with = |changes: Value| {
        let mut after = json!({ "serial": "s1", "tags": ["a", "b"], "size": { "height": 2 },
            "urn:example:Rack": { "since": "2026-01-31T09:00:00Z", "weight": 1.5 } });
        after.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        after
    };
    for (operations, after) in [
        (
            json!([{ "op": "add", "path": "tags", "value": ["b", "c"] }]),
            with(json!({ "tags": ["a", "b", "c"] })),
        ),
        (json!([{ "op": "add", "path": "tags", "value": "c" }]), with(json!({ "tags": ["a", "b", "c"] }))),
        (json!([{ "op": "remove", "path": "tags[value eq \"a\"]" }]), with(json!({ "tags": ["b"] }))),
        (
            json!([{ "op": "replace", "path": "tags[value eq \"A\"]", "value": "z" }]),
            with(json!({ "tags": ["z", "b"] })),
        ),
        (json!([{ "op": "remove", "path": "tags", "value": ["a"] }]), with(json!({ "tags": ["b"] }))),
        (
            json!([{ "op": "add", "path": "size.notes", "value": ["n"] }, { "op": "add", "path": "size.notes", "value": ["n", "m"] }]),
            with(json!({ "size": { "height": 2, "notes": ["n", "m"] } })),
        ),
        (
            json!([{ "op": "replace", "path": "size", "value": { "notes": ["n"] } }]),
            with(json!({ "size": { "height": 2, "notes": ["n"] } })),
        ),
        (
            json!([{ "op": "replace", "path": "size.height", "value": 3 }]),
            json!("mutability: height cannot be changed once it is set: remove the value and add another"),
        ),
        (
            json!([{ "op": "replace", "path": "size", "value": { "height": 3 } }]),
            json!("mutability: size.height cannot be changed once it is set"),
        ),
        (
            json!([{ "op": "replace", "path": "size.height", "value": 2.5 }]),
            json!("invalidValue: size.height must be an integer"),
        ),
        (
            json!([{ "op": "replace", "path": "serial", "value": "s2" }]),
            json!("mutability: serial cannot be changed once it is set"),
        ),
        (
            json!([{ "op": "remove", "path": "urn:example:Rack" }]),
            json!("mutability: urn:example:Rack is required and cannot be empty"),
        ),
        (
            json!([{ "op": "remove", "path": "urn:example:Rack:since" }]),
            json!("mutability: urn:example:Rack:since is required and cannot be empty"),
        ),
        (
            json!([{ "op": "replace", "path": "urn:example:Rack:since", "value": "soon" }]),
            json!(
                "invalidValue: urn:example:Rack:since must be a date and time such as 2026-01-31T09:30:00Z"
            ),
        ),
    ] {
        assert_eq!(patched(device, &before, &operations), after, "{operations}");
    }
}
