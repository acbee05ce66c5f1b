//! Filters of RFC 7644 s3.4.2.2 in one table, each with the ids that it finds.

use std::fmt::Write;

use insta::assert_snapshot;
use scim_lambda::scim::error::ErrorKind;
use scim_lambda::scim::etag::Version;
use scim_lambda::scim::filter::Filter;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::query::SortBy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::Resource;
use scim_lambda::scim::sort::Order;
use scim_lambda::scim::work::Work;
use scim_lambda::store::query::plan::Plan;
use serde_json::{Value, json};

use crate::support::builders::ENTERPRISE;

fn resource(id: &str, version: u64, last_modified: &str, attributes: Value) -> Resource {
    let Value::Object(attributes) = attributes else { panic!("{id} has no attributes") };
    Resource {
        id: id.to_owned(),
        version: Version(version),
        created: "2011-05-13T04:42:34Z".parse().unwrap(),
        last_modified: last_modified.parse().unwrap(),
        attributes,
        derived: None,
        members: 0,
    }
}

fn users() -> [Resource; 4] {
    [
        resource(
            "babs",
            2,
            "2011-05-13T04:42:35Z",
            json!({
                "userName": "bjensen",
                "externalId": "E-1",
                "name": { "familyName": "Jensen", "givenName": "Barbara" },
                "title": "Vice President",
                "userType": "Employee",
                "active": true,
                "emails": [
                    { "value": "Babs@example.com", "type": "work", "primary": true },
                    { "value": "babs@home.example", "type": "home" },
                ],
                "ims": [{ "value": "babs@foo.com", "type": "xmpp" }],
                "roles": [{ "value": "Admin", "primary": true }, { "value": "Reader", "primary": false }],
                ENTERPRISE: { "employeeNumber": "701984", "manager": { "value": "john" } },
            }),
        ),
        resource(
            "john",
            1,
            "2011-05-13T04:42:34Z",
            json!({
                "userName": "John",
                "externalId": "e-1",
                "name": { "familyName": "O'Malley" },
                "userType": "Intern",
                "active": false,
                "emails": [{ "value": "john@example.org", "type": "home" }],
            }),
        ),
        resource(
            "jose",
            1,
            "2011-05-13T06:42:33+02:00",
            json!({
                "userName": "JOSÉ",
                "displayName": "ΟΔΥΣΣΕΥΣ",
                "title": "",
                "userType": "Employee",
                "emails": [{ "value": "jose@example.com" }],
                "ims": [{ "value": "jose@bar.com", "type": "xmpp" }],
                ENTERPRISE: { "department": "Design" },
            }),
        ),
        resource(
            "strasse",
            1,
            "2011-05-13T04:42:33.999Z",
            json!({
                "userName": "Straße",
                "profileUrl": "https://example.com/Straße",
                "x509Certificates": [{ "value": "QUJD" }],
            }),
        ),
    ]
}

fn groups() -> [Resource; 2] {
    [
        resource(
            "design",
            1,
            "2011-05-13T04:42:34Z",
            json!({
                "displayName": "Design",
                "members": [{ "value": "babs", "type": "User" }, { "value": "john", "type": "User" }],
            }),
        ),
        resource("empty", 1, "2011-05-13T04:42:34Z", json!({ "displayName": "Empty" })),
    ]
}

fn found(registry: &Registry, kind: &str, resources: &[Resource], filter: &str) -> String {
    let kind = registry.resource_type(kind).unwrap();
    let parsed = filter.parse::<Filter>().unwrap_or_else(|error| panic!("{filter}: {error}"));
    let matcher = Matcher::new(&parsed, kind).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let ids: Vec<&str> = resources
        .iter()
        .filter(|one| matcher.matches(one, &Work::default()).unwrap())
        .map(|one| one.id.as_str())
        .collect();
    ids.join(" ")
}

