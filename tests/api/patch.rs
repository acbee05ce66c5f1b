//! PATCH, RFC 7644 s3.5.2 sentence by sentence, and as clients send it
//! (clients.md). A case is a user, operations, and the user afterwards.
//!
//! In a case `ENT` is the URN of the enterprise extension. An outcome is the
//! user, `=` for the same as before at the same version and lastModified, or
//! `<scimType>: <detail>` of a 400 after which nothing has changed.

use scim_lambda::scim::catalogue::Catalogue;
use scim_lambda::scim::input::Reader;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::{Interpretation, Mutable, Policy};
use serde_json::{Map, Value, json};

use crate::client::{Client, Directory, TOKEN};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Name, before, operations, outcome under either policy.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// As [`Case`], with the outcomes under the tolerant and the strict policy.
type Split = (&'static str, &'static str, &'static str, &'static str, &'static str);

const ADD: &[Case] = &[
    (
        "without a path, value is a set of attributes (Figure in s3.5.2.1)",
        r#"{"emails":[{"value":"b@x.example","type":"work","primary":true}]}"#,
        r#"[{"op":"add","value":{"emails":[{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]"#,
        r#"{"nickName":"Babs","emails":[{"value":"b@x.example","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}]}"#,
    ),
    (
        "what does not exist is added",
        "{}",
        r#"[{"op":"add","path":"title","value":"Guide"}]"#,
        r#"{"title":"Guide"}"#,
    ),
    (
        "a single value is replaced",
        r#"{"title":"Guide"}"#,
        r#"[{"op":"add","path":"title","value":"Tour Guide"}]"#,
        r#"{"title":"Tour Guide"}"#,
    ),
    (
        "a complex attribute takes a set of sub-attributes and keeps the others",
        r#"{"name":{"givenName":"Barbara","familyName":"Jensen"}}"#,
        r#"[{"op":"add","path":"name","value":{"givenName":"Babs","middleName":"J"}}]"#,
        r#"{"name":{"givenName":"Babs","familyName":"Jensen","middleName":"J"}}"#,
    ),
    (
        "a complex attribute is no string",
        "{}",
        r#"[{"op":"add","path":"name","value":"Babs"}]"#,
        "invalidValue: name has to be an object",
    ),
    (
        "a sub-attribute",
        r#"{"name":{"familyName":"Jensen"}}"#,
        r#"[{"op":"add","path":"name.givenName","value":"Babs"}]"#,
        r#"{"name":{"givenName":"Babs","familyName":"Jensen"}}"#,
    ),
    (
        "a sub-attribute of what does not exist",
        "{}",
        r#"[{"op":"add","path":"name.givenName","value":"Babs"}]"#,
        r#"{"name":{"givenName":"Babs"}}"#,
    ),
    (
        "one more of several values",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"add","path":"emails","value":[{"value":"b@x.example"},{"value":"c@x.example"}]}]"#,
        r#"{"emails":[{"value":"a@x.example"},{"value":"b@x.example"},{"value":"c@x.example"}]}"#,
    ),
    (
        "one of several values needs no array",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"add","path":"emails","value":{"value":"b@x.example"}}]"#,
        r#"{"emails":[{"value":"a@x.example"},{"value":"b@x.example"}]}"#,
    ),
    (
        "what is there already changes nothing",
        r#"{"title":"Guide","name":{"givenName":"Babs"},"emails":[{"value":"a@x.example","type":"work"}]}"#,
        r#"[{"op":"add","path":"title","value":"Guide"},{"op":"add","path":"name","value":{"givenName":"Babs"}},
            {"op":"add","path":"emails","value":[{"value":"a@x.example","type":"work"},{"type":"work"}]}]"#,
        "=",
    ),
    (
        "nor does a value that comes twice in one request",
        "{}",
        r#"[{"op":"add","path":"emails","value":[{"value":"a@x.example"},{"value":"a@x.example"}]}]"#,
        r#"{"emails":[{"value":"a@x.example"}]}"#,
    ),
    (
        "the same value of another type is another value (RFC 7643 s2.4)",
        r#"{"emails":[{"value":"a@x.example","type":"work"}]}"#,
        r#"[{"op":"add","path":"emails","value":[{"value":"a@x.example","type":"home"}]}]"#,
        r#"{"emails":[{"value":"a@x.example","type":"work"},{"value":"a@x.example","type":"home"}]}"#,
    ),
    (
        "what is there already takes what is new about it",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"add","path":"emails","value":[{"value":"a@x.example","type":"work","display":"A"}]}]"#,
        r#"{"emails":[{"value":"a@x.example","type":"work","display":"A"}]}"#,
    ),
    (
        "a new primary value takes that from the old one",
        r#"{"emails":[{"value":"a@x.example","primary":true},{"value":"b@x.example"}]}"#,
        r#"[{"op":"add","path":"emails","value":[{"value":"c@x.example","primary":true}]}]"#,
        r#"{"emails":[{"value":"a@x.example","primary":false},{"value":"b@x.example"},{"value":"c@x.example","primary":true}]}"#,
    ),
    (
        "there is no more than one new primary value",
        "{}",
        r#"[{"op":"add","path":"emails","value":[{"value":"a@x.example","primary":true},{"value":"b@x.example","primary":true}]}]"#,
        "invalidValue: emails has 2 primary values, at most one is allowed",
    ),
    (
        "into the elements that a filter selects",
        r#"{"emails":[{"value":"a@x.example","type":"work"},{"value":"b@x.example","type":"home"}]}"#,
        r#"[{"op":"add","path":"emails[type eq \"work\"]","value":{"display":"A"}},{"op":"add","path":"emails[value ew \"example\"].primary","value":false}]"#,
        r#"{"emails":[{"value":"a@x.example","type":"work","display":"A","primary":false},{"value":"b@x.example","type":"home","primary":false}]}"#,
    ),
    (
        "adding an extension's attribute adds its URN to schemas",
        "{}",
        r#"[{"op":"add","path":"ENT:employeeNumber","value":"7"}]"#,
        r#"{"ENT":{"employeeNumber":"7"}}"#,
    ),
    ("add needs a value", "{}", r#"[{"op":"add","path":"title"}]"#, "invalidValue: title needs a value"),
    ("null is no value", r#"{"title":"Guide"}"#, r#"[{"op":"add","path":"title","value":null}]"#, "{}"),
    (
        "no values are added",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"add","path":"emails","value":[]},{"op":"add","path":"emails","value":null},{"op":"add","value":{"emails":[]}}]"#,
        "=",
    ),
    (
        "add without path needs an object",
        "{}",
        r#"[{"op":"add","value":"Babs"}]"#,
        "invalidValue: an operation without path needs an object of attributes as its value",
    ),
    (
        "add without path and value",
        "{}",
        r#"[{"op":"add"}]"#,
        "invalidValue: an operation without path needs an object of attributes as its value",
    ),
];

