//! Checks that a table is consistent: each item that its resources imply exists once, and no other.
//! The keys are built here a second time, from the documentation of the key design and not from its
//! code.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::scim::filter::case_fold::fold;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::directory::Directory;
use crate::support::faults::Fault;

type Item = HashMap<String, AttributeValue>;
type Key = (String, String);
type Items = BTreeMap<Key, Item>;

/// The attributes that a resource has rows for: attribute, sub-attribute, and true if case counts.
type Rows = [(&'static str, Option<&'static str>, bool)];

const USER: (&Rows, &Rows) =
    (&[("userName", None, false)], &[("externalId", None, true), ("emails", Some("value"), false)]);

/// The attributes of a user that share 32 rows, or what the others leave of 96. One that does not
/// fit has one row for all of its values.
const MANY: &Rows = &[("roles", Some("value"), false), ("entitlements", Some("value"), false)];
const GROUP: (&Rows, &Rows) = (&[("displayName", None, false)], &[("externalId", None, true)]);

/// The rows of groups in a tenant where groups may share a name.
const FREE_GROUP: (&Rows, &Rows) = (&[], &[("displayName", None, false), ("externalId", None, true)]);

/// Asserts that the table is consistent, and returns the number of users. It checks names, look-up
/// rows, census, digests, groups and members, that no item is without an owner, and that a job
/// exists for all work left to do.
pub(crate) async fn check(directory: &Directory) -> usize {
    check_at(directory, directory.now()).await
}

/// Checks the table at another time. A staged change that died keeps its mark until a request
/// aborts it after its lease.
pub(crate) async fn check_at(directory: &Directory, now: Timestamp) -> usize {
    let items = read(directory).await;
    let findings = findings(&items, now);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    items.keys().filter(|(pk, _)| matches!(pk.split('#').collect::<Vec<_>>()[..], [_, "User"])).count()
}

/// Counts the items in partitions whose keys begin so.
pub(crate) async fn count(directory: &Directory, partitions: &str) -> usize {
    read(directory).await.keys().filter(|(pk, _)| pk.starts_with(partitions)).count()
}

/// Reads every item of the directory's table.
pub(crate) async fn read(directory: &Directory) -> Items {
    let pages = directory.dynamodb().scan().table_name(directory.table()).consistent_read(true);
    let mut items = BTreeMap::new();
    let mut pages = pages.into_paginator().items().send();
    while let Some(item) = pages.next().await {
        let item = item.unwrap();
        items.insert((text(&item, "pk"), text(&item, "sk")), item);
    }
    items
}