const OF_USERS: &[(&str, &str)] = &[
    // Figure 2
    (r#"userName eq "bjensen""#, "babs"),
    (r#"name.familyName co "O'Malley""#, "john"),
    (r#"userName sw "J""#, "john jose"),
    (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#, "john jose"),
    ("title pr", "babs"),
    (r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, "babs"),
    (r#"meta.lastModified ge "2011-05-13T04:42:34Z""#, "babs john"),
    (r#"meta.lastModified lt "2011-05-13T04:42:34Z""#, "jose strasse"),
    (r#"meta.lastModified le "2011-05-13T04:42:34Z""#, "john jose strasse"),
    (r#"title pr and userType eq "Employee""#, "babs"),
    (r#"title pr or userType eq "Intern""#, "babs john"),
    (r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#, "babs jose"),
    (r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#, "babs jose"),
    (
        r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
        "strasse",
    ),
    (r#"userType eq "Employee" and (emails.type eq "work")"#, "babs"),
    (r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#, "babs"),
    (
        r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
        "babs",
    ),
    // The text of s3.4.2.2
    (r#"userName Eq "john""#, "john"),
    (r#"Username eq "john""#, "john"),
    (r#"meta.resourceType eq "User" or meta.resourceType eq "Group""#, "babs john jose strasse"),
    // not before and before or
    (r#"title pr or userType eq "Intern" and active eq true"#, "babs"),
    (r#"(title pr or userType eq "Intern") and active eq false"#, "john"),
    (r#"not (title pr) and active eq true or userName eq "jOhN""#, "john"),
    // Operators on strings
    (r#"userName ew "N""#, "babs john"),
    (r#"userName co "oS""#, "jose"),
    (r#"userName gt "john""#, "jose strasse"),
    (r#"userName ge "john""#, "john jose strasse"),
    (r#"userName lt "john""#, "babs"),
    (r#"userName le "John""#, "babs john"),
    (r#"userName ne "john""#, "babs jose strasse"),
    // Case, width and composition (RFC 8265)
    (r#"userName eq "jose\u0301""#, "jose"),
    (r#"userName eq "ｊｏｈｎ""#, "john"),
    (r#"userName eq "STRAßE""#, "strasse"),
    (r#"userName eq "STRASSE""#, ""),
    (r#"displayName eq "οδυσσευς""#, "jose"),
    (r#"displayName sw "ΟΔΥΣ""#, "jose"),
    (r#"displayName ew "σ""#, "jose"),
    (r#"externalId eq "e-1""#, "john"),
    (r#"id eq "babs""#, "babs"),
    (r#"id eq "Babs""#, ""),
    (r#"profileUrl sw "https://example.com/S""#, "strasse"),
    (r#"profileUrl sw "HTTPS://example.com/S""#, ""),
    (r#"x509Certificates eq "QUJD""#, "strasse"),
    (r#"x509Certificates.value eq "qujd""#, ""),
    (r#"meta.version eq "W/\"2\"""#, "babs"),
    // Instants
    (r#"meta.lastModified eq "2011-05-13T06:42:34+02:00""#, "john"),
    (r#"meta.lastModified eq "2011-05-13T04:42:34""#, "john"),
    (r#"meta.created ne "2011-05-13T04:42:34.000Z""#, ""),
    // Absence
    ("title eq null", "john jose strasse"),
    ("title ne NULL", "babs"),
    (r#"title eq """#, "jose"),
    (r#"title ne "x""#, "babs john jose strasse"),
    (r#"nickName gt "a" or nickName le "a" or nickName co """#, ""),
    ("name pr", "babs john"),
    ("name eq null", "jose strasse"),
    ("emails pr", "babs john jose"),
    ("emails.type pr", "babs john"),
    ("emails.type eq null", "jose strasse"),
    ("emails[type eq null]", "jose"),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr", "babs jose"),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User eq null", "john strasse"),
    // Several values
    (r#"emails.type eq "work" and emails.value co "home""#, "babs"),
    (r#"emails[type eq "work" and value co "home"]"#, ""),
    (r#"emails.type ne "work""#, "babs john jose strasse"),
    (r#"not (emails.type eq "work")"#, "john jose strasse"),
    (r#"emails[not (type eq "work")]"#, "babs john jose"),
    (r#"emails[type ne "work"]"#, "babs john jose"),
    (r#"emails ne "john@example.org""#, "babs jose strasse"),
    (r#"name[familyName eq "jensen"]"#, "babs"),
    (r#"schemas[value ew ":enterprise:2.0:User"]"#, "babs jose"),
    // Booleans; Entra ID sends them as strings
    ("active eq true", "babs"),
    ("active eq FALSE", "john"),
    (r#"active eq "True""#, "babs"),
    (r#"active ne "false""#, "babs jose strasse"),
    (r#"roles[primary eq "True"].value eq "admin""#, "babs"),
    (r#"roles[primary eq "True"].value eq "reader""#, ""),
    // Extensions
    (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "701984""#, "babs"),
    (r#"URN:ietf:params:scim:schemas:extension:ENTERPRISE:2.0:User:Manager.Value eq "john""#, "babs"),
    (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "john""#, "babs"),
    // Entra ID
    (r#"id eq "babs" and manager eq "john""#, "babs"),
    (r#"emails[type eq "work"].value eq "babs@example.com""#, "babs"),
    (r#"emails[type eq "home"].Value eq "babs@example.com""#, ""),
    (r#"userName eq "0f1c7a52-0d3f-4a37-9a36-5a53b3a4a5c1""#, ""),
    // PingOne
    (r#"username Eq "bjensen""#, "babs"),
    (r#"emails Co "EXAMPLE.ORG""#, "john"),
    // The RFC's examples before their errata
    (r#"userName eq"john""#, "john"),
];

#[test]
fn a_filter_finds_these_users() {
    let registry = Registry::new(&Policy::default());
    let users = users();
    for (filter, expected) in OF_USERS {
        assert_eq!(&found(&registry, "User", &users, filter), expected, "{filter}");
    }
}

const OF_GROUPS: &[(&str, &str)] = &[
    (r#"displayName eq "design""#, "design"),
    (r#"members eq "john""#, "design"),
    (r#"members.value eq "John""#, ""),
    (r#"members[value eq "john"]"#, "design"),
    (r#"id eq "design" and members eq "babs""#, "design"),
    (r#"id eq "empty" and members eq "babs""#, ""),
    ("members eq null", "empty"),
    (r#"meta.resourceType eq "User""#, ""),
    (r#"meta.resourceType eq "Group""#, "design empty"),
];

#[test]
fn a_filter_finds_these_groups() {
    let registry = Registry::new(&Policy::default());
    let groups = groups();
    for (filter, expected) in OF_GROUPS {
        assert_eq!(&found(&registry, "Group", &groups, filter), expected, "{filter}");
    }
}

/// RFC 7644 s3.4.2.1: in a query of several types, an attribute has no value in a type that does
/// not have it. Each line ends in the plans for users and for groups.
#[test]
fn what_only_one_type_has_is_absent_from_the_other() {
    let registry = Registry::new(&Policy::default());
    let kinds = &registry.resource_types;
    let (users, groups) = (users(), groups());
    let mut table = String::new();
    for text in [
        r#"userName eq "john""#,
        r#"userName sw "j""#,
        "userName pr",
        "userName eq null",
        "userName ne null",
        r#"userName ne "john""#,
        r#"not (userName eq "john")"#,
        r#"displayName eq "Design""#,
        r#"userName eq "john" or displayName eq "Design""#,
        r#"userName eq "john" or userName eq "bjensen""#,
        r#"userName eq "john" and displayName eq "Design""#,
        r#"userName ne "john" and displayName eq "Design""#,
        r#"members eq "john""#,
        r#"members[value eq "john"]"#,
        r#"members.value eq "john" or externalId eq "e-1""#,
        r#"emails[type eq "home"].value eq "john@example.org""#,
        r#"manager eq "john""#,
        "active eq true",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr",
        r#"urn:ietf:params:scim:schemas:core:2.0:User:meta.created le "2012-01-01T00:00:00Z""#,
        r#"id eq "empty""#,
    ] {
        let filter: Filter = text.parse().unwrap();
        let mut found = Vec::new();
        let mut plans = Vec::new();
        for (kind, resources) in kinds.iter().zip([&users[..], &groups[..]]) {
            let matcher = Matcher::among(&filter, kind, kinds, Leeway::default()).unwrap();
            let plan = Plan::of(&filter, kind);
            let matching =
                resources.iter().filter(|resource| matcher.matches(resource, &Work::default()).unwrap());
            let ids: Vec<&str> = matching.map(|resource| resource.id.as_str()).collect();
            assert!(plan != Plan::Nothing || ids.is_empty(), "{text}");
            found.extend(ids);
            plans.push(plan.to_string());
        }
        let found = if found.is_empty() { "-".to_owned() } else { found.join(" ") };
        writeln!(table, "{text}: {found} ({})", plans.join(", ")).unwrap();
    }
    assert_snapshot!(table, @r#"
    userName eq "john": john (userName, nothing)
    userName sw "j": john jose (userName prefix, nothing)
    userName pr: babs john jose strasse (scan, nothing)
    userName eq null: design empty (scan, scan)
    userName ne null: babs john jose strasse (scan, nothing)
    userName ne "john": babs jose strasse design empty (scan, scan)
    not (userName eq "john"): babs jose strasse design empty (scan, scan)
    displayName eq "Design": design (scan, displayName)
    userName eq "john" or displayName eq "Design": john design (scan, displayName)
    userName eq "john" or userName eq "bjensen": babs john (userName or userName, nothing)
    userName eq "john" and displayName eq "Design": - (userName, nothing)
    userName ne "john" and displayName eq "Design": design (scan, displayName)
    members eq "john": design (nothing, member)
    members[value eq "john"]: design (nothing, member)
    members.value eq "john" or externalId eq "e-1": john design (externalId, member or externalId)
    emails[type eq "home"].value eq "john@example.org": john (emails.value, nothing)
    manager eq "john": babs (scan, nothing)
    active eq true: babs (scan, nothing)
    urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr: babs jose (scan, nothing)
    urn:ietf:params:scim:schemas:core:2.0:User:meta.created le "2012-01-01T00:00:00Z": babs john jose strasse (scan, nothing)
    id eq "empty": empty (id, id)
    "#);
}

#[test]
fn what_no_type_has_or_another_type_refuses_is_refused() {
    let registry = Registry::new(&Policy::default());
    let kinds = &registry.resource_types;
    for (text, expected) in [
        ("shoeSize eq 38", "no resource type has an attribute shoeSize: /Schemas lists their attributes"),
        (
            "displayName pr or shoeSize pr",
            "no resource type has an attribute shoeSize: /Schemas lists their attributes",
        ),
        ("members.shoe pr", "members has no sub-attribute shoe: it has value, $ref, type, display"),
        ("emails.vale pr", "emails has no sub-attribute vale: it has value, display, type, primary"),
        ("userName eq 5", "userName is a string: compare it with text in double quotes, not 5"),
        ("active gt true", "active is a boolean: use eq, ne or pr instead of gt"),
        ("password pr", "password cannot be used in a filter: it is never returned"),
    ] {
        let filter = text.parse().unwrap();
        let refused = kinds
            .iter()
            .find_map(|kind| Matcher::among(&filter, kind, kinds, Leeway::default()).err())
            .unwrap();
        assert_eq!((refused.kind, refused.detail.as_ref()), (ErrorKind::InvalidFilter, expected), "{text}");
    }
    let sort = |path: &str| SortBy { path: path.parse().unwrap(), descending: false };
    for (path, expected) in [
        ("shoeSize", "cannot sort by shoeSize: no resource type has this attribute"),
        ("urn:x:y", "cannot sort by urn:x:y: no resource type has this attribute"),
        ("password", "cannot sort by password: it is never returned"),
    ] {
        let refused =
            kinds.iter().find_map(|kind| Order::new(&sort(path), kind, kinds, Leeway::default()).err());
        let Some(refused) = refused else { panic!("{path} is an order") };
        assert_eq!((refused.kind, refused.detail.as_ref()), (ErrorKind::InvalidValue, expected), "{path}");
    }
}

#[test]
fn what_has_no_such_attribute_is_sorted_last() {
    let registry = Registry::new(&Policy::default());
    let kinds = &registry.resource_types;
    let mut ranked = Vec::new();
    let sort = SortBy { path: "userName".parse().unwrap(), descending: false };
    for (kind, resources) in kinds.iter().zip([&users()[..], &groups()[..]]) {
        let order = Order::new(&sort, kind, kinds, Leeway::default()).unwrap();
        assert!(!order.is_by_id());
        ranked.extend(resources.iter().map(|resource| (order.rank(resource), resource.id.clone())));
    }
    ranked.sort_by(|(a, _), (b, _)| a.compare(b));
    let ids: Vec<&str> = ranked.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["babs", "john", "jose", "strasse", "design", "empty"]);
}