const REMOVE: &[Case] = &[
    (
        "without a path",
        "{}",
        r#"[{"op":"remove"}]"#,
        "noTarget: remove needs a path that says what to remove",
    ),
    (
        "without a path, whatever the value says",
        r#"{"title":"Guide"}"#,
        r#"[{"op":"remove","value":{"title":"Guide"}}]"#,
        "noTarget: remove needs a path that says what to remove",
    ),
    (
        "a single value",
        r#"{"title":"Guide","nickName":"B"}"#,
        r#"[{"op":"remove","path":"title"}]"#,
        r#"{"nickName":"B"}"#,
    ),
    (
        "a value of null is none",
        r#"{"title":"Guide"}"#,
        r#"[{"op":"remove","path":"title","value":null}]"#,
        "{}",
    ),
    (
        "what is not there",
        "{}",
        r#"[{"op":"remove","path":"title"},{"op":"remove","path":"name.givenName"},{"op":"remove","path":"emails"}]"#,
        "=",
    ),
    ("a complex attribute", r#"{"name":{"givenName":"B"}}"#, r#"[{"op":"remove","path":"name"}]"#, "{}"),
    (
        "a sub-attribute",
        r#"{"name":{"givenName":"B","familyName":"J"}}"#,
        r#"[{"op":"remove","path":"name.givenName"}]"#,
        r#"{"name":{"familyName":"J"}}"#,
    ),
    (
        "the last sub-attribute",
        r#"{"name":{"givenName":"B"}}"#,
        r#"[{"op":"remove","path":"name.givenName"}]"#,
        "{}",
    ),
    (
        "all of several values",
        r#"{"emails":[{"value":"a@x.example"},{"value":"b@x.example"}]}"#,
        r#"[{"op":"remove","path":"emails"}]"#,
        "{}",
    ),
    (
        "the values that a filter selects (Figure in s3.5.2.2)",
        r#"{"emails":[{"value":"a@example.com","type":"work"},{"value":"b@example.com","type":"home"},{"value":"c@x.org","type":"work"}]}"#,
        r#"[{"op":"remove","path":"emails[type eq \"work\" and value ew \"example.com\"]"}]"#,
        r#"{"emails":[{"value":"b@example.com","type":"home"},{"value":"c@x.org","type":"work"}]}"#,
    ),
    (
        "the last value",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"remove","path":"emails[value eq \"a@x.example\"]"}]"#,
        "{}",
    ),
    (
        "values that nothing selects",
        r#"{"emails":[{"value":"a@x.example"}]}"#,
        r#"[{"op":"remove","path":"emails[value eq \"b@x.example\"]"},{"op":"remove","path":"emails[type eq \"work\"].value"}]"#,
        "=",
    ),
    (
        "a sub-attribute of the values that a filter selects",
        r#"{"emails":[{"value":"a@x.example","display":"A"},{"value":"b@x.example","display":"B"}]}"#,
        r#"[{"op":"remove","path":"emails[value sw \"a\"].display"}]"#,
        r#"{"emails":[{"value":"a@x.example"},{"value":"b@x.example","display":"B"}]}"#,
    ),
    (
        "a sub-attribute of all values; one of which nothing is left is gone",
        r#"{"emails":[{"value":"a@x.example","type":"work"},{"type":"home"}]}"#,
        r#"[{"op":"remove","path":"emails.type"}]"#,
        r#"{"emails":[{"value":"a@x.example"}]}"#,
    ),
    (
        "the primary value leaves none that is",
        r#"{"emails":[{"value":"a@x.example","primary":true},{"value":"b@x.example"}]}"#,
        r#"[{"op":"remove","path":"emails[primary eq true]"}]"#,
        r#"{"emails":[{"value":"b@x.example"}]}"#,
    ),
    (
        "what is required",
        "{}",
        r#"[{"op":"remove","path":"userName"}]"#,
        "mutability: userName is required and cannot be empty",
    ),
    (
        "what is read-only",
        "{}",
        r#"[{"op":"remove","path":"groups"}]"#,
        "mutability: groups is read-only: take it out of the request",
    ),
    (
        "meta",
        "{}",
        r#"[{"op":"remove","path":"meta.created"}]"#,
        "mutability: meta.created is read-only: take it out of the request",
    ),
    (
        "schemas",
        "{}",
        r#"[{"op":"remove","path":"schemas"}]"#,
        "mutability: schemas is read-only: take it out of the request",
    ),
    (
        "id",
        "{}",
        r#"[{"op":"remove","path":"id","value":null}]"#,
        "mutability: id is read-only: take it out of the request",
    ),
    (
        "an attribute of an extension",
        r#"{"ENT":{"department":"D","division":"V"}}"#,
        r#"[{"op":"remove","path":"ENT:department"}]"#,
        r#"{"ENT":{"division":"V"}}"#,
    ),
    (
        "the last attribute of an extension",
        r#"{"ENT":{"department":"D"}}"#,
        r#"[{"op":"remove","path":"ENT:department"}]"#,
        "{}",
    ),
    (
        "a sub-attribute in an extension",
        r#"{"ENT":{"manager":{"value":"26"}}}"#,
        r#"[{"op":"remove","path":"ENT:manager.value"}]"#,
        "{}",
    ),
    (
        "an extension",
        r#"{"title":"T","ENT":{"department":"D","manager":{"value":"26"}}}"#,
        r#"[{"op":"remove","path":"ENT"}]"#,
        r#"{"title":"T"}"#,
    ),
    ("an extension that is not there", "{}", r#"[{"op":"remove","path":"ENT"}]"#, "="),
];

