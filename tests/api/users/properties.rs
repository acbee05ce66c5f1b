//! Properties of every user and every PATCH. The model of a PATCH follows RFC 7644 s3.5.2 over
//! plain JSON. It knows no schema, and `Target` takes the place of the path, so that it parses none
//! either.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::work::Work;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::builders::ENTERPRISE;
use crate::support::client::Client;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Add,
    Remove,
    Replace,
}

#[derive(Clone, Debug)]
enum Target {
    /// An operation without a path.
    Resource,
    /// The names that lead to a single value.
    Single(&'static [&'static str]),
    Emails,
    EmailsOfType(&'static str),
    MemberOfEmailsOfType(&'static str, &'static str),
    MemberOfEmails(&'static str),
}

#[derive(Clone, Debug)]
struct Operation {
    op: Op,
    target: Target,
    /// The value, which a remove does not send.
    value: Value,
}

#[derive(Debug)]
struct Refused;

impl Operation {
    fn to_json(&self) -> Value {
        let op = match self.op {
            Op::Add => "add",
            Op::Remove => "Remove",
            Op::Replace => "REPLACE",
        };
        let path = match &self.target {
            Target::Resource => None,
            Target::Single([ENTERPRISE, rest @ ..]) => Some(format!("{ENTERPRISE}:{}", rest.join("."))),
            Target::Single(names) => Some(names.join(".")),
            Target::Emails => Some("emails".to_owned()),
            Target::EmailsOfType(kind) => Some(format!("emails[type eq \"{kind}\"]")),
            Target::MemberOfEmailsOfType(kind, name) => Some(format!("emails[type eq \"{kind}\"].{name}")),
            Target::MemberOfEmails(name) => Some(format!("emails.{name}")),
        };
        let mut operation = json!({ "op": op, "path": path });
        if self.op != Op::Remove {
            operation["value"] = self.value.clone();
        }
        operation
    }

    fn apply(&self, user: &mut Value) -> Result<(), Refused> {
        match &self.target {
            Target::Resource if self.op == Op::Remove => return Err(Refused),
            Target::Resource => self.apply_to_resource(user)?,
            Target::Single(names) => self.assign(user, names),
            Target::Emails
            | Target::EmailsOfType(_)
            | Target::MemberOfEmailsOfType(..)
            | Target::MemberOfEmails(_) => {
                let before = user["emails"].as_array().cloned().unwrap_or_default();
                let after = self.apply_to_emails(before)?;
                user["emails"] = after.into();
            }
        }
        prune(user);
        Ok(())
    }

    fn apply_to_resource(&self, user: &mut Value) -> Result<(), Refused> {
        for (name, value) in self.value.as_object().unwrap() {
            let target = match name.as_str() {
                "emails" => Target::Emails,
                "title" => Target::Single(&["title"]),
                "name" => Target::Single(&["name"]),
                "name.givenName" => Target::Single(&["name", "givenName"]),
                ENTERPRISE => Target::Single(&[ENTERPRISE]),
                other => panic!("the model does not know {other}"),
            };
            Self { op: self.op, target, value: value.clone() }.apply(user)?;
        }
        Ok(())
    }

    /// Assigns a single value, alike for `add` and `replace`: an object merges, `null` removes.
    fn assign(&self, user: &mut Value, names: &[&str]) {
        let mut place = user;
        for name in names {
            if !place[*name].is_object() && names.last() != Some(name) {
                place[*name] = json!({});
            }
            place = &mut place[*name];
        }
        match (self.op, &self.value) {
            (Op::Remove, _) => *place = Value::Null,
            (Op::Add | Op::Replace, Value::Object(new)) => merge(place, new),
            (Op::Add | Op::Replace, new) => *place = new.clone(),
        }
    }

    fn apply_to_emails(&self, before: Vec<Value>) -> Result<Vec<Value>, Refused> {
        let primary = before.iter().position(is_primary);
        let mut emails = before;
        let (kind, member) = match self.target {
            Target::EmailsOfType(kind) => (Some(kind), None),
            Target::MemberOfEmailsOfType(kind, member) => (Some(kind), Some(member)),
            Target::MemberOfEmails(member) => (None, Some(member)),
            Target::Emails | Target::Resource | Target::Single(_) => {
                return self.apply_to_all(emails, primary);
            }
        };
        let chosen: Vec<usize> = (0..emails.len())
            .filter(|index| kind.is_none_or(|kind| emails[*index]["type"] == kind))
            .collect();
        if self.op == Op::Remove {
            for index in chosen {
                match member {
                    Some(member) => emails[index][member] = Value::Null,
                    None => emails[index] = Value::Null,
                }
            }
            return Ok(emails);
        }
        let new = member.map_or_else(|| self.value.clone(), |member| json!({ member: self.value }));
        if new["primary"] == true && chosen.len() > 1 {
            return Err(Refused);
        }
        for &index in &chosen {
            if self.op == Op::Replace && member.is_none() {
                emails[index] = new.clone();
            } else {
                merge(&mut emails[index], new.as_object().unwrap());
            }
        }
        if chosen.is_empty() {
            if self.op == Op::Replace && kind == Some("odd") {
                return Err(Refused);
            }
            let mut made = kind.map_or_else(|| json!({}), |kind| json!({ "type": kind }));
            merge(&mut made, new.as_object().unwrap());
            emails.push(made);
        }
        demote(&mut emails, primary);
        Ok(emails)
    }

    fn apply_to_all(&self, mut emails: Vec<Value>, primary: Option<usize>) -> Result<Vec<Value>, Refused> {
        let new = self.value.as_array().cloned().unwrap_or_default();
        if self.op == Op::Remove {
            return Ok(Vec::new());
        }
        if new.iter().filter(|email| is_primary(email)).count() > 1 {
            return Err(Refused);
        }
        if self.op == Op::Replace {
            return Ok(new);
        }
        for email in &new {
            let differs = |old: &Value, name: &str| {
                !old[name].is_null() && !email[name].is_null() && old[name] != email[name]
            };
            let same = emails.iter_mut().find(|old| old["value"] == email["value"] && !differs(old, "type"));
            match same {
                Some(old) => merge(old, email.as_object().unwrap()),
                None => emails.push(email.clone()),
            }
        }
        demote(&mut emails, primary);
        Ok(emails)
    }
}

fn is_primary(email: &Value) -> bool {
    email["primary"] == true
}

fn demote(emails: &mut [Value], primary: Option<usize>) {
    if emails.iter().filter(|email| is_primary(email)).count() > 1 {
        emails[primary.unwrap()]["primary"] = false.into();
    }
}

fn merge(into: &mut Value, new: &Map<String, Value>) {
    for (name, value) in new {
        match value {
            Value::Object(new) => merge(&mut into[name], new),
            value => into[name] = value.clone(),
        }
    }
}

/// Makes a new user active unless the client says otherwise.
fn activate(user: &mut Value) {
    user.as_object_mut().unwrap().entry("active").or_insert_with(|| true.into());
}

/// Removes unassigned values.
fn prune(value: &mut Value) {
    let gone = |value: &Value| *value == Value::Null || *value == json!([]) || *value == json!({});
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(prune);
            members.retain(|_, value| !gone(value));
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(prune);
            elements.retain(|element| !gone(element));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof!["[a-c]", "\\PC{0,6}"].prop_map(Value::from)
}

fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![4 => value, 1 => Just(Value::Null)]
}

