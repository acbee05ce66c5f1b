//! Plans of filters: each finds the resources that an evaluation of every resource finds.

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use scim_lambda::scim::etag::Version;
use scim_lambda::scim::filter::Filter;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::Resource;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::scim::work::Work;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::answer::Answer;
use crate::support::builders::encoded;
use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

const NAMES: [&str; 7] = ["a", "Ab", "ab1", "b", "ΟΔΟΣ", "Οδοσα", "ß"];
const VALUES: [&str; 3] = ["x", "X", "y"];

/// Returns the placeholder in a filter for the id of the resource with this number.
fn id(number: usize) -> String {
    format!("<{number}>")
}

fn time(number: usize) -> String {
    format!("<time of {number}>")
}

/// Generates a user of few indexed values, so that many users share one.
fn user() -> impl Strategy<Value = Value> {
    let email = (select(&VALUES), select(&["work", "home"]))
        .prop_map(|(value, kind)| json!({ "value": value, "type": kind }));
    let emails = prop::collection::vec(email, 0..3);
    (select(&NAMES), prop::option::of(select(&VALUES)), emails, any::<bool>()).prop_map(
        |(name, external, emails, active)| {
            json!({ "userName": name, "externalId": external, "emails": emails, "active": active })
        },
    )
}

/// Generates a group whose members are numbers of users.
fn group() -> impl Strategy<Value = Value> {
    let members = prop::collection::vec(0..4_usize, 0..3);
    (select(&NAMES), prop::option::of(select(&VALUES)), members)
        .prop_map(|(name, external, members)| json!({ "displayName": name, "externalId": external, "members": members }))
}

fn condition() -> BoxedStrategy<String> {
    let text = select(&["eq", "sw", "ne", "co", "gt", "le"]);
    let instant = select(&["gt", "ge", "lt", "eq"]);
    let named = select(&["userName", "displayName", "urn:ietf:params:scim:schemas:core:2.0:User:userName"]);
    let valued = select(&["externalId", "emails", "emails.value", "title"]);
    let element = select(&["emails[type eq \"work\" and value OP]", "emails[type eq \"home\"].value OP"]);
    let belonging = select(&[
        "id eq OP",
        "members eq OP",
        "members.value eq OP",
        "members[value eq OP]",
        "groups.value eq OP",
        "groups[value eq OP]",
    ]);
    let others =
        select(&["active eq true", "userName pr", "members pr", "groups eq null", "externalId ne null"]);
    prop_oneof![
        3 => (named, text.clone(), select(&NAMES)).prop_map(|(path, op, value)| format!("{path} {op} \"{value}\"")),
        3 => (valued, text.clone(), select(&VALUES)).prop_map(|(path, op, value)| format!("{path} {op} \"{value}\"")),
        1 => (element, text, select(&VALUES)).prop_map(|(filter, op, value)| filter.replace("OP", &format!("{op} \"{value}\""))),
        3 => (belonging, 0..5_usize).prop_map(|(filter, number)| filter.replace("OP", &format!("\"{}\"", id(number)))),
        2 => (instant, 0..5_usize).prop_map(|(op, number)| format!("meta.lastModified {op} \"{}\"", time(number))),
        1 => others.prop_map(str::to_owned),
    ]
    .boxed()
}

fn filter() -> impl Strategy<Value = String> {
    condition().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|filter| format!("not ({filter})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            3 => (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) or ({b})")),
        ]
    })
}

/// Creates the resources whose names are free, some of them an hour later, and returns their paths.
async fn create(directory: &Directory, client: &Client, users: &[Value], groups: &[Value]) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for user in users {
        let created = client.post("/Users", &user.to_string()).await;
        if created.status == 201 {
            paths.push(created.path());
        }
        if user["active"] == true {
            (0..3_600).for_each(|_| directory.tick());
        }
    }
    let users = paths.clone();
    for group in groups {
        let mut group = group.clone();
        let numbers = group["members"].as_array().unwrap().iter();
        let paths_of_members = numbers.filter_map(|n| users.get(usize::try_from(n.as_u64()?).ok()?));
        let members = paths_of_members.map(|path| json!({ "value": path.trim_start_matches("/Users/") }));
        group["members"] = members.collect();
        let created = client.post("/Groups", &group.to_string()).await;
        if created.status == 201 {
            paths.push(created.path());
        }
    }
    paths
}