fn findings(items: &Items, now: Timestamp) -> Vec<String> {
    let mut wanted: BTreeMap<Key, Option<String>> = BTreeMap::new();
    let mut counters: BTreeMap<(Key, String), i64> = BTreeMap::new();
    let mut findings = Vec::new();
    for ((pk, sk), item) in items {
        let [tenant, kind @ ("User" | "Group")] = pk.split('#').collect::<Vec<_>>()[..] else {
            continue;
        };
        let rows = rows(pk, sk, item, &policy(items, tenant));
        if text(item, "index_digest") != digest(&rows) {
            findings.push(format!("{pk} {sk}: the index digest is not that of its rows"));
        }
        for (key, owner) in rows {
            if let Some(other) = wanted.insert(key.clone(), owner) {
                findings.push(format!("{key:?} is owned by {other:?} and by {sk}"));
            }
        }
        let prefix = u16::from_str_radix(sk.get(..3).unwrap(), 16).unwrap();
        let row = (format!("{tenant}#census#{kind}"), format!("{:02x}", prefix / 16));
        *counters.entry((row, format!("c{:x}", prefix % 16))).or_default() += 1;
        if text(item, "change_pk")
            != format!("{pk_of_changes}#{}", stripe(sk), pk_of_changes = pk.replace('#', "#changed#"))
        {
            findings.push(format!("{pk} {sk}: is in the partition {} of the index", text(item, "change_pk")));
        }
        if kind == "Group" {
            findings.extend(group_findings(items, tenant, sk, item, now));
        }
    }
    for (key, owner) in &wanted {
        match items.get(key) {
            None => findings.push(format!("{key:?} is missing")),
            Some(row) if row.get("owner") != owner.clone().map(AttributeValue::S).as_ref() => {
                findings.push(format!("{key:?} has the owner {:?}, not {owner:?}", row.get("owner")));
            }
            Some(_) => {}
        }
    }
    for (key, item) in items {
        match (&key.0.split('#').collect::<Vec<_>>()[..], key.1.as_str()) {
            ([_, "User" | "Group"] | [_, "audit", _], _) | ([_, "nesting"], "!") => {}
            ([_, "tenant"], sk) if sk.starts_with("token#") => {}
            ([tenant, "tenant"], "!") => {
                if !has(items, "#tenants", tenant) {
                    findings.push(format!("the tenant {tenant} is not listed"));
                }
            }
            (["", "tenants"], tenant) => {
                if !has(items, &format!("{tenant}#tenant"), "!") {
                    findings.push(format!("the tenant {tenant} is listed and not there"));
                }
            }
            ([_, "census", "User" | "Group"], _) => {
                for (name, value) in item.iter().filter(|(name, _)| *name != "pk" && *name != "sk") {
                    let count: i64 = value.as_n().unwrap().parse().unwrap();
                    let real = counters.remove(&(key.clone(), name.clone())).unwrap_or_default();
                    if count != real {
                        findings.push(format!("{key:?} {name} counts {count}, there are {real}"));
                    }
                }
            }
            ([tenant, "Group", group], _) => {
                findings.extend(membership_findings(items, tenant, group, key, item));
            }
            ([tenant, "job"], job) => findings.extend(job_findings(items, tenant, job, item)),
            _ if wanted.contains_key(key) => {}
            _ => findings.push(format!("{key:?} belongs to nobody")),
        }
    }
    findings.extend(counters.keys().map(|counter| format!("{counter:?} is missing")));
    findings
}

fn group_findings(items: &Items, tenant: &str, id: &str, group: &Item, now: Timestamp) -> Vec<String> {
    let mut findings = Vec::new();
    let roster = roster(group);
    let partition = format!("{tenant}#Group#{id}");
    let members = items.range((partition.clone(), String::new())..);
    let members: Vec<&Item> = members
        .take_while(|((pk, _), _)| *pk == partition)
        .map(|(_, membership)| membership)
        .filter(|membership| shows(&roster, membership))
        .collect();
    if roster["members"] != members.len() {
        findings.push(format!("{id} counts {} members, there are {}", roster["members"], members.len()));
    }
    let nests = members.iter().any(|membership| text(membership, "type") == "Group");
    if nests && roster["nests"] != true {
        findings.push(format!("{id} has a group for a member and does not know"));
    }
    let is_changing = roster.get("staged").is_some() || roster.get("aborted").is_some();
    if is_changing && !has_staged_job(items, tenant, id) {
        findings.push(format!("{id} has a staged change that nobody will clean up"));
    }
    let until = roster["staged"]["until"].as_str().map(|until| until.parse::<Timestamp>().unwrap());
    if until.is_some_and(|until| until < now) {
        findings.push(format!("{id} has a mark since before {until:?}, it is {now}"));
    }
    findings
}

