//! Changes of members as a request states them, parsed before anything is looked up. A case of
//! `member_changes.json` is operations and the members that are added (`+`) or removed (`-`), `=`
//! where no other stays, or the error. `LONG` stands for an id of 257 bytes. Adding a case needs no
//! Rust.

use std::sync::Arc;

use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::error::Error;
use scim_lambda::scim::member::{self, Member, MemberChanges, Touched};
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::{Interpretation, Policy};
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::scim::work::Work;
use serde_json::{Value, json};

fn group() -> Arc<ResourceType> {
    Registry::new(&Policy::default()).resource_type("Group").unwrap().clone()
}

fn shown(changes: &MemberChanges) -> String {
    let named = changes.named.iter().map(|(id, member)| match member {
        None => format!("-{id}"),
        Some(Member { id, kind, display }) => {
            [kind, display].into_iter().flatten().fold(format!("+{id}"), |shown, text| shown + "/" + text)
        }
    });
    changes.cleared.then(|| "=".to_owned()).into_iter().chain(named).collect::<Vec<_>>().join(" ")
}

fn told(error: &Error) -> String {
    format!("{}: {error}", error.kind.scim_type().unwrap())
}

#[test]
fn a_patch_tells_who_comes_and_who_goes() {
    let group = group();
    let text = include_str!("member_changes.json").replace("LONG", &"x".repeat(257));
    let mut wrong = Vec::new();
    for case in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": case["operations"],
        });
        let members = &case["members"];
        for (interpretation, expected) in [
            (Interpretation::Tolerant, members),
            (Interpretation::Strict, case.get("strict").unwrap_or(members)),
        ] {
            let reader = Reader::new(&group, Leeway::of(&Policy { interpretation, ..Policy::default() }));
            let found = match Patch::parse(&reader, "own-id", &body) {
                Ok(patch) => {
                    assert_eq!(patch.as_sets(), None, "{case}");
                    match patch.member_changes() {
                        Touched::Nothing => "nothing".to_owned(),
                        Touched::Named(changes) => shown(changes),
                        Touched::Any(_) => "any".to_owned(),
                    }
                }
                Err(error) => told(&error),
            };
            if *expected != found {
                wrong.push(format!(
                    "{} ({interpretation:?})\n   found {found}\nexpected {expected}",
                    case["case"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_operations_on_other_attributes_are_applied_alone() {
    let group = group();
    let reader = Reader::new(&group, Leeway::default());
    let patch = |value: &Value| {
        let body = json!({ "Operations": [{ "op": "replace", "value": value }] });
        Patch::parse(&reader, "own-id", &body).unwrap()
    };
    let before = reader.resource(&json!({ "displayName": "Crew" })).unwrap();
    let after = |patch: &Patch<'_>| {
        patch.apply_without_members(&before, &Work::default()).unwrap().map(Value::Object)
    };
    let both = json!({ "displayName": "Boat", "members": [{ "value": "u1" }] });
    assert_eq!(after(&patch(&both)), Some(json!({ "displayName": "Boat" })));
    assert_eq!(patch(&both).apply(&before, &Work::default()).unwrap().map(Value::Object), Some(both));
    assert_eq!(after(&patch(&json!({ "members": [{ "value": "u1" }] }))), None);
}

#[test]
fn members_are_taken_out_of_a_resource() {
    const NO_ID: &str = "invalidValue: a member must have the id of a user or group as its value";
    let group = group();
    let reader = Reader::new(&group, Leeway::default());
    for (members, expected) in [
        (
            json!([{ "value": "u2", "display": null }, "u1", { "value": "u2", "type": "User" }]),
            "+u1 +u2/User",
        ),
        (json!([]), ""),
        (json!(null), ""),
        (json!([{}]), NO_ID),
        (json!([{ "value": "u1" }, null]), NO_ID),
        (json!([{ "value": "u1" }, { "display": "Two" }]), NO_ID),
    ] {
        let body = json!({ "displayName": "Crew", "members": members });
        let found = reader.resource(&body).and_then(|mut attributes| {
            let members = member::take(&group, &mut attributes)?;
            assert_eq!(Value::Object(attributes), json!({ "displayName": "Crew" }));
            Ok(shown(&MemberChanges { cleared: false, ..MemberChanges::only(members) }))
        });
        assert_eq!(found.unwrap_or_else(|error| told(&error)), expected, "{members}");
    }
}