const REPLACE: &[Case] = &[
    (
        "without a path (Figure in s3.5.2.3)",
        r#"{"title":"T","emails":[{"value":"a@x.example"},{"value":"b@x.example"}]}"#,
        r#"[{"op":"replace","value":{"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],"nickname":"Babs"}}]"#,
        r#"{"title":"T","nickName":"Babs","emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}]}"#,
    ),
    (
        "a single value",
        r#"{"title":"Guide"}"#,
        r#"[{"op":"replace","path":"title","value":"T"}]"#,
        r#"{"title":"T"}"#,
    ),
    (
        "the same value",
        r#"{"title":"T","emails":[{"value":"a"}]}"#,
        r#"[{"op":"replace","path":"title","value":"T"},{"op":"replace","path":"emails","value":[{"value":"a"}]}]"#,
        "=",
    ),
    (
        "all of several values",
        r#"{"emails":[{"value":"a"},{"value":"b"}]}"#,
        r#"[{"op":"replace","path":"emails","value":[{"value":"c"}]}]"#,
        r#"{"emails":[{"value":"c"}]}"#,
    ),
    (
        "what is not there is added",
        "{}",
        r#"[{"op":"replace","path":"title","value":"T"},{"op":"replace","path":"name.givenName","value":"B"},{"op":"replace","path":"emails","value":[{"value":"c"}]}]"#,
        r#"{"name":{"givenName":"B"},"title":"T","emails":[{"value":"c"}]}"#,
    ),
    (
        "a complex attribute keeps what value does not say",
        r#"{"name":{"givenName":"B","familyName":"J"}}"#,
        r#"[{"op":"replace","path":"name","value":{"familyName":"S"}}]"#,
        r#"{"name":{"givenName":"B","familyName":"S"}}"#,
    ),
    (
        "also without a path",
        r#"{"name":{"givenName":"B","familyName":"J"}}"#,
        r#"[{"op":"replace","value":{"name":{"familyName":"S"}}}]"#,
        r#"{"name":{"givenName":"B","familyName":"S"}}"#,
    ),
    (
        "and loses what it says is null",
        r#"{"name":{"givenName":"B","familyName":"J"}}"#,
        r#"[{"op":"replace","path":"name","value":{"familyName":null}}]"#,
        r#"{"name":{"givenName":"B"}}"#,
    ),
    (
        "all of it is null",
        r#"{"name":{"givenName":"B"}}"#,
        r#"[{"op":"replace","path":"name","value":{"givenName":null,"familyName":null}}]"#,
        "{}",
    ),
    (
        "an object of nothing says nothing",
        r#"{"name":{"givenName":"B"}}"#,
        r#"[{"op":"replace","path":"name","value":{}}]"#,
        "=",
    ),
    (
        "whole elements that a filter selects (Figure in s3.5.2.3)",
        r#"{"addresses":[{"type":"work","locality":"Springfield","formatted":"old"},{"type":"home","locality":"Springfield","primary":true}]}"#,
        r#"[{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","streetAddress":"911 Universal City Plaza","locality":"Hollywood","primary":true}}]"#,
        r#"{"addresses":[{"type":"work","streetAddress":"911 Universal City Plaza","locality":"Hollywood","primary":true},{"type":"home","locality":"Springfield","primary":false}]}"#,
    ),
    (
        "the sub-attribute of all elements that a filter selects (Figure in s3.5.2.3)",
        r#"{"addresses":[{"type":"work","locality":"A"},{"type":"work","locality":"B"},{"type":"home"}]}"#,
        r#"[{"op":"replace","path":"addresses[type eq \"work\"].streetAddress","value":"1010 Broadway Ave"}]"#,
        r#"{"addresses":[{"type":"work","locality":"A","streetAddress":"1010 Broadway Ave"},{"type":"work","locality":"B","streetAddress":"1010 Broadway Ave"},{"type":"home"}]}"#,
    ),
    (
        "the sub-attribute of all elements",
        r#"{"emails":[{"value":"a","type":"home"},{"value":"b"}]}"#,
        r#"[{"op":"replace","path":"emails.type","value":"work"}]"#,
        r#"{"emails":[{"value":"a","type":"work"},{"value":"b","type":"work"}]}"#,
    ),
    (
        "the sub-attribute of no elements",
        "{}",
        r#"[{"op":"replace","path":"emails.value","value":"a"}]"#,
        r#"{"emails":[{"value":"a"}]}"#,
    ),
    (
        "elements that nothing selects",
        r#"{"emails":[{"value":"a","type":"work"}]}"#,
        r#"[{"op":"replace","path":"emails[type eq \"nonexistent\"].value","value":"b"}]"#,
        "noTarget: no value of emails matches [type eq \"nonexistent\"]",
    ),
    (
        "whole elements that nothing selects",
        "{}",
        r#"[{"op":"replace","path":"emails[type ne \"work\"]","value":{"value":"b"}}]"#,
        "noTarget: no value of emails matches [type ne \"work\"]",
    ),
    (
        "elements by two conditions",
        "{}",
        r#"[{"op":"replace","path":"emails[type eq \"work\" and primary eq true].value","value":"b"}]"#,
        "noTarget: no value of emails matches [type eq \"work\" and primary eq true]",
    ),
    (
        "one element becomes primary",
        r#"{"emails":[{"value":"a","primary":true},{"value":"b"}]}"#,
        r#"[{"op":"replace","path":"emails[value eq \"b\"].primary","value":true}]"#,
        r#"{"emails":[{"value":"a","primary":false},{"value":"b","primary":true}]}"#,
    ),
    (
        "all elements become primary",
        r#"{"emails":[{"value":"a","primary":true},{"value":"b"}]}"#,
        r#"[{"op":"replace","path":"emails.primary","value":true}]"#,
        "invalidValue: emails has 2 primary values, at most one is allowed",
    ),
    (
        "elements by null are removed",
        r#"{"emails":[{"value":"a"},{"value":"b"}]}"#,
        r#"[{"op":"replace","path":"emails[value eq \"b\"]","value":null}]"#,
        r#"{"emails":[{"value":"a"}]}"#,
    ),
    (
        "null unassigns (RFC 7643 s2.5)",
        r#"{"title":"T","emails":[{"value":"a"}],"name":{"givenName":"B"}}"#,
        r#"[{"op":"replace","value":{"title":null,"emails":null,"name":null}}]"#,
        "{}",
    ),
    (
        "an empty array unassigns",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"replace","path":"emails","value":[]}]"#,
        "{}",
    ),
    (
        "what is required by null",
        "{}",
        r#"[{"op":"replace","path":"userName","value":null}]"#,
        "mutability: userName is required and cannot be empty",
    ),
    (
        "what is required by nothing",
        "{}",
        r#"[{"op":"replace","value":{"userName":""}}]"#,
        "mutability: userName is required and cannot be empty",
    ),
    (
        "replace needs a value",
        "{}",
        r#"[{"op":"replace","path":"ENT"}]"#,
        "invalidValue: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User needs an object of attributes as its value",
    ),
    (
        "a value of another type",
        "{}",
        r#"[{"op":"replace","path":"title","value":5}]"#,
        "invalidValue: title has to be a string",
    ),
    (
        "a sub-attribute's value of another type",
        "{}",
        r#"[{"op":"replace","path":"emails[type eq \"work\"].primary","value":"maybe"}]"#,
        "invalidValue: emails.primary has to be true or false",
    ),
    (
        "an element's value of another type",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"replace","path":"emails[value eq \"a\"]","value":{"type":1}}]"#,
        "invalidValue: emails.type has to be a string",
    ),
    (
        "what is read-only, by its path",
        "{}",
        r#"[{"op":"replace","path":"groups","value":[{"value":"g"}]}]"#,
        "mutability: groups is read-only: take it out of the request",
    ),
    (
        "a read-only sub-attribute, by its path",
        "{}",
        r#"[{"op":"replace","path":"ENT:manager.displayName","value":"Boss"}]"#,
        "mutability: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName is read-only: take it out of the request",
    ),
    (
        "another id",
        "{}",
        r#"[{"op":"replace","value":{"id":"other"}}]"#,
        "mutability: id is read-only: take it out of the request",
    ),
    (
        "schemas follows from the attributes",
        "{}",
        r#"[{"op":"add","path":"schemas","value":["ENT"]},{"op":"replace","value":{"schemas":["ENT"],"title":"T"}}]"#,
        r#"{"title":"T"}"#,
    ),
    (
        "a password is checked and not kept",
        "{}",
        r#"[{"op":"replace","path":"password","value":"t1meMa$heen"},{"op":"add","value":{"password":"t1meMa$heen"}},{"op":"remove","path":"password"}]"#,
        "=",
    ),
    (
        "a password is a string",
        "{}",
        r#"[{"op":"replace","value":{"password":1}}]"#,
        "invalidValue: password has to be a string",
    ),
    (
        "an extension keeps what value does not say",
        r#"{"ENT":{"department":"D","division":"V"}}"#,
        r#"[{"op":"replace","path":"ENT","value":{"division":"W"}}]"#,
        r#"{"ENT":{"department":"D","division":"W"}}"#,
    ),
    (
        "an extension by null",
        r#"{"ENT":{"department":"D"}}"#,
        r#"[{"op":"replace","value":{"ENT":null}}]"#,
        "{}",
    ),
    (
        "an extension is an object",
        "{}",
        r#"[{"op":"replace","value":{"ENT":"D"}}]"#,
        "invalidValue: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User needs an object of attributes as its value",
    ),
];