/// Generates an e-mail. It always has a `value`, which distinguishes e-mails.
fn email() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![json!("work"), json!("home"), json!("odd"), Value::Null]);
    let primary = prop::sample::select(vec![json!(true), json!(false), Value::Null, Value::Null]);
    ("[a-c]", kind, primary).prop_map(|(value, kind, primary)| {
        let mut email = json!({ "value": value, "type": kind, "primary": primary });
        prune(&mut email);
        email
    })
}

fn emails() -> impl Strategy<Value = Value> {
    // The combination of value and type appears once (RFC 7643 s2.4).
    prop::collection::vec(email(), 0..4).prop_map(|mut emails| {
        let mut known = Vec::new();
        emails.retain(|email| {
            let identity = (email["value"].clone(), email["type"].clone());
            let is_new = !known.contains(&identity);
            known.push(identity);
            is_new
        });
        emails.into()
    })
}

fn name() -> impl Strategy<Value = Value> {
    (maybe(text()), text()).prop_map(|(given, family)| json!({ "givenName": given, "familyName": family }))
}

fn extension() -> impl Strategy<Value = Value> {
    (maybe(text()), maybe("[a-c]".prop_map(|id| json!({ "value": id }))))
        .prop_map(|(department, manager)| json!({ "department": department, "manager": manager }))
}

