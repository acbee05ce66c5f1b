//! What a group's size costs in time, from the event to the reply, over the
//! emulator of DynamoDB in this process: `cargo bench --bench groups`.

use std::hint::black_box;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use dynoxide::{AttributeValue, ImportOptions};
use scim_lambda::app::App;
use scim_lambda::config::Config;
use scim_lambda::lambda::{Event, Reply};
use scim_lambda::local;
use scim_lambda::sources::Sources;
use scim_lambda::store::{self, Store, TenantName, TenantRecord, TokenRecord};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const TABLE: &str = "scim";

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
type Item = std::collections::HashMap<String, AttributeValue>;

fn item(texts: &[(&str, &str)]) -> Item {
    texts.iter().map(|(name, text)| ((*name).to_owned(), AttributeValue::S((*text).to_owned()))).collect()
}

fn id(kind: char, n: usize) -> String {
    format!("{kind}{:07x}-0000-4000-8000-{n:012x}", n.wrapping_mul(0x9E37_79B9) & 0xFFF_FFFF)
}

/// Users without rows of their own: nobody looks for them but as members.
fn users(count: usize) -> Vec<Item> {
    let users = (0..count).map(|n| {
        let mut user =
            item(&[("pk", "demo#User"), ("sk", &id('0', n)), ("write_id", "-"), ("index_digest", "-")]);
        user.extend(item(&[("created", "2026-01-31T09:00:00Z"), ("modified", "2026-01-31T09:00:00Z")]));
        user.extend(item(&[("change_pk", "demo#changed#User#0"), ("hour", "2026-01-31T09")]));
        user.insert("version".to_owned(), AttributeValue::N("1".to_owned()));
        user.insert("resource".to_owned(), AttributeValue::M(item(&[("userName", &id('0', n))])));
        user
    });
    users.collect()
}

/// A group of those users from `first` on.
fn group(n: usize, first: usize, members: usize) -> Vec<Item> {
    let (group, name) = (id('1', n), format!("group {n}"));
    let mut header = item(&[("pk", "demo#Group"), ("sk", &group), ("write_id", "-"), ("index_digest", "-")]);
    header.extend(item(&[("created", "2026-01-31T09:00:00Z"), ("modified", "2026-01-31T09:00:00Z")]));
    header.extend(item(&[("change_pk", "demo#changed#Group#1"), ("hour", "2026-01-31T09")]));
    header.insert("version".to_owned(), AttributeValue::N("1".to_owned()));
    header.insert("resource".to_owned(), AttributeValue::M(item(&[("displayName", &name)])));
    let number = |n: usize| AttributeValue::N(n.to_string());
    let roster = [("members".to_owned(), number(members)), ("epoch".to_owned(), number(0))];
    header.insert("roster".to_owned(), AttributeValue::M(roster.into()));
    let memberships = (first..first + members).map(|n| {
        let (pk, member) = (format!("demo#Group#{group}"), id('0', n));
        item(&[
            ("pk", &pk),
            ("sk", &member),
            ("type", "User"),
            ("member_pk", &format!("demo#member#{member}")),
        ])
    });
    std::iter::once(header).chain(memberships).collect()
}

/// The handler over an emulator with these items and the tenant `demo`.
async fn directory(items: Vec<Item>) -> Result<App> {
    let emulator = dynoxide::Database::memory()?;
    let endpoint = local::emulate(emulator.clone(), local::LOOPBACK).await?;
    let patient = store::local_config(&endpoint).timeout_config(TimeoutConfig::disabled()).build();
    let client = Client::from_conf(patient);
    let sources = Sources::system();
    let store = Store::new(client, TABLE, &sources);
    store.create_table().await?;
    emulator.import_items(TABLE, items, ImportOptions::default())?;
    let tenant = TenantName::parse("demo").ok_or("no tenant")?;
    let created = (sources.now)();
    store.create_tenant(&tenant, &TenantRecord::new(created)).await?;
    store.create_token(&tenant, "bench", &TokenRecord::new("secret", created)).await?;
    let mut config = Config::new(TABLE);
    config.timeout = Duration::from_mins(10);
    Ok(App::new(config, store, sources))
}

/// The bytes of the answer.
async fn send(app: &App, method: &str, path: &str, body: &Value, status: i64) -> Result<usize> {
    let event: Event = serde_json::from_value(json!({
        "version": "2.0", "routeKey": "$default", "rawPath": format!("/scim/v2{path}"), "rawQueryString": "",
        "headers": { "authorization": "Bearer scim_demo_bench_secret", "accept-encoding": "gzip" },
        "requestContext": { "stage": "$default", "http": { "method": method } },
        "body": body.to_string(), "isBase64Encoded": false,
    }))?;
    let Reply::Http(reply) = app.handle(event).await else { return Err("another kind of reply".into()) };
    if reply.status_code != status {
        return Err(format!("{method} {path}: {} {:?}", reply.status_code, reply.body).into());
    }
    Ok(reply.body.map_or(0, |body| body.len()))
}

fn patch(op: &str, member: &str) -> Value {
    json!({ "Operations": [{ "op": op, "path": "members", "value": [{ "value": member }] }] })
}

#[expect(clippy::expect_used, reason = "what cannot go on has failed")]
fn groups(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut measured = criterion.benchmark_group("groups");
    measured.sampling_mode(SamplingMode::Flat).sample_size(10);

    let sizes = [10, 10_000, 100_000];
    let items = sizes.iter().enumerate().flat_map(|(n, size)| group(n, 1, *size)).chain(users(1)).collect();
    let app = runtime.block_on(directory(items)).expect("a directory");
    let member = id('0', 0);
    for (n, size) in sizes.into_iter().enumerate() {
        let path = format!("/Groups/{}", id('1', n));
        measured.bench_function(format!("add and remove one member of {size}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    send(&app, "PATCH", &path, &patch("add", &member), 204).await.expect("an add");
                    send(&app, "PATCH", &path, &patch("remove", &member), 204).await.expect("a remove");
                });
            });
        });
    }

    let items = group(0, 0, 20_000);
    let app = runtime.block_on(directory(items)).expect("a directory");
    let path = format!("/Groups/{}", id('1', 0));
    measured.bench_function("get 20000 members, packed", |bencher| {
        bencher.iter(|| {
            black_box(runtime.block_on(send(&app, "GET", &path, &Value::Null, 200)).expect("a get"))
        });
    });

    let items = group(0, 0, 5_000).into_iter().chain(users(10_000)).collect();
    let app = runtime.block_on(directory(items)).expect("a directory");
    let mut first = 0;
    measured.bench_function("replace 5000 members by 5000 others", |bencher| {
        bencher.iter(|| {
            first = 5_000 - first;
            let members: Vec<Value> =
                (first..first + 5_000).map(|n| json!({ "value": id('0', n) })).collect();
            let body = json!({ "displayName": "group 0", "members": members });
            runtime.block_on(send(&app, "PUT", &path, &body, 200)).expect("a put");
        });
    });
    measured.finish();
}

criterion_group!(benches, groups);
criterion_main!(benches);