const PATHS: &[Case] = &[
    (
        "names without case",
        r#"{"emails":[{"value":"a","type":"work"}]}"#,
        r#"[{"op":"replace","path":"NAME.GivenName","value":"B"},{"op":"replace","path":"Emails[TYPE eq \"WORK\"].Value","value":"b"},{"op":"add","value":{"NickName":"N","NAME":{"FAMILYNAME":"J"}}}]"#,
        r#"{"name":{"givenName":"B","familyName":"J"},"nickName":"N","emails":[{"value":"b","type":"work"}]}"#,
    ),
    (
        "with the URN of the core schema",
        "{}",
        r#"[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:name.givenName","value":"B"},{"op":"add","value":{"URN:ietf:params:scim:schemas:core:2.0:USER:title":"T"}}]"#,
        r#"{"name":{"givenName":"B"},"title":"T"}"#,
    ),
    (
        "a common attribute",
        "{}",
        r#"[{"op":"replace","path":"externalId","value":"e"}]"#,
        r#"{"externalId":"e"}"#,
    ),
    (
        "that is none",
        "{}",
        r#"[{"op":"replace","path":"name.","value":"B"}]"#,
        "invalidPath: path name.: expected the name of an attribute at byte 5, found the end",
    ),
    (
        "with an unclosed filter",
        "{}",
        r#"[{"op":"replace","path":"emails[type eq \"work\"","value":"B"}]"#,
        "invalidPath: path emails[type eq \"work\": expected `and`, `or` or `]` at byte 21, found the end",
    ),
    (
        "with an array index",
        "{}",
        r#"[{"op":"remove","path":"emails[0]"}]"#,
        "invalidPath: path emails[0]: expected the name of an attribute at byte 7, found `0`",
    ),
    (
        "that is no string",
        "{}",
        r#"[{"op":"remove","path":["emails"]}]"#,
        "invalidPath: path has to be a string",
    ),
    (
        "with a filter on a single value",
        "{}",
        r#"[{"op":"replace","path":"name[givenName eq \"B\"].familyName","value":"J"}]"#,
        "invalidPath: name has a single value: name it without a filter",
    ),
    (
        "with a filter behind a sub-attribute",
        "{}",
        r#"[{"op":"replace","path":"emails.value[type eq \"work\"]","value":"J"}]"#,
        "invalidPath: path emails.value[type eq \"work\"]: a filter stands behind the name of a multi-valued attribute",
    ),
    (
        "with a filter on an extension",
        "{}",
        r#"[{"op":"remove","path":"ENT[department eq \"D\"]"}]"#,
        "invalidPath: path urn:ietf:params:scim:schemas:extension:enterprise:2.0:User[department eq \"D\"]: a filter stands behind the name of a multi-valued attribute",
    ),
    (
        "with a filter by what is not there",
        "{}",
        r#"[{"op":"remove","path":"emails[kind eq \"work\"]"}]"#,
        "invalidPath: emails has no sub-attribute kind: it has value, display, type, primary",
    ),
];