/// Returns the resource that a client was shown.
fn resource(shown: &Value) -> Resource {
    let mut attributes = shown.as_object().unwrap().clone();
    attributes.retain(|name, _| !["id", "meta", "schemas"].contains(&name.as_str()));
    let meta = |name: &str| shown["meta"][name].as_str().unwrap();
    let version = meta("version").trim_start_matches("W/").trim_matches('"');
    let version = version.split('-').next().unwrap();
    Resource {
        id: shown["id"].as_str().unwrap().to_owned(),
        version: Version(version.parse().unwrap()),
        created: meta("created").parse().unwrap(),
        last_modified: meta("lastModified").parse().unwrap(),
        attributes,
        derived: None,
        members: 0,
    }
}

/// Returns the ids that an endpoint finds by index and by cursor, or `None` if it refuses.
async fn found(client: &Client, endpoint: &str, filter: &str) -> Option<[Vec<String>; 2]> {
    let filter = encoded(filter);
    let query = format!("{endpoint}?attributes=id&filter={filter}");
    let ids = |page: &Answer| -> Vec<String> {
        page.list("id").split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect()
    };
    let all = client.get(&query).await;
    if all.status == 400 {
        return None;
    }
    assert_eq!((all.status, &all.body["totalResults"]), (200, &all.body["itemsPerPage"]), "{all}");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{query}&count=3&cursor={cursor}")).await;
        paged.extend(ids(&page));
        match page.body["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Some([ids(&all), paged]),
        }
    }
}

/// Returns the ids that an evaluation of the filter on all resources finds.
fn expected(
    kinds: &[Arc<ResourceType>],
    resources: &[Vec<Resource>],
    filter: &Filter,
) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    for (kind, resources) in kinds.iter().zip(resources) {
        let matcher = Matcher::among(filter, kind, kinds, Leeway::default()).ok()?;
        ids.extend(
            resources
                .iter()
                .filter(|one| matcher.matches(one, &Work::default()).unwrap())
                .map(|one| one.id.clone()),
        );
    }
    Some(ids)
}

#[test]
fn a_planned_filter_finds_what_a_look_at_every_resource_does() {
    let runtime = Runtime::new().unwrap();
    let directory = runtime.block_on(Directory::spread());
    let registry = Registry::new(&Policy::default());
    let tenants = Cell::new(0);
    let holds = |(users, groups, mut filters): (Vec<Value>, Vec<Value>, Vec<String>)| -> TestCaseResult {
        tenants.set(tenants.get() + 1);
        let tenant = format!("t{}", tenants.get());
        runtime.block_on(directory.add_tenant(&tenant, Policy::default()));
        let client = directory.client().with_token(&TOKEN.replace("demo", &tenant));
        let mut resources = [Vec::new(), Vec::new()];
        let paths = runtime.block_on(create(&directory, &client, &users, &groups));
        for (number, path) in paths.iter().enumerate() {
            let resource = resource(&runtime.block_on(client.get(path)).body);
            for filter in &mut filters {
                let with_id = filter.replace(&id(number), &resource.id);
                *filter = with_id.replace(&time(number), &resource.last_modified.to_string());
            }
            resources[usize::from(path.starts_with("/Groups"))].push(resource);
        }
        for of_kind in &mut resources {
            of_kind.sort_by(|a, b| a.id.cmp(&b.id));
        }
        let kinds = &registry.resource_types;
        for text in filters {
            let filter = text.parse().unwrap();
            for (endpoint, kinds, resources) in [
                ("/", &kinds[..], &resources[..]),
                ("/Users", &kinds[..1], &resources[..1]),
                ("/Groups", &kinds[1..], &resources[1..]),
            ] {
                let expected = expected(kinds, resources, &filter).map(|ids| [ids.clone(), ids]);
                let found = runtime.block_on(found(&client, endpoint, &text));
                prop_assert_eq!(found, expected, "{} {}", endpoint, text);
            }
        }
        Ok(())
    };
    let config = Config { cases: 12, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let users = prop::collection::vec(user(), 0..5);
    let groups = prop::collection::vec(group(), 0..3);
    let filters = prop::collection::vec(filter(), 1..16);
    TestRunner::new(config).run(&(users, groups, filters), holds).unwrap();
}
