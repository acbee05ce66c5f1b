//! The instructions of the requests that ask for the most work, beside plain requests of
//! the same size: `cargo bench --bench worst`. Needs valgrind, which runs this program
//! once for each request.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use scim_lambda::scim::bulk::Bulk;
use scim_lambda::scim::bulk::schedule::Schedule;
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::etag::Version;
use scim_lambda::scim::filter::Filter;
use scim_lambda::scim::filter::evaluate::Matcher;
use scim_lambda::scim::json;
use scim_lambda::scim::patch::Patch;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::projection::{Projection, render};
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::{Attributes, Resource};
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::scim::work::Work;
use serde_json::{Value, json};

/// Instructions that a request may take beyond a plain one of its size: half a second at
/// three a nanosecond.
const LIMIT: u64 = 1_500_000_000;

/// A request: its name, its text as the worst and as a plain one, and its effect.
struct Case {
    name: &'static str,
    texts: fn() -> (String, String),
    run: fn(&ResourceType, &str),
}

const CASES: &[Case] = &[
    Case {
        name: "PATCH: a filter of 600 conditions over 320 kB of values",
        texts: || {
            (
                operations(
                    &json!([{ "op": "remove", "path": format!("photos[{}]", conditions("value", 600)) }]),
                ),
                operations(&json!([{ "op": "add", "path": "title", "value": "x".repeat(14_000) }])),
            )
        },
        run: |kind, body| patch(kind, body, &long_user()),
    },
    Case {
        name: "PATCH: 20,000 operations, each on one of 1,000 e-mails",
        texts: || {
            let one = |path: &str| json!({ "op": "replace", "path": path, "value": "a@example.com" });
            (
                operations(&vec![one("ims[type eq \"none\" or value eq \"7\"].value"); 20_000].into()),
                operations(&vec![one("title"); 20_000].into()),
            )
        },
        run: |kind, body| patch(kind, body, &user_of(1_000)),
    },
    Case {
        name: "PATCH: 40 operations, each adds 1,000 values to 1,000",
        texts: || {
            let values = |n: usize| json!({ "op": "add", "path": "ims", "value": user_of(n).get("ims") });
            (operations(&vec![values(1_000); 40].into()), operations(&vec![values(1); 20_000].into()))
        },
        run: |kind, body| patch(kind, body, &user_of(1_000)),
    },
    Case {
        name: "filter of 500 conditions over 100 users with 320 kB each",
        texts: || (conditions("photos.value", 500), "photos.value co \"aab\"".to_owned()),
        run: |kind, filter| {
            let user = long_user();
            let users: Vec<Resource> = (0..100).map(|_| resource(&user)).collect();
            find(kind, filter, &users);
        },
    },
    Case {
        name: "filter of 500 conditions over 12,000 users",
        texts: || (conditions("emails.value", 500), "emails.value co \"aab\"".to_owned()),
        run: |kind, filter| {
            let user = json!({ "userName": "bjensen", "emails": [{ "value": "bjensen@example.com" }] });
            let users: Vec<Resource> = (0..12_000).map(|_| resource(&user)).collect();
            find(kind, filter, &users);
        },
    },
    Case {
        name: "attributes: 16 kB of names for a page of 100 users",
        texts: || (vec!["name.givenName"; 1_000].join(","), "name.givenName".to_owned()),
        run: |kind, names| {
            let Ok(projection) = Projection::parse(kind, (Some(names), None), Leeway::default()) else {
                return;
            };
            let user = resource(&user_of(100));
            for _ in 0..100 {
                black_box(render(kind, &user, &projection, "https://example.com/scim/v2/Users/1"));
            }
        },
    },
    Case {
        name: "POST: 1 MB of members that no schema has",
        texts: || {
            let members: serde_json::Map<String, Value> =
                (0..100_000).map(|n| (format!("a{n}"), json!(0))).collect();
            let text = Value::Object(members).to_string();
            let plain = json!({ "a": "x".repeat(text.len()) }).to_string();
            (text, plain)
        },
        run: |kind, body| {
            let Ok(body) = json::parse(body.as_bytes()) else { return };
            drop(black_box(Reader::new(kind, Leeway::default()).resource(&body)));
        },
    },
    Case {
        name: "bulk: 1,000 operations that refer to each other",
        texts: || {
            let post = |n: usize| {
                let members: Vec<Value> = (0..20)
                    .map(|m| json!({ "value": format!("bulkId:b{}", (n + m * 37) % 1_000) }))
                    .collect();
                let data = json!({ "displayName": format!("g{n}"), "members": members });
                json!({ "method": "POST", "path": "/Groups", "bulkId": format!("b{n}"), "data": data })
            };
            let plain = |n: usize| {
                let data = json!({ "displayName": format!("{n:0800}") });
                json!({ "method": "POST", "path": "/Groups", "bulkId": format!("b{n}"), "data": data })
            };
            let bulk = |one: &dyn Fn(usize) -> Value| {
                let operations: Vec<Value> = (0..1_000).map(one).collect();
                json!({ "Operations": operations }).to_string()
            };
            (bulk(&post), bulk(&plain))
        },
        run: |_, body| {
            let Ok(body) = json::parse(body.as_bytes()) else { return };
            let Ok(bulk) = Bulk::parse(&body, Leeway::default(), 1_000) else { return };
            let mut schedule = Schedule::new(&bulk, &Registry::new(&Policy::default()));
            while let Some(step) = black_box(schedule.next(true)) {
                let _ = black_box(step);
            }
        },
    },
];