/// Generates a user as a client sends it. A `null` is an unassigned value.
fn user() -> impl Strategy<Value = Value> {
    (maybe(text()), maybe(any::<bool>().prop_map(Value::from)), maybe(name()), emails(), maybe(extension()))
        .prop_filter("one primary", |(.., emails, _)| {
            emails.as_array().unwrap().iter().filter(|email| is_primary(email)).count() < 2
        })
        .prop_map(|(title, active, name, emails, extension)| {
            json!({ "title": title, "active": active, "name": name, "emails": emails, ENTERPRISE: extension })
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let kind = || prop::sample::select(vec!["work", "home", "odd"]);
    let single = |names: &'static [&'static str], value: BoxedStrategy<Value>| {
        value.prop_map(move |value| (Target::Single(names), value)).boxed()
    };
    let resource = (
        prop::option::of(maybe(text())),
        prop::option::of(name()),
        prop::option::of(emails()),
        prop::option::of(maybe(text())),
        prop::option::of(extension()),
    )
        .prop_map(|(title, name, emails, given, extension)| {
            let members = [
                ("title", title),
                ("name", name),
                ("emails", emails),
                ("name.givenName", given),
                (ENTERPRISE, extension),
            ];
            let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            (Target::Resource, Value::Object(members.collect()))
        });
    let change = prop_oneof![
        resource,
        single(&["title"], maybe(text()).boxed()),
        single(&["active"], any::<bool>().prop_map(Value::from).boxed()),
        single(&["name"], maybe(name()).boxed()),
        single(&["name", "familyName"], maybe(text()).boxed()),
        single(&[ENTERPRISE, "department"], maybe(text()).boxed()),
        single(&[ENTERPRISE, "manager", "value"], "[a-c]".prop_map(Value::from).boxed()),
        emails().prop_map(|value| (Target::Emails, value)),
        (kind(), email()).prop_map(|(kind, value)| (Target::EmailsOfType(kind), value)),
        (kind(), text()).prop_map(|(kind, value)| (Target::MemberOfEmailsOfType(kind, "display"), value)),
        (kind(), "[a-c]")
            .prop_map(|(kind, value)| (Target::MemberOfEmailsOfType(kind, "value"), value.into())),
        (kind(), any::<bool>())
            .prop_map(|(kind, value)| (Target::MemberOfEmailsOfType(kind, "primary"), value.into())),
        text().prop_map(|value| (Target::MemberOfEmails("display"), value)),
        any::<bool>().prop_map(|value| (Target::MemberOfEmails("primary"), value.into())),
    ];
    (prop::sample::select(vec![Op::Add, Op::Remove, Op::Replace]), change)
        .prop_map(|(op, (target, value))| Operation { op, target, value })
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Applies the operations to the user as the model does.
fn modelled(user: &Value, operations: &[Operation]) -> Result<Value, Refused> {
    let mut after = user.clone();
    for operation in operations {
        operation.apply(&mut after)?;
    }
    Ok(after)
}

fn message(operations: &[Operation]) -> Value {
    let operations: Vec<Value> = operations.iter().map(Operation::to_json).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}

#[test]
fn a_patch_does_what_the_model_does() {
    let registry = Registry::new(&Policy::default());
    let kind = registry.resource_type("User").unwrap();
    let reader = Reader::new(kind, Leeway::default());
    let operations = prop::collection::vec(operation(), 1..5);
    let holds = |(mut user, operations): (Value, Vec<Operation>)| -> TestCaseResult {
        user["userName"] = "bj".into();
        let before = reader.resource(&user).unwrap();
        prune(&mut user);
        prop_assert_eq!(&Value::from(before.clone()), &user);
        let found = Patch::parse(&reader, "id", &message(&operations))
            .and_then(|patch| patch.apply(&before, &Work::default()));
        match (found, modelled(&user, &operations)) {
            (Ok(None), Ok(after)) => prop_assert_eq!(after, user),
            (Ok(Some(found)), Ok(after)) => {
                prop_assert_eq!(Value::from(found), after.clone());
                prop_assert_ne!(after, user);
            }
            (Err(_), Err(Refused)) => {}
            (found, modelled) => prop_assert!(false, "{found:?} is not {modelled:?}"),
        }
        Ok(())
    };
    runner(2_000).run(&(user(), operations), holds).unwrap();
}

#[test]
fn what_is_removed_or_replaced_twice_is_as_after_the_first_time() {
    let registry = Registry::new(&Policy::default());
    let kind = registry.resource_type("User").unwrap();
    let reader = Reader::new(kind, Leeway::default());
    // The filter need not select an element that has replaced another.
    let repeatable = operation().prop_filter("repeatable", |operation| {
        operation.op != Op::Add && !matches!(operation.target, Target::EmailsOfType(_))
    });
    let holds = |(mut user, operation): (Value, Operation)| -> TestCaseResult {
        user["userName"] = "bj".into();
        let before = reader.resource(&user).unwrap();
        let Ok(patch) = Patch::parse(&reader, "id", &message(&[operation])) else {
            return Ok(());
        };
        if let Ok(Some(once)) = patch.apply(&before, &Work::default()) {
            prop_assert_eq!(patch.apply(&once, &Work::default()), Ok(None));
        }
        Ok(())
    };
    runner(1_000).run(&(user(), repeatable), holds).unwrap();
}

#[test]
fn what_is_read_after_a_patch_is_what_the_model_says() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::new());
    let number = std::cell::Cell::new(0);
    let holds = |(mut user, operations): (Value, Vec<Operation>)| -> TestCaseResult {
        number.set(number.get() + 1);
        user["userName"] = format!("user{}", number.get()).into();
        let created = runtime.block_on(client.post("/Users", &user.to_string()));
        prop_assert_eq!(created.status, 201, "{}", created);
        let patched = runtime.block_on(client.patch(&created.path(), &message(&operations).to_string()));
        let found = runtime.block_on(client.get(&created.path()));
        prune(&mut user);
        activate(&mut user);
        let Ok(mut after) = modelled(&user, &operations) else {
            prop_assert_eq!((patched.status, found.body), (400, created.body));
            return Ok(());
        };
        prop_assert_eq!((patched.status, &patched.body), (200, &found.body), "{}", patched);
        let version = if after == user { "W/\"1\"" } else { "W/\"2\"" };
        prop_assert_eq!(found.header("etag"), Some(version));
        for name in ["id", "schemas", "meta"] {
            after[name] = found.body[name].clone();
        }
        prop_assert_eq!(found.body, after);
        Ok(())
    };
    runner(64).run(&(user(), prop::collection::vec(operation(), 1..5)), holds).unwrap();
}

