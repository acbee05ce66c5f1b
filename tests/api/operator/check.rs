//! `scimctl check` finds inconsistencies and repairs them. `consistency`, which shares no code with
//! it, judges the table afterwards.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::scim::policy::{GroupNames, Policy};
use scim_lambda::scim::registry::Registry;
use scim_lambda::store::{Expected, Repaired, Store, TenantName};
use serde_json::{Value, json};

use crate::support::consistency;
use crate::support::directory::Directory;
use crate::support::scimctl::{command, json, run};

/// A directory with an item of every kind, whose table the test can spoil.
struct Spoiled {
    directory: Directory,
    bo: String,
    ann: String,
    /// A user with more roles than have rows of their own.
    many: String,
    /// A group whose members are Bo and Ann.
    crew: String,
    /// A group whose member is the crew.
    all: String,
}

impl Spoiled {
    async fn new() -> Self {
        let directory = Directory::new().await;
        let client = directory.client();
        let user = r#"{"userName":"Bo","externalId":"X","emails":[{"value":"bo@example.com"}]}"#;
        let bo = client.post("/Users", user).await.id().to_owned();
        let ann = client.post("/Users", r#"{"userName":"ann"}"#).await.id().to_owned();
        let roles: Vec<Value> = (0..33).map(|n| json!({ "value": format!("r{n}") })).collect();
        let many = json!({ "userName": "many", "roles": roles }).to_string();
        let many = client.post("/Users", &many).await.id().to_owned();
        let group = |name: &str, members: &[&str]| {
            let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
            json!({ "displayName": name, "members": members }).to_string()
        };
        let crew = client.post("/Groups", &group("Crew", &[&bo, &ann])).await.id().to_owned();
        let all = client.post("/Groups", &group("All", &[&crew])).await.id().to_owned();
        Self { directory, bo, ann, many, crew, all }
    }

    async fn put(&self, item: Value) {
        let item = serde_dynamo::to_item(item).unwrap();
        let put = self.directory.dynamodb().put_item().table_name(self.directory.table());
        put.set_item(Some(item)).send().await.unwrap();
    }

    async fn delete(&self, pk: &str, sk: &str) {
        let delete = self.directory.dynamodb().delete_item().table_name(self.directory.table());
        let key =
            delete.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        let deleted = key.return_values("ALL_OLD".into()).send().await.unwrap().attributes;
        assert!(deleted.is_some(), "{pk} {sk}");
    }

    async fn set(&self, pk: &str, sk: &str, name: &str, value: Value) {
        let update = self.directory.dynamodb().update_item().table_name(self.directory.table());
        let update =
            update.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        let value = serde_dynamo::to_attribute_value(value).unwrap();
        let path: Vec<&str> = name.split('.').collect();
        let names = path.iter().enumerate().map(|(place, name)| (format!("#n{place}"), (*name).to_owned()));
        let expression: Vec<String> = (0..path.len()).map(|place| format!("#n{place}")).collect();
        update
            .set_expression_attribute_names(Some(names.collect()))
            .update_expression(format!("SET {} = :value", expression.join(".")))
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
    }

    /// Repairs the table, asserts that it is consistent, and returns the findings.
    async fn repaired(self) -> Vec<String> {
        let found = json(&self.directory, &["check", "demo", "--repair"]).await;
        let found = found.as_array().unwrap();
        assert!(found.iter().all(|finding| finding["repaired"] == "yes"), "{found:?}");
        consistency::check(&self.directory).await;
        found.iter().map(|finding| finding["finding"].as_str().unwrap().to_owned()).collect()
    }
}

/// Checks tenants in this process.
async fn found(store: &Store, tenants: &[&str], now: Timestamp) -> Vec<(usize, String)> {
    let names: Vec<TenantName> = tenants.iter().map(|name| TenantName::parse(name).unwrap()).collect();
    let (policy, registry) = (Policy::default(), Registry::new(&Policy::default()));
    let kinds = &registry.resource_types;
    let expected: Vec<_> = names.iter().map(|tenant| Expected { tenant, kinds, policy: &policy }).collect();
    let found = store.check(&expected, now, |_| ()).await.unwrap();
    found.into_iter().map(|(tenant, finding)| (tenant, finding.to_string())).collect()
}

/// Spoils one thing in each of several directories, and repairs it.
macro_rules! plants {
    ($(|$spoiled:ident| $plant:expr => $found:expr),* $(,)?) => {{
        let mut plants: Vec<std::pin::Pin<Box<dyn Future<Output = (Vec<String>, Vec<String>)>>>> = Vec::new();
        $(plants.push(Box::pin(async {
            let $spoiled = Spoiled::new().await;
            $plant;
            let found: Vec<String> = $found.iter().map(ToString::to_string).collect();
            (found, $spoiled.repaired().await)
        }));)*
        plants
    }};
}

/// Names of groups become free, and then unique again.
#[tokio::test]
async fn a_changed_policy_is_followed_by_the_rows_of_what_is_there() {
    let spoiled = Spoiled::new().await;
    for group_names in [GroupNames::Free, GroupNames::Unique] {
        spoiled.directory.set_policy("demo", Policy { group_names, ..Policy::default() }).await;
        let found = json(&spoiled.directory, &["check", "demo", "--repair"]).await;
        assert!(found.as_array().unwrap().len() > 3, "{found}");
        consistency::check(&spoiled.directory).await;
        let client = spoiled.directory.client();
        assert_eq!(client.get("/Groups?filter=displayName+eq+%22crew%22").await.list("id"), spoiled.crew);
    }
    assert_eq!(run(&spoiled.directory, &["check"]).await.unwrap(), "none\n");
}

#[tokio::test]
async fn each_kind_of_inconsistency_is_found_and_repaired() {
    const OLD: &str = "2026-01-31T09:00:00Z";
    let none = "00000000-0000-4000-8000-0000000000ff";
    let plants = plants![
        |t| t.delete("demo#User.userName", "bo").await
            => [format!("demo#User.userName bo of {} is missing", t.bo)],
        |t| t.delete("demo#User.externalId", &format!("X#{}", t.bo)).await
            => [format!("demo#User.externalId X#{0} of {0} is missing", t.bo)],
        |t| t.put(json!({ "pk": "demo#User.userName", "sk": "jo", "owner": t.bo })).await
            => ["demo#User.userName jo belongs to no resource that has that value"],
        |t| t.put(json!({ "pk": "demo#User.userName", "sk": "jo", "owner": none })).await
            => ["demo#User.userName jo belongs to no resource that has that value"],
        |t| t.put(json!({ "pk": "demo#User.userName", "sk": "jo" })).await
            => ["demo#User.userName jo belongs to no resource that has that value"],
        |t| t.set("demo#User.userName", "bo", "owner", json!(t.ann)).await
            => [format!("demo#User.userName bo is not owned by {}, which has that value", t.bo)],
        |t| t.set("demo#User.userName", "bo", "owner", json!(none)).await
            => [format!("demo#User.userName bo is not owned by {}, which has that value", t.bo)],
        |t| t.put(json!({ "pk": "demo#User.emails", "sk": format!("x@y#{}", t.bo) })).await
            => [format!("demo#User.emails x@y#{} belongs to no resource that has that value", t.bo)],
        |t| t.put(json!({ "pk": "demo#User.emails", "sk": "x@y" })).await
            => ["demo#User.emails x@y belongs to no resource that has that value"],
        |t| t.delete("demo#User.roles#many", &t.many).await
            => [format!("demo#User.roles#many {0} of {0} is missing", t.many)],
        |t| t.put(json!({ "pk": "demo#User.roles#many", "sk": t.bo })).await
            => [format!("demo#User.roles#many {} belongs to no resource that has that value", t.bo)],
        |t| t.put(json!({ "pk": "demo#User.roles#many", "sk": none })).await
            => [format!("demo#User.roles#many {none} belongs to no resource that has that value")],
        |t| t.put(json!({ "pk": "demo#User.roles", "sk": format!("r0#{}", t.many) })).await
            => [format!("demo#User.roles r0#{} belongs to no resource that has that value", t.many)],
        |t| t.set("demo#User", &t.bo, "index_digest", json!("0")).await
            => [format!("demo#User {} has the digest of other rows", t.bo)],
        |t| t.set("demo#census#User", "00", "c0", json!(7)).await
            => ["the census of User counts 7 in 00 c0, the real number is 3"],
        |t| t.set("demo#census#User", "00", "c1", json!(1)).await
            => ["the census of User counts 1 in 00 c1, the real number is 0"],
        |t| t.delete("demo#census#Group", "00").await
            => ["the census of Group counts 0 in 00 c0, the real number is 2"],
        |t| t.set("demo#Group", &t.crew, "roster.members", json!(9)).await
            => [format!("Group {} counts 9 members, the real number is 2", t.crew)],
        |t| t.set("demo#Group", &t.all, "roster.nests", json!(false)).await
            => [format!("Group {} has a group as a member but is not marked as nesting", t.all)],
        |t| t.set(&format!("demo#Group#{}", t.crew), &t.bo, "member_pk", json!("demo#member#x")).await
            => [format!("demo#Group#{} {} is indexed under the member demo#member#x", t.crew, t.bo)],
        |t| t.set(&format!("demo#Group#{}", t.crew), &t.bo, "removed_by", json!(5)).await
            => [format!("demo#Group#{} {} belongs to a staged change that never began", t.crew, t.bo)],
        |t| {
            let pk = format!("demo#Group#{}", t.all);
            t.put(json!({ "pk": pk, "sk": t.bo, "member_pk": format!("demo#member#{}", t.bo), "type": "User", "added_by": 5 })).await;
        } => [format!("demo#Group#{} {} belongs to a staged change that never began", t.all, t.bo)],
        |t| {
            let pk = format!("demo#Group#{none}");
            t.put(json!({ "pk": pk, "sk": t.bo, "member_pk": format!("demo#member#{}", t.bo), "type": "User" })).await;
        } => [format!("1 members are in the Group {none}, which does not exist")],
        |t| {
            let pk = format!("demo#Group#{}", t.crew);
            t.put(json!({ "pk": pk, "sk": none, "member_pk": format!("demo#member#{none}"), "type": "User" })).await;
            t.set("demo#Group", &t.crew, "roster.members", json!(3)).await;
        } => [format!("demo#Group#{} {none} is the membership of a User that does not exist", t.crew)],
        |t| {
            t.set("demo#Group", &t.crew, "roster.epoch", json!(1)).await;
            t.set("demo#Group", &t.crew, "roster.staged", json!({ "write_id": "w", "until": OLD })).await;
        } => [
            format!("Group {} has a staged change without a cleanup job", t.crew),
            format!("Group {} is locked by a staged change whose lease ended at {OLD}", t.crew),
        ],
        |t| {
            t.set("demo#Group", &t.crew, "roster.epoch", json!(1)).await;
            t.set("demo#Group", &t.crew, "roster.aborted", json!([1])).await;
        } => [format!("Group {} has a staged change without a cleanup job", t.crew)],
        |t| t.set("demo#User", &t.bo, "change_pk", json!("demo#changed#User")).await
            => [format!("demo#User {} is in another partition of the index changes", t.bo)],
        |t| t.put(json!({ "pk": "demo#job", "sk": format!("left#{none}"), "type": "User", "due": OLD })).await
            => [format!("the job left#{none} is not in the index of due jobs")],
        |t| t.put(json!({ "pk": "demo#job", "sk": format!("left#{}", t.bo), "type": "User", "due": OLD })).await
            => [format!("the User {} exists, but a job treats it as deleted", t.bo)],
        |t| t.put(json!({ "pk": "demo#job", "sk": "dance#x", "type": "User", "due": OLD })).await
            => ["the job dance#x on a User is unknown"],
        |t| t.put(json!({ "pk": "demo#job", "sk": "staged#x", "type": "Robot", "due": OLD })).await
            => ["the job staged#x on a Robot is unknown"],
        |t| t.delete("#tenants", "demo").await => ["the tenant is not listed"],
    ];
    for (expected, found) in join_all(plants).await {
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_finding_that_needs_a_decision_is_not_repaired() {
    let spoiled = Spoiled::new().await;
    let Spoiled { directory, bo, ann, .. } = &spoiled;
    spoiled.set("demo#User", ann, "resource.userName", json!("BO")).await;
    spoiled.put(json!({ "pk": "demo#Robot", "sk": "x" })).await;
    let found = run(directory, &["check", "--repair"]).await.unwrap_err();
    let lines: Vec<&str> = found.lines().collect();
    assert!(found.contains("demo#Robot x belongs to no resource type"), "{found}");
    assert!(found.contains(&format!("demo#User {ann} and {bo} both have bo: change one of them")), "{found}");
    assert_eq!(lines.iter().filter(|line| line.contains("no: needs a decision")).count(), 2, "{found}");
    spoiled.delete("demo#Robot", "x").await;
    // After the decision the rest can be repaired.
    spoiled.set("demo#User", ann, "resource.userName", json!("ann")).await;
    spoiled.repaired().await;
}

/// A job that a repair puts takes a missing user out of a group.
#[tokio::test]
async fn the_audit_log_has_what_the_sweep_of_a_repair_changes() {
    let spoiled = Spoiled::new().await;
    let Spoiled { directory, crew, .. } = &spoiled;
    let none = "00000000-0000-4000-8000-0000000000ff";
    let membership = json!({ "pk": format!("demo#Group#{crew}"), "sk": none, "member_pk": format!("demo#member#{none}"), "type": "User" });
    spoiled.put(membership).await;
    spoiled.set("demo#Group", crew, "roster.members", json!(3)).await;
    let check = ["check", "demo", "--repair", "--audit-days", "1", "--log", "info"];
    let ended = command(directory, &check).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let log = String::from_utf8(ended.stderr).unwrap();
    let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let log: Vec<_> = log.iter().map(|line| (&line["message"], &line["tenant"], &line["id"])).collect();
    assert_eq!(
        log,
        [(&"repaired".into(), &"demo".into(), &Value::Null), (&"audit".into(), &"demo".into(), &json!(crew))]
    );
    let kept = json(directory, &["audit", "demo"]).await;
    let expected = json!([{
        "time": kept[0]["time"], "client": "scimctl", "requestId": kept[0]["requestId"], "action": "change",
        "resourceType": "Group", "id": crew, "attributes": ["members"],
    }]);
    assert_eq!(kept, expected);
    consistency::check(directory).await;
}

/// The whole table is read once for all tenants, and twice more if anything is wrong.
#[tokio::test]
async fn one_scan_of_the_table_checks_all_tenants() {
    let spoiled = Spoiled::new().await;
    let directory = &spoiled.directory;
    let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    for name in &names {
        directory.add_tenant(name, Policy::default()).await;
    }
    let tenants: Vec<&str> = names.iter().map(String::as_str).chain(["demo"]).collect();
    let (store, network) = directory.watched_store();
    let now = directory.now();
    assert_eq!(found(&store, &tenants, now).await, []);
    // Four parts of the table at the same time, and the list of the tenants.
    assert_eq!(network.calls(), ["Scan", "Scan", "Scan", "Scan", "Query"]);
    spoiled.delete("demo#User.userName", "bo").await;
    spoiled.put(json!({ "pk": "t7#Robot", "sk": "x" })).await;
    network.forget();
    let missing = format!("demo#User.userName bo of {} is missing", spoiled.bo);
    let expected = [(7, "t7#Robot x belongs to no resource type".to_owned()), (20, missing)];
    assert_eq!(found(&store, &tenants, now).await, expected);
    assert_eq!(network.calls().iter().filter(|call| *call == "Scan").count(), 3 * 4);
}

/// The job of a change that died is due two minutes after its lease, and then waits for a sweep.
#[tokio::test]
async fn the_mark_of_a_crash_is_reported_when_its_job_is_overdue() {
    let spoiled = Spoiled::new().await;
    let Spoiled { directory, crew, .. } = &spoiled;
    let until: Timestamp = "2026-01-31T09:30:00Z".parse().unwrap();
    spoiled.set("demo#Group", crew, "roster.epoch", json!(1)).await;
    spoiled.set("demo#Group", crew, "roster.staged", json!({ "write_id": "w", "until": until })).await;
    let index = format!("#due#{}", consistency::stripe(crew));
    let job = json!({ "pk": "demo#job", "sk": format!("staged#{crew}#1"), "type": "Group", "due": until,
        "change_pk": index, "hour": until });
    spoiled.put(job).await;
    let store = directory.store();
    for (seconds, is_found) in [(0, false), (60, false), (599, false), (600, true), (3600, true)] {
        let found = found(&store, &["demo"], until + SignedDuration::from_secs(seconds)).await;
        let text = format!("Group {crew} is locked by a staged change whose lease ended at {until}");
        assert_eq!(found, if is_found { vec![(0, text)] } else { Vec::new() }, "{seconds}");
    }
}

/// A staged change begins without a new version of its group.
#[tokio::test]
async fn a_tag_is_not_repaired_under_a_later_change() {
    let spoiled = Spoiled::new().await;
    let Spoiled { directory, crew, bo, .. } = &spoiled;
    spoiled.set(&format!("demo#Group#{crew}"), bo, "removed_by", json!(1)).await;
    let store = directory.store();
    let (tenant, policy) = (TenantName::parse("demo").unwrap(), Policy::default());
    let registry = Registry::new(&policy);
    let expected = [Expected { tenant: &tenant, kinds: &registry.resource_types, policy: &policy }];
    let found = store.check(&expected, directory.now(), |_| ()).await.unwrap();
    let [(0, finding)] = found.as_slice() else { panic!("{found:?}") };
    assert!(finding.to_string().ends_with("belongs to a staged change that never began"), "{finding}");
    for (epoch, repaired) in [(1, Repaired::Changed), (0, Repaired::Repaired)] {
        spoiled.set("demo#Group", crew, "roster.epoch", json!(epoch)).await;
        assert_eq!(store.repair(finding).await.unwrap(), repaired, "{epoch}");
    }
    consistency::check(directory).await;
}