const SEQUENCE: &[Case] = &[
    (
        "operations apply in their order",
        "{}",
        r#"[{"op":"add","path":"title","value":"A"},{"op":"replace","path":"title","value":"B"},{"op":"remove","path":"title"},{"op":"add","path":"title","value":"C"}]"#,
        r#"{"title":"C"}"#,
    ),
    (
        "each sees what the one before left",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"remove","path":"emails[value eq \"a\"]"},{"op":"add","path":"emails","value":[{"value":"a","type":"home"}]},{"op":"replace","path":"emails[type eq \"home\"].display","value":"A"}]"#,
        r#"{"emails":[{"value":"a","type":"home","display":"A"}]}"#,
    ),
    (
        "there and back is no change",
        r#"{"title":"A"}"#,
        r#"[{"op":"remove","path":"title"},{"op":"add","path":"title","value":"A"}]"#,
        "=",
    ),
    (
        "what is required may be missing in between",
        "{}",
        r#"[{"op":"remove","path":"userName"},{"op":"add","path":"userName","value":"USERNAME"}]"#,
        "=",
    ),
    (
        "if the second fails nothing has happened",
        r#"{"title":"A"}"#,
        r#"[{"op":"replace","path":"title","value":"B"},{"op":"replace","path":"emails[type eq \"x\"].value","value":"b"}]"#,
        "noTarget: no value of emails matches [type eq \"x\"]",
    ),
    (
        "if the last is none nothing has happened",
        r#"{"title":"A"}"#,
        r#"[{"op":"replace","path":"title","value":"B"},{"op":"move","path":"title"}]"#,
        "invalidSyntax: op has to be add, remove or replace",
    ),
];