#[test]
fn what_is_created_is_read_without_what_the_schema_drops() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::new());
    let number = std::cell::Cell::new(0);
    let noise = prop::sample::subsequence(
        vec![
            ("id", json!("mine")),
            ("meta", json!({ "version": "W/\"9\"", "created": 1 })),
            ("groups", json!([{ "value": "g" }])),
            ("schemas", json!(["urn:unknown"])),
            ("password", json!("secret")),
            ("shoeSize", json!({ "eu": [44] })),
            ("urn:unknown:2.0:User", json!({ "a": 1 })),
            ("ims", json!([null, {}, { "value": null, "colour": "red" }])),
            ("addresses", json!([])),
            ("nickName", Value::Null),
        ],
        0..10,
    );
    let holds = |(mut user, noise, shout): (Value, Vec<(&str, Value)>, bool)| -> TestCaseResult {
        number.set(number.get() + 1);
        let mut sent = user.clone();
        sent.as_object_mut().unwrap().extend(noise.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let user_name = format!("user{}", number.get());
        let spelling = if shout { "USERNAME" } else { "userName" };
        sent[spelling] = user_name.as_str().into();
        let created = runtime.block_on(client.post("/Users", &sent.to_string()));
        prop_assert_eq!(created.status, 201, "{}", created);
        let found = runtime.block_on(client.get(&created.path()));
        prop_assert_eq!(&created.body, &found.body);
        user["userName"] = user_name.into();
        prune(&mut user);
        activate(&mut user);
        let mut shown = found.body;
        shown.as_object_mut().unwrap().retain(|name, _| !["id", "schemas", "meta"].contains(&name.as_str()));
        prop_assert_eq!(shown, user);
        Ok(())
    };
    runner(64).run(&(user(), noise, any::<bool>()), holds).unwrap();
}
