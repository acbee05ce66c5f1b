//! The commands `scimctl export` and `scimctl import`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::TryStreamExt;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::Registry;
use scim_lambda::store::TenantName;
use serde_json::{Value, json};

use crate::support::answer::members;
use crate::support::builders::{add, remove};
use crate::support::consistency;
use crate::support::directory::Directory;
use crate::support::faults::Fault;
use crate::support::fill::{fill, fill_group};
use crate::support::scimctl::{command, json, run};

/// A file that is deleted at the end of the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(directory: &Directory, name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}-{name}.jsonl", directory.table()));
        assert!(!path.exists());
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// Creates users, a group of all of them, and a group with that group as its member.
async fn filled(users: usize) -> Directory {
    let directory = Directory::spread().await;
    let client = directory.client();
    let mut members = Vec::new();
    for n in 0..users {
        let user =
            json!({ "userName": format!("u{n}"), "emails": [{ "value": format!("u{n}@example.com") }] });
        members.push(json!({ "value": client.post("/Users", &user.to_string()).await.id() }));
    }
    let crew = json!({ "displayName": "Crew", "members": members }).to_string();
    let crew = client.post("/Groups", &crew).await.id().to_owned();
    let all = json!({ "displayName": "All", "members": [{ "value": crew }] }).to_string();
    client.post("/Groups", &all).await;
    directory
}

/// Returns an export without the versions of groups, which an import of members raises.
fn comparable(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "Group" && line["line"] == "resource" {
            line["version"] = Value::Null;
            line["lastModified"] = Value::Null;
        }
        line
    });
    lines.collect()
}

async fn export(directory: &Directory, tenant: &str, name: &str) -> Temporary {
    let file = Temporary::new(directory, name);
    run(directory, &["export", tenant, file.path()]).await.unwrap();
    file
}

#[tokio::test]
async fn an_imported_tenant_is_what_was_exported() {
    let directory = filled(120).await;
    run(&directory, &["tenant", "set", "demo", "patchAnswer=representation"]).await.unwrap();
    run(&directory, &["tenant", "define", "demo", "tests/api/definitions/roles.json"]).await.unwrap();
    let file = export(&directory, "demo", "whole").await;
    let lines = comparable(&file.text());
    assert_eq!(lines.len(), 1 + 120 + 2 + 2 + 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file.0).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");

    let done = json(&directory, &["import", "acme", file.path()]).await;
    assert_eq!(done, json!({ "tenant": "acme", "made": 122, "kept": 0, "members": 121, "problems": 0 }));
    let copy = export(&directory, "acme", "copy").await;
    assert!(comparable(&copy.text()) == lines);
    consistency::check(&directory).await;
    // A second import changes nothing, versions included.
    let again = json(&directory, &["import", "acme", file.path()]).await;
    assert_eq!(again, json!({ "tenant": "acme", "made": 0, "kept": 122, "members": 0, "problems": 0 }));
    assert!(export(&directory, "acme", "again").await.text() == copy.text());
}

#[tokio::test]
async fn an_import_that_was_killed_is_done_again_and_does_the_rest() {
    let directory = filled(300).await;
    let file = export(&directory, "demo", "whole").await;
    let target = Directory::new().await;
    for _ in 0..3 {
        let before = consistency::count(&target, "acme#User").await;
        let mut import = command(&target, &["import", "acme", file.path()])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while consistency::count(&target, "acme#User").await < before + 20
            && import.try_wait().unwrap().is_none()
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        import.kill().await.unwrap();
    }
    // A process that dies while it changes many members leaves the group locked for up to 30 s.
    let import = ["--json", "import", "acme", file.path()];
    let mut done = run(&target, &import).await;
    while done.as_ref().is_err_and(|error| error.contains("run the import again to resume it")) {
        done = run(&target, &import).await;
    }
    let done: Value = serde_json::from_str(&done.unwrap()).unwrap();
    assert_eq!(done["problems"], 0, "{done}");
    assert_eq!(done["made"].as_u64().unwrap() + done["kept"].as_u64().unwrap(), 302);
    consistency::check(&target).await;
    let copy = export(&target, "acme", "copy").await;
    assert!(comparable(&copy.text()) == comparable(&file.text()));
}