fn membership_findings(
    items: &Items,
    tenant: &str,
    group: &str,
    key: &Key,
    membership: &Item,
) -> Vec<String> {
    let mut findings = Vec::new();
    let member = &key.1;
    if text(membership, "member_pk") != format!("{tenant}#member#{member}") {
        findings.push(format!("{key:?} is of the member {}", text(membership, "member_pk")));
    }
    let staged = has_staged_job(items, tenant, group);
    let Some(there) = items.get(&(format!("{tenant}#Group"), group.to_owned())) else {
        if !staged && !has_job(items, tenant, "left", group) {
            findings.push(format!("{key:?} is of no group"));
        }
        return findings;
    };
    let roster = roster(there);
    if !shows(&roster, membership) && !staged {
        findings.push(format!("{key:?} does not count, and nobody will clean it up"));
    }
    let last = tag(membership, "added_by").max(tag(membership, "removed_by"));
    if !shows(&roster, membership) && last <= Some(roster["cleaned"].as_u64().unwrap_or_default()) {
        findings.push(format!("{key:?} does not count, and the group says that it has none like that"));
    }
    for name in ["added_by", "removed_by"] {
        if tag(membership, name).is_some_and(|epoch| epoch > roster["epoch"].as_u64().unwrap()) {
            findings.push(format!("{key:?} was {name} a change that never began"));
        }
    }
    let kind = text(membership, "type");
    let lives = has(items, &format!("{tenant}#{kind}"), member) || policy(items, tenant).accepts_unknown;
    if shows(&roster, membership) && !lives && !has_job(items, tenant, "left", member) {
        findings.push(format!("{key:?} is of a {kind} that is not there"));
    }
    findings
}

fn job_findings(items: &Items, tenant: &str, job: &str, item: &Item) -> Option<String> {
    let kind = text(item, "type");
    if !["User", "Group"].contains(&kind.as_str()) || text(item, "due").parse::<Timestamp>().is_err() {
        return Some(format!("the job {job} says {item:?}"));
    }
    let id = job.split('#').nth(1).unwrap_or_default();
    let due = text(item, "due").parse::<Timestamp>().unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    if (text(item, "change_pk"), text(item, "hour")) != (format!("#due#{}", stripe(id)), due) {
        return Some(format!("the job {job} is not found when it is due: {item:?}"));
    }
    match job.split_once('#') {
        Some(("staged", rest)) if kind == "Group" && rest.contains('#') => None,
        Some(("left", id)) if has(items, &format!("{tenant}#{kind}"), id) => {
            Some(format!("the {kind} {id} is there and has left"))
        }
        Some(("left", _)) => None,
        _ => Some(format!("nobody knows the job {job} on a {kind}")),
    }
}

fn has(items: &Items, pk: &str, sk: &str) -> bool {
    items.contains_key(&(pk.to_owned(), sk.to_owned()))
}

fn has_job(items: &Items, tenant: &str, work: &str, id: &str) -> bool {
    has(items, &format!("{tenant}#job"), &format!("{work}#{id}"))
}

/// Returns true if a job of any staged change of this group exists.
fn has_staged_job(items: &Items, tenant: &str, group: &str) -> bool {
    let jobs = format!("staged#{group}#");
    items.keys().any(|(pk, sk)| *pk == format!("{tenant}#job") && sk.starts_with(&jobs))
}

/// Returns the stripe of the index `changes` that a resource, or the job of a resource, is in.
pub(crate) fn stripe(id: &str) -> u32 {
    id.chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or_default() % 4
}

/// Returns true if a membership counts: the change that added it is complete, and none that removed
/// it is. Staged changes are numbered. One is complete if it has begun and is neither under way nor
/// aborted.
fn shows(roster: &Value, membership: &Item) -> bool {
    let happened = |epoch: u64| {
        let last = roster["epoch"].as_u64().unwrap();
        let aborted = roster["aborted"].as_array().is_some_and(|aborted| aborted.contains(&epoch.into()));
        !aborted && if roster.get("staged").is_some() { epoch < last } else { epoch <= last }
    };
    tag(membership, "added_by").is_none_or(happened) && !tag(membership, "removed_by").is_some_and(happened)
}

fn tag(membership: &Item, name: &str) -> Option<u64> {
    membership.get(name).map(|tag| tag.as_n().unwrap().parse().unwrap())
}

fn roster(group: &Item) -> Value {
    serde_dynamo::from_attribute_value(group["roster"].clone()).unwrap()
}

/// The policies of a tenant that show in the table.
struct Policy {
    free_names: bool,
    accepts_unknown: bool,
}