const CLIENTS: &[Split] = &[
    (
        "op in any case (Entra)",
        r#"{"title":"T"}"#,
        r#"[{"op":"Add","path":"nickName","value":"B"},{"op":"Replace","path":"title","value":"U"},{"op":"REMOVE","path":"title"}]"#,
        r#"{"nickName":"B"}"#,
        r#"{"nickName":"B"}"#,
    ),
    (
        "names of the message in any case",
        "{}",
        r#"[{"OP":"add","Path":"title","VALUE":"T"}]"#,
        r#"{"title":"T"}"#,
        r#"{"title":"T"}"#,
    ),
    (
        "Okta deactivates",
        r#"{"active":true}"#,
        r#"[{"op":"replace","value":{"active":false}}]"#,
        r#"{"active":false}"#,
        r#"{"active":false}"#,
    ),
    ("Okta sets a password", "{}", r#"[{"op":"replace","value":{"password":"Kp7-x-Zq"}}]"#, "=", "="),
    (
        "own id (Okta)",
        "{}",
        r#"[{"op":"replace","value":{"id":"ID","displayName":"D"}},{"op":"replace","path":"id","value":"ID"}]"#,
        r#"{"displayName":"D"}"#,
        r#"{"displayName":"D"}"#,
    ),
    (
        "Entra deactivates (legacy)",
        r#"{"active":true}"#,
        r#"[{"op":"Replace","path":"active","value":"False"}]"#,
        r#"{"active":false}"#,
        "invalidValue: active has to be true or false",
    ),
    (
        "Entra deactivates (flag)",
        r#"{"active":true}"#,
        r#"[{"op":"replace","path":"active","value":false}]"#,
        r#"{"active":false}"#,
        r#"{"active":false}"#,
    ),
    (
        "Entra adds a string (legacy)",
        "{}",
        r#"[{"op":"Add","path":"nickName","value":"B"}]"#,
        r#"{"nickName":"B"}"#,
        r#"{"nickName":"B"}"#,
    ),
    (
        "Entra replaces several (legacy)",
        r#"{"name":{"givenName":"G"},"emails":[{"type":"work","value":"a"}]}"#,
        r#"[{"op":"Replace","path":"name.givenName","value":"X"},{"op":"Replace","path":"emails[type eq \"work\"].value","value":"b"},{"op":"Replace","path":"ENT:employeeNumber","value":"Z"}]"#,
        r#"{"name":{"givenName":"X"},"emails":[{"value":"b","type":"work"}],"ENT":{"employeeNumber":"Z"}}"#,
        r#"{"name":{"givenName":"X"},"emails":[{"value":"b","type":"work"}],"ENT":{"employeeNumber":"Z"}}"#,
    ),
    (
        "Entra replaces several (flag)",
        r#"{"name":{"givenName":"G","familyName":"F"}}"#,
        r#"[{"op":"replace","value":{"displayName":"X","name.givenName":"Y","ENT:employeeNumber":"Z","ENT:manager.value":"26"}}]"#,
        r#"{"name":{"givenName":"Y","familyName":"F"},"displayName":"X","ENT":{"employeeNumber":"Z","manager":{"value":"26"}}}"#,
        r#"{"name":{"givenName":"Y","familyName":"F"},"displayName":"X","ENT":{"employeeNumber":"Z","manager":{"value":"26"}}}"#,
    ),
    (
        "Entra adds to an element that is not there, twice",
        "{}",
        r#"[{"op":"Add","path":"addresses[type eq \"work\"].formatted","value":"F"},{"op":"Add","path":"addresses[type eq \"work\"].Locality","value":"L"},{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"5"},{"op":"Add","path":"emails[type eq \"other\"].Value","value":"o"}]"#,
        r#"{"emails":[{"value":"o","type":"other"}],"phoneNumbers":[{"value":"5","type":"mobile"}],"addresses":[{"formatted":"F","locality":"L","type":"work"}]}"#,
        "noTarget: no value of addresses matches [type eq \"work\"]",
    ),
    (
        "Entra replaces in an element that is not there",
        r#"{"phoneNumbers":[{"type":"work","value":"1"}]}"#,
        r#"[{"op":"Replace","path":"phoneNumbers[type eq \"mobile\"].value","value":"5"},{"op":"Replace","path":"phoneNumbers[type eq \"fax\"]","value":{"value":"6"}}]"#,
        r#"{"phoneNumbers":[{"value":"1","type":"work"},{"value":"5","type":"mobile"},{"value":"6","type":"fax"}]}"#,
        "noTarget: no value of phoneNumbers matches [type eq \"mobile\"]",
    ),
    (
        "add makes an element of any one condition",
        "{}",
        r#"[{"op":"add","path":"roles[value eq \"admin\"].display","value":"Admin"}]"#,
        r#"{"roles":[{"value":"admin","display":"Admin"}]}"#,
        "noTarget: no value of roles matches [value eq \"admin\"]",
    ),
    (
        "Entra's primary role as a string",
        "{}",
        r#"[{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"A"},{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"B"}]"#,
        r#"{"roles":[{"value":"B","primary":true}]}"#,
        "noTarget: no value of roles matches [primary eq \"True\"]",
    ),
    (
        "Entra's stringified roles are kept as they are",
        "{}",
        r#"[{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"1\",\"value\":\"Admin\"}"}]}]"#,
        r#"{"roles":[{"value":"{\"id\":\"1\",\"value\":\"Admin\"}"}]}"#,
        r#"{"roles":[{"value":"{\"id\":\"1\",\"value\":\"Admin\"}"}]}"#,
    ),
    (
        "strings as booleans in elements",
        "{}",
        r#"[{"op":"Add","path":"roles","value":[{"value":"A","primary":"True"}]}]"#,
        r#"{"roles":[{"value":"A","primary":true}]}"#,
        "invalidValue: roles.primary has to be true or false",
    ),
    (
        "manager as a string",
        "{}",
        r#"[{"op":"Add","path":"ENT:manager","value":"26"}]"#,
        r#"{"ENT":{"manager":{"value":"26"}}}"#,
        "invalidValue: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager has to be an object",
    ),
    (
        "manager as an object",
        "{}",
        r#"[{"op":"Replace","path":"ENT:manager","value":{"$ref":"../Users/26","value":"26","displayName":"Boss"}}]"#,
        r#"{"ENT":{"manager":{"value":"26","$ref":"../Users/26"}}}"#,
        r#"{"ENT":{"manager":{"value":"26","$ref":"../Users/26"}}}"#,
    ),
    (
        "manager cleared by an object (Entra's validator)",
        r#"{"ENT":{"manager":{"value":"26","$ref":"x"}}}"#,
        r#"[{"op":"Replace","path":"ENT:manager","value":{"value":""}}]"#,
        "{}",
        r#"{"ENT":{"manager":{"value":"","$ref":"x"}}}"#,
    ),
    (
        "manager cleared by a string",
        r#"{"ENT":{"manager":{"value":"26"},"department":"D"}}"#,
        r#"[{"op":"Replace","path":"ENT:manager","value":""}]"#,
        r#"{"ENT":{"department":"D"}}"#,
        "invalidValue: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager has to be an object",
    ),
    (
        "manager removed",
        r#"{"ENT":{"manager":{"value":"26"}}}"#,
        r#"[{"op":"Remove","path":"ENT:manager"}]"#,
        "{}",
        "{}",
    ),
    (
        "an extension as an object (no path)",
        r#"{"ENT":{"division":"V"}}"#,
        r#"[{"op":"replace","value":{"ENT":{"department":"D","manager":{"value":"26"}}}}]"#,
        r#"{"ENT":{"department":"D","division":"V","manager":{"value":"26"}}}"#,
        r#"{"ENT":{"department":"D","division":"V","manager":{"value":"26"}}}"#,
    ),
    (
        "SailPoint's two objects of one attribute",
        r#"{"name":{"middleName":"M"}}"#,
        r#"[{"op":"replace","value":{"name":{"familyName":"A"}}},{"op":"replace","value":{"name":{"givenName":"B"}}}]"#,
        r#"{"name":{"familyName":"A","givenName":"B","middleName":"M"}}"#,
        r#"{"name":{"familyName":"A","givenName":"B","middleName":"M"}}"#,
    ),
    (
        "values to remove as the value (Entra, JumpCloud)",
        r#"{"emails":[{"value":"a","type":"work"},{"value":"b"},{"value":"c"}]}"#,
        r#"[{"op":"Remove","path":"emails","value":[{"$ref":null,"value":"a"},{"Value":"z"}]},{"op":"remove","path":"emails","value":"b"}]"#,
        r#"{"emails":[{"value":"c"}]}"#,
        "invalidValue: remove takes no value: say in the path what to remove, such as emails[value eq \"...\"]",
    ),
    (
        "values to remove, wrapped once more",
        r#"{"emails":[{"value":"a"},{"value":"b"}]}"#,
        r#"[{"op":"remove","path":"emails","value":{"Emails":[{"value":"a"}]}}]"#,
        r#"{"emails":[{"value":"b"}]}"#,
        "invalidValue: remove takes no value: say in the path what to remove, such as emails[value eq \"...\"]",
    ),
    (
        "no values to remove",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"remove","path":"emails","value":[]},{"op":"remove","path":"emails","value":[{}]},{"op":"remove","path":"emails","value":[{"value":null}]},{"op":"remove","path":"emails","value":{}},{"op":"remove","path":"emails","value":[{"id":"a"}]}]"#,
        "=",
        "invalidValue: remove takes no value: say in the path what to remove, such as emails[value eq \"...\"]",
    ),
    (
        "a value to remove by a part of it",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"remove","path":"emails.value","value":"b"}]"#,
        "invalidValue: remove takes no value: say in the path what to remove, such as emails[value eq \"...\"]",
        "invalidValue: remove takes no value: say in the path what to remove, such as emails[value eq \"...\"]",
    ),
    (
        "a single value to remove is not looked at",
        r#"{"title":"T"}"#,
        r#"[{"op":"remove","path":"title","value":"U"}]"#,
        "{}",
        "invalidValue: remove takes no value: say in the path what to remove, such as title[value eq \"...\"]",
    ),
    (
        "one object instead of an array (OneLogin)",
        r#"{"emails":[{"value":"a"}]}"#,
        r#"[{"op":"replace","path":"emails","value":{"value":"b"}}]"#,
        r#"{"emails":[{"value":"b"}]}"#,
        "invalidValue: emails has to be an array",
    ),
    (
        "an unknown attribute by its path",
        "{}",
        r#"[{"op":"replace","path":"shoeSize","value":"44"},{"op":"remove","path":"emails[type eq \"work\"].colour"},{"op":"add","path":"urn:x:y:z","value":1}]"#,
        "=",
        "invalidPath: path shoeSize names no attribute of User: /Schemas lists what it has",
    ),
    (
        "an unknown attribute in a value",
        "{}",
        r#"[{"op":"replace","value":{"shoeSize":"44","title":"T","name":{"shoe":1}}}]"#,
        r#"{"title":"T"}"#,
        "invalidSyntax: shoeSize is not an attribute of User: remove it or correct its name",
    ),
    (
        "an unknown sub-attribute in a value",
        "{}",
        r#"[{"op":"replace","path":"name","value":{"shoe":"44","givenName":"B"}}]"#,
        r#"{"name":{"givenName":"B"}}"#,
        "invalidSyntax: name has no sub-attribute shoe",
    ),
    (
        "read-only attributes in a value",
        "{}",
        r#"[{"op":"replace","value":{"groups":[],"meta":{"created":"x"},"title":"T"}}]"#,
        r#"{"title":"T"}"#,
        "mutability: groups is read-only: take it out of the request",
    ),
    (
        "a path of nothing",
        "{}",
        r#"[{"op":"replace","path":"","value":{"title":"T"}},{"op":"replace","path":null,"value":{"nickName":"N"}}]"#,
        r#"{"title":"T","nickName":"N"}"#,
        "invalidPath: path : expected the name of an attribute at byte 0, found the end",
    ),
];