#[tokio::test]
async fn an_interrupted_export_is_resumed() {
    let directory = filled(30).await;
    let file = export(&directory, "demo", "whole").await;
    let whole = file.text();
    let refused = run(&directory, &["export", "demo", file.path()]).await.unwrap_err();
    assert!(refused.contains("exists: pass --resume if it is of an interrupted export"), "{refused}");
    let lines: Vec<usize> = whole.match_indices('\n').map(|(place, _)| place + 1).collect();
    let [.., group, members, end] = lines.as_slice() else { panic!("{whole}") };
    for cut in [
        0,
        7,
        lines[0],
        lines[0] + 9,
        lines[5],
        lines[5] + 9,
        lines[29],
        *group,
        *members - 3,
        *members,
        *end,
    ] {
        fs::write(&file.0, whole.get(..cut).unwrap()).unwrap();
        if cut < *end {
            let refused = run(&directory, &["import", "acme", file.path()]).await.unwrap_err();
            assert_eq!(refused.lines().count(), 1, "{cut}: {refused}");
        }
        run(&directory, &["export", "demo", file.path(), "--resume"]).await.unwrap();
        assert!(file.text() == whole, "{cut}");
    }
    assert_eq!(consistency::count(&directory, "acme#").await, 0);
}

#[tokio::test]
async fn what_cannot_be_imported_is_told_by_its_line_and_stops_nothing_else() {
    let directory = Directory::new().await;
    let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    let there = directory.client().post("/Users", r#"{"userName":"there"}"#).await.id().to_owned();
    let time = "2026-01-31T09:00:00Z";
    let resource = |kind: &str, id: &str, resource: Value| json!({ "line": "resource", "type": kind, "id": id, "version": 3, "created": time, "lastModified": time, "resource": resource });
    let members = |group: u32, ids: &[&str]| {
        let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
        json!({ "line": "members", "type": "Group", "id": id(group), "members": members })
    };
    let lines = [
        json!({ "line": "tenant", "policy": {} }),
        resource("User", &id(101), json!({ "userName": "ann" })),
        resource("User", &id(102), json!({ "userName": "THERE" })),
        resource("User", &there, json!({ "userName": "else" })),
        resource("User", &id(103), json!({ "userName": 7 })),
        resource("User", "no-uuid", json!({ "userName": "bo" })),
        resource("Robot", &id(104), json!({ "name": "r2" })),
        resource("Group", &id(105), json!({ "displayName": "Crew" })),
        members(105, &[&id(101), &id(999)]),
        members(106, &[&id(101)]),
        json!({ "line": "end" }),
    ];
    let file = Temporary::new(&directory, "mixed");
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    fs::write(&file.0, text.join("\n")).unwrap();
    let told = run(&directory, &["--json", "import", "demo", file.path()]).await.unwrap_err();
    insta::assert_snapshot!(told.replace(&there, "<there>"), @r#"
    scimctl: line 4: User <there> exists with other values and was left unchanged
    scimctl: line 5: userName must be a string
    scimctl: line 6: id no-uuid must be a UUID in lower case
    scimctl: line 7: resource type Robot not found
    scimctl: line 3: userName is already used by the resource with the id <there>: choose another value or update that resource
    scimctl: line 9: no user or group has the id 00000000-0000-4000-8000-000000000999: create it before you add it as a member
    scimctl: line 10: the resource does not exist: it was deleted or never created
    {"tenant":"demo","made":2,"kept":0,"members":1,"problems":7}
    "#);
    consistency::check(&directory).await;
    let ann = directory.client().get(&format!("/Users/{}?excludedAttributes=groups", id(101))).await;
    assert_eq!((ann.status, ann.header("etag")), (200, Some("W/\"3\"")));
    for (text, why) in [
        ("{}", "line 1: missing field `line`"),
        ("x", "line 1: expected value"),
        ("", "the export was interrupted"),
    ] {
        fs::write(&file.0, text).unwrap();
        let refused = run(&directory, &["import", "demo", file.path()]).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn what_an_import_creates_is_in_the_audit_log_if_the_operator_wants_it() {
    let directory = filled(3).await;
    let client = directory.client();
    let users = client.get("/Users").await;
    let id = users.body["Resources"][0]["id"].as_str().unwrap();
    let path = format!("/Users/{id}?excludedAttributes=groups");
    let title = json!({ "Operations": [{ "op": "add", "path": "title", "value": "Dr." }] }).to_string();
    assert_eq!(client.patch(&path, &title).await.header("etag"), Some("W/\"2\""));
    let file = export(&directory, "demo", "whole").await;
    run(&directory, &["import", "silent", file.path()]).await.unwrap();
    assert_eq!(json(&directory, &["audit", "silent"]).await, json!([]));

    let import = ["import", "acme", file.path(), "--audit-days", "1", "--log", "info"];
    let ended = command(&directory, &import).output().await.unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    let logged: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept = json(&directory, &["audit", "acme"]).await;
    let kept = kept.as_array().unwrap();
    assert_eq!((logged.len(), kept.len()), (7, 7), "five resources, two of which have members: {log}");
    let lines: Vec<Value> = file.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter().filter(|line| line["line"] == "resource") {
        let created: Vec<_> =
            kept.iter().filter(|one| one["id"] == line["id"] && one["action"] == "create").collect();
        let [created] = created.as_slice() else { panic!("{created:?}") };
        let names: Vec<&String> = line["resource"].as_object().unwrap().keys().collect();
        let expected = json!({
            "time": created["time"], "client": "scimctl", "requestId": kept[0]["requestId"], "action": "create",
            "resourceType": line["type"], "id": line["id"], "versionAfter": line["version"], "attributes": names,
        });
        assert_eq!(**created, expected);
        let logged = logged.iter().find(|one| one["id"] == line["id"] && one["action"] == "create").unwrap();
        assert_eq!(
            (&logged["message"], &logged["client"], &logged["version_after"]),
            (&"audit".into(), &"scimctl".into(), &line["version"])
        );
    }
    let of_members =
        kept.iter().filter(|one| one["action"] == "change" && one["attributes"] == json!(["members"]));
    assert_eq!(of_members.count(), 2);
    consistency::check(&directory).await;
}

/// A batch has a hundred resources.
#[tokio::test]
async fn an_import_that_was_killed_lacks_the_records_of_one_batch_at_most() {
    let directory = Directory::new().await;
    let time = "2026-01-31T09:00:00Z";
    let users = (0..2_000).map(|n| {
        json!({
            "line": "resource", "type": "User", "id": uuid::Uuid::from_u128(n).to_string(), "version": 1,
            "created": time, "lastModified": time, "resource": { "userName": format!("u{n}") },
        })
    });
    let lines = std::iter::once(json!({ "line": "tenant", "policy": {} })).chain(users);
    let lines: Vec<String> = lines.chain([json!({ "line": "end" })]).map(|line| line.to_string()).collect();
    let file = Temporary::new(&directory, "users");
    fs::write(&file.0, lines.join("\n")).unwrap();
    let import = ["import", "acme", file.path(), "--audit-days", "1"];
    let mut import = command(&directory, &import).stdout(std::process::Stdio::null()).spawn().unwrap();
    let users = async || {
        let query = directory.dynamodb().query().table_name(directory.table()).select(Select::Count);
        let query = query.key_condition_expression("pk = :pk").consistent_read(true);
        let users = AttributeValue::S("acme#User".to_owned());
        query.expression_attribute_values(":pk", users).send().await.unwrap().count()
    };
    while users().await < 110 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    import.kill().await.unwrap();
    let records = json(&directory, &["audit", "acme"]).await.as_array().unwrap().len();
    let users = usize::try_from(users().await).unwrap();
    assert!(users < 2_000, "killed too late");
    assert!((100..=users).contains(&records) && users - records <= 100, "{records} of {users}");
}

/// A restore after an accident: the ids come back, and nothing of their deletion is left.
#[tokio::test]
async fn what_was_deleted_comes_back_with_its_memberships() {
    let directory = filled(5).await;
    let client = directory.client();
    let file = export(&directory, "demo", "whole").await;
    // An addition of members stores their names, which a creation of few members does not read.
    let without_names = |text: &str| {
        let mut lines = comparable(text);
        for member in lines.iter_mut().filter_map(|line| line.get_mut("members")?.as_array_mut()).flatten() {
            member.as_object_mut().unwrap().remove("display");
        }
        lines
    };
    let before = without_names(&file.text());
    let listed = client.get("/Users?attributes=userName").await.body;
    let users: Vec<&str> =
        listed["Resources"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect();
    let groups = client.get("/Groups?excludedAttributes=members").await.body;
    let crew =
        groups["Resources"].as_array().unwrap().iter().find(|group| group["displayName"] == "Crew").unwrap();
    let crew = format!("/Groups/{}", crew["id"].as_str().unwrap());
    // One leaves his groups, one whose request dies does not, and a group is deleted too.
    assert_eq!(client.delete(&format!("/Users/{}", users[0])).await.status, 204);
    let dying = directory.client();
    dying.faults.on_nth_call(6, Fault::Die);
    assert_eq!(dying.delete(&format!("/Users/{}", users[1])).await.status, 204);
    assert_eq!(client.delete(&crew).await.status, 204);
    assert_eq!(consistency::count(&directory, "demo#job").await, 3);

    let done = json(&directory, &["import", "demo", file.path()]).await;
    assert_eq!(done, json!({ "tenant": "demo", "made": 3, "kept": 4, "members": 6, "problems": 0 }));
    assert_eq!(consistency::count(&directory, "demo#job").await, 0);
    assert!(without_names(&export(&directory, "demo", "again").await.text()) == before);
    // No sweep takes anybody out again.
    directory.pass(200);
    client.sweep().await;
    assert!(without_names(&export(&directory, "demo", "after").await.text()) == before);
    assert_eq!(members(&client.get(&crew).await), users);
    assert_eq!(client.patch(&crew, &remove(users[1])).await.status, 204);
    assert_eq!(client.patch(&crew, &add(&[users[1]])).await.status, 204);
    assert_eq!(members(&client.get(&crew).await), users);
    consistency::check(&directory).await;
}

/// A request that adds the deleted user to a group may run until the job is due.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the command has the clock of the system")]
async fn an_import_waits_until_the_deletion_of_an_id_has_ended() {
    let directory = filled(2).await;
    let client = directory.client();
    let file = export(&directory, "demo", "whole").await;
    let user = client.get("/Users?count=1").await.list("id");
    assert_eq!(client.delete(&format!("/Users/{user}")).await.status, 204);
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2)).to_string();
    let update =
        directory.dynamodb().update_item().table_name(directory.table()).update_expression("SET due = :due");
    let update = update.key("pk", AttributeValue::S("demo#job".to_owned()));
    let update = update.key("sk", AttributeValue::S(format!("left#{user}")));
    update.expression_attribute_values(":due", AttributeValue::S(soon.clone())).send().await.unwrap();
    let ended = command(&directory, &["--json", "import", "demo", file.path()]).output().await.unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.starts_with("scimctl: waiting ") && told.ends_with(" s for deletions to end\n"), "{told}");
    assert!(jiff::Timestamp::now().to_string() > soon, "{told}");
    let done: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(done, json!({ "tenant": "demo", "made": 1, "kept": 3, "members": 1, "problems": 0 }));
    consistency::check(&directory).await;
}

/// An export of a million users is a thousand calls, each after the other.
#[tokio::test]
async fn an_export_makes_one_call_for_a_megabyte_and_two_for_the_members_of_a_group() {
    let directory = Directory::spread().await;
    fill(&directory, 4_000).await;
    let client = directory.client();
    for n in 0..20 {
        client.post("/Groups", &json!({ "displayName": format!("empty{n}") }).to_string()).await;
    }
    let user = client.find(r#"userName eq "filler7@example.com""#).await.body["Resources"][0]["id"].clone();
    for n in 0..3 {
        let group = json!({ "displayName": format!("small{n}"), "members": [{ "value": user }] });
        client.post("/Groups", &group.to_string()).await;
    }
    // One whose members do not fit one page: they are read in eight ranges.
    fill_group(&directory, 5_000).await;
    let (store, network) = directory.watched_store();
    let tenant = TenantName::parse("demo").unwrap();
    let registry = Registry::new(&Policy::default());
    let exported = async |kind: &str| {
        network.forget();
        let directory = store.directory(&tenant);
        let collection = directory.collection(registry.resource_type(kind).unwrap());
        let all: Vec<_> = collection.entire("").try_collect().await.unwrap();
        let members: Vec<usize> =
            all.iter().map(|(_, members)| members.len()).filter(|count| *count > 0).collect();
        (all.len(), members, network.calls())
    };
    let (users, _, calls) = exported("User").await;
    // About 500 bytes each.
    assert_eq!((users, calls.len()), (4_000, 2), "{calls:?}");
    let (groups, mut members, calls) = exported("Group").await;
    members.sort_unstable();
    assert_eq!((groups, members), (24, vec![1, 1, 1, 5_000]));
    let gets = calls.iter().filter(|call| *call == "GetItem").count();
    // The page, the deletions in progress, three groups of one range and one of eight.
    assert_eq!((gets, calls.len() - gets), (4, 1 + 1 + 3 + 8), "{calls:?}");
    assert!(calls.iter().all(|call| call == "GetItem" || call == "Query"), "{calls:?}");
}