fn policy(items: &Items, tenant: &str) -> Policy {
    let record = items.get(&(format!("{tenant}#tenant"), "!".to_owned()));
    let policy = record.and_then(|record| record.get("policy")?.as_m().ok());
    let is = |name, value: &str| {
        policy.and_then(|policy| policy.get(name)?.as_s().ok()).is_some_and(|text| text == value)
    };
    Policy { free_names: is("groupNames", "free"), accepts_unknown: is("unknownMembers", "accept") }
}

/// Returns the rows of a resource, each with its owner if it has one.
fn rows(pk: &str, id: &str, item: &Item, policy: &Policy) -> BTreeMap<Key, Option<String>> {
    let resource: Value = serde_dynamo::from_attribute_value(item["resource"].clone()).unwrap();
    let (unique, look_up) = match (pk.ends_with("#User"), policy.free_names) {
        (true, _) => USER,
        (false, true) => FREE_GROUP,
        (false, false) => GROUP,
    };
    let mut rows = BTreeMap::new();
    for (attribute, sub, exact) in unique {
        for value in values(&resource, attribute, *sub) {
            rows.insert((format!("{pk}.{attribute}"), value_key(value, *exact)), Some(id.to_owned()));
        }
    }
    for (attribute, sub, exact) in look_up {
        for value in values(&resource, attribute, *sub) {
            rows.insert((format!("{pk}.{attribute}"), format!("{}#{id}", value_key(value, *exact))), None);
        }
    }
    let mut room = 32.min(96_usize.saturating_sub(rows.len()));
    for (attribute, sub, exact) in MANY.iter().filter(|_| pk.ends_with("#User")) {
        let values = values(&resource, attribute, *sub).into_iter();
        let values: BTreeSet<String> = values.map(|value| value_key(value, *exact)).collect();
        if values.len() > room {
            rows.insert((format!("{pk}.{attribute}#many"), id.to_owned()), None);
            room = room.saturating_sub(1);
        } else {
            room -= values.len();
            let key = |value: String| (format!("{pk}.{attribute}"), format!("{value}#{id}"));
            rows.extend(values.into_iter().map(|value| (key(value), None)));
        }
    }
    rows
}

fn values<'a>(resource: &'a Value, attribute: &str, sub: Option<&str>) -> Vec<&'a str> {
    let value = &resource[attribute];
    let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    elements
        .iter()
        .filter_map(|element| sub.map_or(element, |sub| &element[sub]).as_str())
        .filter(|value| !value.is_empty())
        .collect()
}

fn value_key(value: &str, exact: bool) -> String {
    let value = if exact { value.to_owned() } else { fold(value) };
    if value.len() <= 900 {
        return value;
    }
    let (beginning, _) = value.split_at(value.floor_char_boundary(900));
    format!("{beginning}~{}", hex(&Sha256::digest(&value)))
}