#[tokio::test]
async fn a_patch_does_what_the_rfc_says() {
    let clients = Clients::new().await;
    let mut wrong = Vec::new();
    for cases in [ADD, REMOVE, REPLACE, PATHS, SEQUENCE] {
        for (name, before, operations, outcome) in cases {
            for (client, policy) in [(&clients.tolerant, "tolerant"), (&clients.strict, "strict")] {
                let found = run(client, before, operations).await;
                compare(&mut wrong, &format!("{name} ({policy})"), &found, outcome);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn clients_are_understood_and_the_strict_policy_refuses_what_the_rfc_does_not_have() {
    let clients = Clients::new().await;
    let mut wrong = Vec::new();
    for (name, before, operations, tolerant, strict) in CLIENTS {
        let found = run(&clients.tolerant, before, operations).await;
        compare(&mut wrong, &format!("{name} (tolerant)"), &found, tolerant);
        let found = run(&clients.strict, before, operations).await;
        compare(&mut wrong, &format!("{name} (strict)"), &found, strict);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Two tenants of one directory.
struct Clients {
    tolerant: Client,
    strict: Client,
}

impl Clients {
    async fn new() -> Self {
        let directory = Directory::new().await;
        let policy = Policy { interpretation: Interpretation::Strict, ..Policy::default() };
        directory.add_tenant("strict", policy).await;
        let tolerant = directory.client();
        let strict = tolerant.with_token(&TOKEN.replace("demo", "strict"));
        Self { tolerant, strict }
    }
}

/// Creates the user, patches it, and says what a client then finds.
async fn run(client: &Client, before: &str, operations: &str) -> String {
    let user_name = format!("u{}", client.get("/Users?count=0").await.body["totalResults"]);
    let mut user: Value = serde_json::from_str(&before.replace("ENT", ENTERPRISE)).unwrap();
    user["userName"] = user_name.clone().into();
    let created = client.post("/Users", &user.to_string()).await;
    assert_eq!(created.status, 201, "{created}");

    let operations = operations.replace("ENT", ENTERPRISE).replace("\"ID\"", &created.body["id"].to_string());
    let operations: Value = serde_json::from_str(&operations.replace("USERNAME", &user_name)).unwrap();
    let patched = client.patch(&created.path(), &patch(&operations)).await;
    let found = client.get(&created.path()).await;
    if patched.status != 200 {
        assert_eq!((patched.status, &found.body), (400, &created.body), "{patched}");
        return format!("{}: {}", patched.body["scimType"].as_str().unwrap(), patched.detail());
    }
    assert_eq!(patched.body, found.body);
    assert_eq!(patched.header("etag"), found.body["meta"]["version"].as_str());
    if found.body == created.body {
        return "=".to_owned();
    }
    assert_eq!(patched.header("etag"), Some("W/\"2\""));
    assert_ne!(found.body["meta"]["lastModified"], created.body["meta"]["lastModified"]);
    shown(found.body, &user_name)
}

fn patch(operations: &Value) -> String {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
        .to_string()
}

/// Without what every user has.
fn shown(mut body: Value, user_name: &str) -> String {
    let attributes = body.as_object_mut().unwrap();
    let schemas = attributes.shift_remove("schemas").unwrap();
    assert_eq!(
        schemas.as_array().unwrap().iter().any(|urn| urn == ENTERPRISE),
        attributes.contains_key(ENTERPRISE)
    );
    assert_eq!(attributes.shift_remove("userName").unwrap(), user_name);
    attributes.retain(|name, _| name != "id" && name != "meta");
    body.to_string().replace(ENTERPRISE, "ENT")
}

fn compare(wrong: &mut Vec<String>, name: &str, found: &str, expected: &str) {
    let same = match (serde_json::from_str::<Value>(found), serde_json::from_str::<Value>(expected)) {
        (Ok(found), Ok(expected)) => found == expected,
        _ => found == expected,
    };
    if !same {
        wrong.push(format!("{name}\n   found {found}\nexpected {expected}"));
    }
}