/// Returns different conditions that hold for no value, and are hard to disprove.
fn conditions(path: &str, count: usize) -> String {
    let conditions: Vec<String> = (0..count).map(|n| format!("{path} co \"aab{n}\"")).collect();
    conditions.join(" or ")
}

fn operations(operations: &Value) -> String {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
        .to_string()
}

/// Returns a user with 8 values of 40 kB.
fn long_user() -> Value {
    let values: Vec<Value> =
        (0..8).map(|n| json!({ "value": format!("{n}{}", "Aa".repeat(20_000)) })).collect();
    json!({ "userName": "bj", "photos": values })
}

/// Returns a user with so many short values.
fn user_of(values: usize) -> Value {
    let values: Vec<Value> =
        (0..values).map(|n| json!({ "value": format!("address {n}"), "type": "xmpp" })).collect();
    json!({ "userName": "bj", "name": { "givenName": "Barbara" }, "ims": values })
}

fn attributes(user: &Value) -> Attributes {
    user.as_object().cloned().unwrap_or_default()
}

fn resource(user: &Value) -> Resource {
    let time = jiff::Timestamp::UNIX_EPOCH;
    Resource {
        id: "u".to_owned(),
        version: Version::FIRST,
        created: time,
        last_modified: time,
        derived: None,
        members: 0,
        attributes: attributes(user),
    }
}

fn patch(kind: &ResourceType, body: &str, user: &Value) {
    let Ok(body) = json::parse(body.as_bytes()) else { return };
    let reader = Reader::new(kind, Leeway::default());
    let Ok(patch) = Patch::parse(&reader, "u", &body) else { return };
    drop(black_box(patch.apply(&attributes(user), &Work::default())));
}

fn find(kind: &ResourceType, filter: &str, users: &[Resource]) {
    let Ok(filter) = filter.parse::<Filter>() else { return };
    let Ok(matcher) = Matcher::new(&filter, kind) else { return };
    let work = Work::default();
    let found = users.iter().map_while(|user| matcher.matches(user, &work).ok());
    black_box(found.filter(|matches| *matches).count());
}

/// Runs a request of this process, for valgrind to count.
fn run(case: &Case, text: &str) {
    let registry = Registry::new(&Policy::default());
    if let Some(kind) = registry.resource_type("User") {
        (case.run)(kind, black_box(text));
    }
}

/// Returns the instructions of this program with these arguments.
fn instructions(arguments: &[String]) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.ok_or_else(|| text.into_owned())
}

fn compare() -> Result<bool, String> {
    println!(
        "{:>10} {:>10}  millions of instructions: the worst, and a plain request of its size",
        "worst", "plain"
    );
    let mut holds = true;
    for (index, case) in CASES.iter().enumerate() {
        let count = |which: &str| instructions(&["--count".to_owned(), index.to_string(), which.to_owned()]);
        let (worst, plain) = (count("worst")?, count("plain")?);
        let is_within = worst.saturating_sub(plain) <= LIMIT;
        holds &= is_within;
        let mark = if is_within { "" } else { "  TOO MANY" };
        println!("{:>10} {:>10}  {}{mark}", worst / 1_000_000, plain / 1_000_000, case.name);
    }
    Ok(holds)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let case = arguments.get(at + 1).and_then(|index| CASES.get(index.parse::<usize>().ok()?));
        if let Some(case) = case {
            let (worst, plain) = (case.texts)();
            run(
                case,
                if arguments.get(at + 2).is_some_and(|which| which == "worst") { &worst } else { &plain },
            );
        }
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
