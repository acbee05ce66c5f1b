//! What a query costs apart from DynamoDB: `cargo bench`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use scim_lambda::scim::etag::Version;
use scim_lambda::scim::filter::Filter;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::projection::{Projection, render};
use scim_lambda::scim::query::{self, Paged};
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::Resource;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::scim::work::Work;
use serde_json::{Value, json};

const SIMPLE: &str = r#"userName eq "n042@example.com""#;
const NESTED: &str = r#"userType eq "Employee" and (emails[type eq "work" and value co "@example.com"] or not (title pr)) and meta.lastModified ge "2026-01-01T00:00:00Z""#;

fn users() -> Vec<Resource> {
    let user = |n: usize| {
        let attributes = json!({
            "externalId": format!("e{n}"),
            "userName": format!("n{n:03}@example.com"),
            "name": { "formatted": format!("Given{n} Family{n}"), "familyName": format!("Family{n}"), "givenName": format!("Given{n}") },
            "displayName": format!("Given{n} Family{n}"),
            "title": "Engineer",
            "userType": if n.is_multiple_of(2) { "Employee" } else { "Contractor" },
            "active": true,
            "emails": [{ "value": format!("n{n:03}@example.com"), "type": "work", "primary": true }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": n.to_string(), "department": "Research" },
        });
        let Value::Object(attributes) = attributes else { unreachable!("an object by its braces") };
        let time = "2026-01-31T09:00:00Z".parse().unwrap_or_default();
        Resource {
            id: format!("{n:032x}"),
            version: Version::FIRST,
            created: time,
            last_modified: time,
            attributes,
            derived: None,
            members: 0,
        }
    };
    (0..100).map(user).collect()
}

fn page(kind: &ResourceType, users: &[Resource]) -> String {
    let projection = Projection::default();
    let rendered = users
        .iter()
        .map(|user| render(kind, user, &projection, "https://example.com/scim/v2/Users/1"))
        .collect();
    query::response(Paged::Index { total: users.len(), start_index: 1 }, rendered).to_string()
}

fn queries(criterion: &mut Criterion) {
    let registry = Registry::new(&Policy::default());
    let Some(kind) = registry.resource_type("User").map(Arc::clone) else { return };
    let users = users();
    for (name, text) in [("simple", SIMPLE), ("nested", NESTED)] {
        criterion.bench_function(&format!("parse a {name} filter"), |bencher| {
            bencher.iter(|| black_box(text).parse::<Filter>());
        });
        let Ok(filter) = text.parse::<Filter>() else { return };
        let Ok(matcher) = Matcher::new(&filter, &kind) else { return };
        criterion.bench_function(&format!("evaluate a {name} filter for 100 users"), |bencher| {
            bencher.iter(|| {
                black_box(&users)
                    .iter()
                    .filter(|user| matcher.matches(user, &Work::default()) == Ok(true))
                    .count()
            });
        });
    }
    criterion.bench_function("render a page of 100 users", |bencher| {
        bencher.iter(|| page(&kind, black_box(&users)));
    });
}

criterion_group!(benches, queries);
criterion_main!(benches);
