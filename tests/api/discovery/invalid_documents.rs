//! Invalid documents of schemas, resource types, roles and entitlements.

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::registry::custom::Definitions;
use serde_json::{Value, json};

use crate::support::directory::Directory;

/// Returns the error of each document, one a line.
fn sentences(documents: &[Value]) -> String {
    let sentences = documents.iter().map(|document| {
        let definitions = Definitions::parse(&document.to_string());
        let registry = definitions.and_then(|definitions| Registry::with(&Policy::default(), &definitions));
        registry.map_or_else(|error| error.to_string(), |_| panic!("{document} is taken"))
    });
    sentences.collect::<Vec<_>>().join("\n")
}

fn schema(attributes: &Value) -> Value {
    json!({ "schemas": [{ "id": "urn:example:S", "name": "S", "attributes": attributes }] })
}

#[test]
fn a_schema_that_cannot_be_obeyed_is_refused() {
    let two = |name: &str| {
        json!({ "schemas": [
            { "id": "urn:example:S", "name": "S", "attributes": [{ "name": "a" }] },
            { "id": name, "name": "T", "attributes": [{ "name": "a" }] },
        ] })
    };
    let documents = [
        json!([]),
        json!({ "resourcetypes": [] }),
        json!({ "schemas": [{ "id": "urn:example:S", "name": "S" }] }),
        json!({ "schemas": [{ "id": "S", "name": "S", "attributes": [{ "name": "a" }] }] }),
        json!({ "schemas": [{ "id": "urn:example:S T", "name": "S", "attributes": [{ "name": "a" }] }] }),
        json!({ "schemas": [{ "id": "urn:example:S", "name": "", "attributes": [{ "name": "a" }] }] }),
        two("URN:example:s"),
        two("urn:ietf:params:scim:schemas:core:2.0:User"),
        schema(&json!([])),
        schema(&json!([{ "name": "a", "caseexact": true }])),
        schema(&json!([{ "name": "a", "type": "text" }])),
        schema(&json!([{ "name": "1a" }])),
        schema(&json!([{ "name": "a b" }])),
        schema(&json!([{ "name": "a" }, { "name": "A" }])),
        schema(&json!([{ "name": "ID" }])),
        schema(&json!([{ "name": "a", "type": "complex" }])),
        schema(&json!([{ "name": "a", "subAttributes": [{ "name": "b" }] }])),
        schema(
            &json!([{ "name": "a", "type": "complex", "subAttributes": [{ "name": "b", "type": "complex", "subAttributes": [{ "name": "c" }] }] }]),
        ),
        schema(
            &json!([{ "name": "a", "type": "complex", "uniqueness": "server", "subAttributes": [{ "name": "b" }] }]),
        ),
        schema(&json!([{ "name": "a", "type": "boolean", "uniqueness": "server" }])),
        schema(&json!([{ "name": "a", "mutability": "writeOnly" }])),
        schema(&json!([{ "name": "a", "mutability": "readOnly", "required": true }])),
        schema(&(0..501).map(|n| json!({ "name": format!("a{n}") })).collect()),
        schema(&json!([{ "name": "a", "description": "x".repeat(256 * 1024) }])),
    ];
    assert_snapshot!(sentences(&documents), @"
    the document must be an object with schemas, resourceTypes, roles or entitlements
    unknown field `resourcetypes`, expected one of `schemas`, `resourceTypes`, `roles`, `entitlements`
    schema urn:example:S: missing field `attributes`
    schema S: the id must be a URN of up to 256 bytes, such as urn:example:params:scim:schemas:extension:acme:2.0:User
    schema urn:example:S T: the id must be a URN of up to 256 bytes, such as urn:example:params:scim:schemas:extension:acme:2.0:User
    schema urn:example:S: the name cannot be empty
    schema URN:example:s: the id is already taken: choose another
    schema urn:ietf:params:scim:schemas:core:2.0:User: the id is already taken: choose another
    schema urn:example:S: attributes cannot be empty
    schema urn:example:S: unknown field `caseexact`, expected one of `name`, `type`, `multiValued`, `description`, `required`, `canonicalValues`, `caseExact`, `mutability`, `returned`, `uniqueness`, `referenceTypes`, `subAttributes`
    schema urn:example:S: unknown variant `text`, expected one of `string`, `boolean`, `decimal`, `integer`, `dateTime`, `binary`, `reference`, `complex`
    schema urn:example:S: attribute 1a: a name must be a letter, followed by letters, digits, - and _ (RFC 7643 s2.1)
    schema urn:example:S: attribute a b: a name must be a letter, followed by letters, digits, - and _ (RFC 7643 s2.1)
    schema urn:example:S: attribute A: the name must be unique: names are compared without case
    schema urn:example:S: ID is an attribute of every resource (RFC 7643 s3.1): remove it, or choose another name
    schema urn:example:S: attribute a: a complex attribute must have subAttributes
    schema urn:example:S: attribute a: only an attribute of type complex can have subAttributes
    schema urn:example:S: attribute a.b: a sub-attribute cannot be complex (RFC 7643 s2.3.8)
    schema urn:example:S: attribute a: a complex attribute cannot be unique: choose a sub-attribute
    schema urn:example:S: attribute a: only a string, reference or binary can be unique: set uniqueness to none
    schema urn:example:S: attribute a: an attribute cannot be writeOnly: use readWrite, and returned never
    schema urn:example:S: attribute a: a required attribute cannot be readOnly: no client could give it a value
    501 attributes, the limit is 500
    262236 bytes, the limit is 262144
    ");
    assert_snapshot!(Definitions::parse("{").unwrap_err(), @"EOF while parsing an object at line 1 column 1");
}

#[test]
fn a_resource_type_that_cannot_be_served_is_refused() {
    let kind = |kind: Value| {
        let mut document = schema(&json!([{ "name": "a" }, { "name": "n", "type": "integer" }]));
        document["resourceTypes"] = json!([kind]);
        document
    };
    let documents = [
        kind(json!({ "name": "role", "endpoint": "/Jobs", "schema": "urn:example:S" })),
        kind(json!({ "name": "a#b", "endpoint": "/Things", "schema": "urn:example:S" })),
        kind(json!({ "name": "Thing", "endpoint": "/a/b", "schema": "urn:example:S" })),
        kind(json!({ "name": "Thing", "endpoint": "/bulk", "schema": "urn:example:S" })),
        kind(json!({ "name": "Thing", "endpoint": "groups", "schema": "urn:example:S" })),
        kind(json!({ "name": "Thing", "schema": "urn:example:S" })),
        kind(json!({ "name": "Thing", "endpoint": "/Things" })),
        kind(json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:T" })),
        kind(json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "members": "a" })),
        kind(json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "unique": ["b"] })),
        kind(json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "unique": ["n"] })),
        kind(
            json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "lookUp": ["meta.created"] }),
        ),
        kind(json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "lookUp": ["a["] })),
        kind(
            json!({ "name": "Thing", "endpoint": "/Things", "schema": "urn:example:S", "schemaExtensions": [{ "schema": "urn:example:S" }] }),
        ),
        kind(json!({ "name": "user", "endpoint": "/People" })),
        kind(
            json!({ "name": "User", "schemaExtensions": [{ "schema": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User" }] }),
        ),
    ];
    assert_snapshot!(sentences(&documents), @"
    resource type role: the name is reserved: choose another
    resource type a#b: the name must be a letter, followed by letters and digits, 64 at most
    resource type Thing: the endpoint must be one segment of a path, such as /Devices
    resource type Thing: the endpoint /bulk is taken: choose another
    resource type Thing: the endpoint is already taken by Group: choose another
    resource type Thing: it must have an endpoint
    resource type Thing: it must have a schema
    resource type Thing: schema urn:example:T is not defined
    resource type Thing: members and memberOf cannot be declared: only the built-in types have them
    resource type Thing: it has no attribute b
    resource type Thing: n cannot be indexed: choose a string, reference or binary
    resource type Thing: meta.created cannot be indexed: choose a string, reference or binary
    resource type Thing: a[: expected the end at byte 1, found `[`
    resource type Thing: it cannot have the schema urn:example:S twice
    resource type user: the type exists: an addition to it cannot have an endpoint, a schema or a description
    resource type User: it cannot have the schema urn:ietf:params:scim:schemas:extension:enterprise:2.0:User twice
    ");
}

#[tokio::test]
async fn roles_that_do_not_fit_together_are_refused() {
    let directory = Directory::new().await;
    let mut errors = Vec::new();
    for document in [
        json!({ "roles": [{ "value": "" }] }),
        json!({ "roles": [{ "name": "a" }] }),
        json!({ "roles": [{ "value": "a" }, { "value": "A" }] }),
        json!({ "roles": [{ "value": "a", "contains": ["b"] }] }),
        json!({ "roles": [{ "value": "a", "contains": ["b"] }, { "value": "b", "contains": ["A"] }] }),
        json!({ "entitlements": [{ "value": "a", "totalAssignmentsUsed": 7 }] }),
        json!({ "entitlements": (0..1_001).map(|n| json!({ "value": n.to_string() })).collect::<Vec<_>>() }),
        json!({ "resourceTypes": [{ "name": "Thing", "endpoint": "/roles", "schema": "urn:ietf:params:scim:schemas:core:2.0:User" }] }),
    ] {
        errors.push(directory.set_definitions("demo", &document.to_string()).await.unwrap_err());
    }
    assert_snapshot!(errors.join("\n"), @"
    roles: a value must have 1 to 256 bytes without control characters
    role number 1: unknown field `name`, expected one of `value`, `display`, `type`, `description`, `supported`, `totalAssignmentsPermitted`, `contains`
    roles A: the value must be unique: values are compared without case
    roles a: it cannot contain b, which is not declared
    roles a: it cannot contain itself, directly or through others
    entitlement a: unknown field `totalAssignmentsUsed`, expected one of `value`, `display`, `type`, `description`, `supported`, `totalAssignmentsPermitted`, `contains`
    entitlements: 1001 values, the limit is 1000
    resource type Thing: the endpoint /roles is taken: choose another
    ");
}