/// Returns the digest of the unique rows and then the others, each in order.
pub(crate) fn digest(rows: &BTreeMap<Key, Option<String>>) -> String {
    let mut hash = Sha256::new();
    let (unique, look_up): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, owner)| owner.is_some());
    for ((pk, sk), _) in unique.into_iter().chain(look_up) {
        for part in [pk, sk] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

fn text(item: &Item, name: &str) -> String {
    item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

/// A table with an item of each kind: three users, one deleted by a process that died, two groups,
/// and the remains of a staged change.
struct Furnished {
    items: Items,
    now: Timestamp,
    /// A group with two members that count, and Kim, who no longer does.
    crew: String,
    kim: String,
    /// A group whose member is the crew.
    all: String,
}

async fn furnished() -> Furnished {
    let directory = Directory::new().await;
    let client = directory.client();
    let user = r#"{"userName":"Bo","externalId":"X","emails":[{"value":"bo@example.com"}]}"#;
    let bo = client.post("/Users", user).await.id().to_owned();
    let kim = client.post("/Users", r#"{"userName":"kim"}"#).await.id().to_owned();
    let ann = client.post("/Users", r#"{"userName":"ann"}"#).await.path();
    let group = |name: &str, members: Value| {
        json!({ "displayName": name, "externalId": name, "members": members }).to_string()
    };
    let crew = group("Crew", json!([{ "value": bo }, { "value": ann.trim_start_matches("/Users/") }]));
    let crew = client.post("/Groups", &crew).await.id().to_owned();
    let all = client.post("/Groups", &group("All", json!([{ "value": crew }]))).await.id().to_owned();
    client.faults.on_nth_call(5, Fault::Die);
    assert_eq!(client.delete(&ann).await.status, 204);

    let mut items = read(&directory).await;
    let mut removed = items[&member(&crew, &bo)].clone();
    removed.insert("member_pk".to_owned(), AttributeValue::S(format!("demo#member#{kim}")));
    removed.insert("removed_by".to_owned(), AttributeValue::N("1".to_owned()));
    items.insert(member(&crew, &kim), removed);
    let due = "2026-01-31T09:01:30Z";
    let job =
        json!({ "type": "Group", "due": due, "change_pk": format!("#due#{}", stripe(&crew)), "hour": due });
    let key = ("demo#job".to_owned(), format!("staged#{crew}#1"));
    items.insert(key, serde_dynamo::to_item(job).unwrap());
    set_roster(&mut items, &crew, &json!({ "members": 2, "epoch": 1 }));
    Furnished { items, now: directory.now(), crew, kim, all }
}

fn member(group: &str, member: &str) -> Key {
    (format!("demo#Group#{group}"), member.to_owned())
}

fn set_roster(items: &mut Items, group: &str, roster: &Value) {
    let group = items.get_mut(&("demo#Group".to_owned(), group.to_owned())).unwrap();
    group.insert("roster".to_owned(), serde_dynamo::to_attribute_value(roster).unwrap());
}

#[tokio::test]
async fn the_check_finds_what_is_missing_and_what_is_too_much() {
    let Furnished { items: whole, now, crew, kim, .. } = furnished().await;
    assert_eq!(findings(&whole, now), Vec::<String>::new());
    // No other item implies these three.
    let alone = [
        ("demo#tenant", "token#events"),
        ("demo#nesting", "!"),
        (&format!("demo#Group#{crew}"), kim.as_str()),
    ];
    for key in whole.keys() {
        let mut rest = whole.clone();
        let item = rest.remove(key).unwrap();
        let missed = !findings(&rest, now).is_empty();
        assert!(missed || alone.contains(&(&key.0, &key.1)), "{key:?} is not missed");
        rest = whole.clone();
        rest.insert((key.0.clone(), format!("0{}", key.1)), item);
        assert!(!findings(&rest, now).is_empty(), "a second {key:?} is not found");
    }
}

#[tokio::test]
async fn the_check_knows_which_members_count() {
    let Furnished { items: whole, now, crew, all, .. } = furnished().await;
    let until = |seconds: i64| json!({ "write_id": "w", "until": now + SignedDuration::from_secs(seconds) });
    for (group, roster, expected) in [
        (&crew, json!({ "members": 3, "epoch": 1 }), "counts 3 members, there are 2"),
        (&crew, json!({ "members": 3, "epoch": 1, "aborted": [1] }), ""),
        (&crew, json!({ "members": 3, "epoch": 1, "staged": until(0) }), ""),
        (&crew, json!({ "members": 3, "epoch": 1, "staged": until(-1) }), "has a mark since"),
        (&crew, json!({ "members": 2, "epoch": 2, "staged": until(0) }), ""),
        (&crew, json!({ "members": 3, "epoch": 0 }), "was removed_by a change that never began"),
        (&all, json!({ "members": 1, "epoch": 0 }), "has a group for a member and does not know"),
        (&all, json!({ "members": 1, "epoch": 1, "nests": true, "aborted": [1] }), "nobody will clean up"),
    ] {
        let mut items = whole.clone();
        set_roster(&mut items, group, &roster);
        let findings = findings(&items, now).join("\n");
        assert!(
            findings.contains(expected) && findings.is_empty() == expected.is_empty(),
            "{roster} {findings}"
        );
    }
}
