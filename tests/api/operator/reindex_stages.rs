//! Requests in each stage of a change of what is indexed, by an instance that knows of the stage and
//! by one that has cached the tenant before it.

use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{Reindex, Stage, TenantName, TenantRecord};
use serde_json::{Value, json};

use crate::support::builders::encoded;
use crate::support::client::Client;
use crate::support::consistency::check;
use crate::support::directory::Directory;
use crate::support::scimctl::{command, json, run};

const STAGES: [Stage; 4] = [Stage::Fill, Stage::Enforce, Stage::Keep, Stage::Drop];

/// Writes the record of the tenant as the command writes it at the beginning of a stage.
async fn begin(directory: &Directory, stage: Stage, next: impl Fn(TenantRecord) -> TenantRecord) {
    let (store, tenant) = (directory.store(), TenantName::parse("demo").unwrap());
    let record = store.tenant(&tenant).await.unwrap().unwrap();
    let is_in_force =
        matches!(record.reindex.as_ref().map(|reindex| reindex.stage), Some(Stage::Keep | Stage::Drop));
    let other = match &record.reindex {
        Some(reindex) => TenantRecord {
            policy: reindex.policy.clone(),
            definitions: reindex.definitions.clone(),
            ..record.clone()
        },
        None => next(record.clone()),
    };
    let switches = stage == Stage::Keep && !is_in_force;
    let (force, rest) = if switches { (&other, &record) } else { (&record, &other) };
    let (policy, definitions) = (rest.policy.clone(), rest.definitions.clone());
    let reindex = Some(Reindex { stage, since: directory.now(), policy, definitions });
    let (policy, definitions) = (force.policy.clone(), force.definitions.clone());
    let next = TenantRecord { policy, definitions, reindex, ..record.clone() };
    store.change_rules(&tenant, &record, &next).await.unwrap();
}

/// Brings all resources into the index, as the command does when every instance knows of a stage.
async fn pass(directory: &Directory) {
    let (store, tenant) = (directory.store(), TenantName::parse("demo").unwrap());
    let record = store.tenant(&tenant).await.unwrap().unwrap();
    let registry = record.registry(&Definitions::default()).unwrap();
    for kind in registry.resource_types.iter().filter(|kind| kind.other.is_some()) {
        store.directory(&tenant).collection(kind).reindex(|_| ()).await.unwrap();
    }
}

async fn found(client: &Client, kind: &str, filter: &str) -> Value {
    let found = client.get(&format!("/{kind}?attributes=id&filter={}", encoded(filter))).await;
    assert_eq!(found.status, 200, "{found}");
    found.body["totalResults"].clone()
}

async fn create(client: &Client, name: &str) -> (u16, String) {
    let made = client.post("/Groups", &json!({ "displayName": name, "externalId": name }).to_string()).await;
    let path = if made.status == 201 { made.path() } else { String::new() };
    (made.status, path)
}

/// Changes and deletes groups by both instances, and looks for them by both.
async fn use_groups(at: &str, instances: &[Client; 2], groups: &mut Vec<(String, String)>) {
    for (n, client) in instances.iter().enumerate() {
        let at = &format!("{at} by {n}");
        let (path, name) = groups.pop().unwrap();
        let kept = json!({ "displayName": name, "externalId": name, "members": [] }).to_string();
        assert_eq!(client.put(&path, &kept).await.status, 200, "{at}: the value is kept");
        let other = json!({ "displayName": name, "externalId": format!("{at} other") }).to_string();
        assert_eq!(client.put(&path, &other).await.status, 200, "{at}");
        let renamed = format!("{at} renamed");
        let body = json!({ "Operations": [{ "op": "replace", "path": "displayName", "value": renamed }] });
        assert_eq!(client.patch(&path, &body.to_string()).await.status, 204, "{at}");
        let (status, gone) = create(client, &format!("{at} gone")).await;
        assert_eq!(status, 201, "{at}");
        assert_eq!(client.delete(&gone).await.status, 204, "{at}");
        let (deleted, _) = groups.pop().unwrap();
        assert_eq!(client.delete(&deleted).await.status, 204, "{at}");
        for reader in instances {
            for (filter, count) in [
                (format!("displayName eq \"{renamed}\""), 1),
                (format!("displayName eq \"{name}\""), 0),
                (format!("externalId eq \"{at} other\""), 1),
                (format!("displayName eq \"{at} gone\""), 0),
            ] {
                assert_eq!(found(reader, "Groups", &filter).await, count, "{at}: {filter}");
            }
        }
        groups.insert(0, (path, renamed));
    }
}

/// Two groups of one name are found by both instances as long as no rule in force forbids them.
async fn share_a_name(at: &str, instances: &[Client; 2]) {
    let name = format!("{at} shared");
    let mut made = Vec::new();
    for client in instances {
        let (status, path) = create(client, &name).await;
        assert!([201, 409].contains(&status), "{at}: {status}");
        made.extend((status == 201).then_some(path));
    }
    for reader in instances {
        let all = found(reader, "Groups", &format!("displayName eq \"{name}\"")).await;
        assert_eq!(all, made.len(), "{at}: a group is missed");
    }
    for (path, client) in made.iter().zip(instances) {
        assert_eq!(client.delete(path).await.status, 204, "{at}");
    }
}

#[tokio::test]
async fn groups_are_changed_found_and_deleted_in_every_stage() {
    for (before, after) in [("free", "unique"), ("unique", "free")] {
        let directory = Directory::spread().await;
        let policy = |names: &str| serde_json::from_value(json!({ "groupNames": names })).unwrap();
        directory.set_policy("demo", policy(before)).await;
        let first = directory.client();
        let mut groups = Vec::new();
        for n in 0..40 {
            let name = format!("Group {n}");
            groups.push((create(&first, &name).await.1, name));
        }
        let mut late = first;
        for stage in STAGES {
            // Nothing becomes unique, so no stage refuses it.
            if stage == Stage::Enforce && after == "free" {
                continue;
            }
            // It has cached the tenant a moment before the stage begins.
            late.get("/Groups?count=0").await;
            begin(&directory, stage, |record| TenantRecord { policy: policy(after), ..record }).await;
            let instances = [late, directory.client()];
            for part in ["at first", "after the pass"] {
                let at = format!("{before} to {after}, {stage:?} {part}");
                use_groups(&at, &instances, &mut groups).await;
                share_a_name(&at, &instances).await;
                directory.pass(61);
                if part == "at first" && stage != Stage::Keep {
                    pass(&directory).await;
                }
            }
            [late, _] = instances;
        }
        let setting = format!("groupNames={after}");
        run(&directory, &["tenant", "set", "demo", &setting, "--wait", "0"]).await.unwrap();
        check(&directory).await;
    }
}

async fn define(directory: &Directory, definitions: &Value) -> std::process::Output {
    let file = std::env::temp_dir().join(format!("{}-stages.json", directory.table()));
    std::fs::write(&file, definitions.to_string()).unwrap();
    let path = file.to_str().unwrap();
    let ended = command(directory, &["--json", "tenant", "define", "demo", path, "--wait", "0"]);
    let ended = { ended }.output().await.unwrap();
    std::fs::remove_file(&file).unwrap();
    ended
}

fn looked_up(paths: &[&str]) -> Value {
    json!({ "resourceTypes": [{ "name": "User", "lookUp": paths }] })
}

fn phones(name: &str, count: usize) -> String {
    let numbers: Vec<Value> = (0..count).map(|n| json!({ "value": format!("{name}-{n}") })).collect();
    let emails: Vec<Value> = (0..60).map(|n| json!({ "value": format!("{name}{n}@example.com") })).collect();
    json!({ "userName": name, "emails": emails, "phoneNumbers": numbers }).to_string()
}

/// The index of before and that of after have more entries for a resource than a transaction holds.
#[tokio::test]
async fn a_resource_with_many_values_is_found_and_deleted_in_every_stage() {
    for (stage, passes) in STAGES.into_iter().flat_map(|stage| [(stage, 0), (stage, 1)]) {
        let at = format!("{stage:?} {passes}");
        let directory = Directory::spread().await;
        let client = directory.client();
        let path = client.create(&phones("bo", 60)).await.path();
        let definitions = looked_up(&["phoneNumbers.value"]).to_string();
        for earlier in STAGES.into_iter().take_while(|one| *one != stage) {
            begin(&directory, earlier, |record| TenantRecord {
                definitions: Some(definitions.clone()),
                ..record
            })
            .await;
            pass(&directory).await;
        }
        begin(&directory, stage, |record| TenantRecord { definitions: Some(definitions.clone()), ..record })
            .await;
        if passes == 1 {
            pass(&directory).await;
        }
        directory.pass(61);
        for filter in [r#"phoneNumbers.value eq "bo-59""#, r#"emails.value eq "bo59@example.com""#] {
            assert_eq!(found(&client, "Users", filter).await, 1, "{at} {filter}");
        }
        assert_eq!(client.delete(&path).await.status, 204, "{at}");
        assert_eq!(json(&directory, &["check", "demo"]).await, json!([]), "{at}");
    }
}

#[tokio::test]
async fn a_resource_with_more_values_than_new_rules_allow_is_found_changed_and_deleted() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let path = client.create(&phones("bo", 60)).await.path();
    assert!(define(&directory, &looked_up(&["phoneNumbers.value"])).await.status.success());
    directory.pass(61);
    assert_eq!(found(&client, "Users", r#"phoneNumbers.value eq "bo-59""#).await, 1);
    let body = json!({ "Operations": [{ "op": "replace", "path": "active", "value": false }] }).to_string();
    assert_eq!(client.patch(&path, &body).await.status, 200);
    assert_eq!(client.put(&path, &phones("bo", 20)).await.status, 200);
    assert_eq!(found(&client, "Users", r#"phoneNumbers.value eq "bo-59""#).await, 0);
    assert_eq!(client.put(&path, &phones("bo", 60)).await.status, 400);
    let other = directory.client();
    assert_eq!(other.delete(&path).await.status, 204);
    assert_eq!(json(&directory, &["check", "demo"]).await, json!([]));
}

#[tokio::test]
async fn a_resource_beyond_the_limit_is_deleted_with_all_of_its_rows() {
    let directory = Directory::spread().await;
    let client = directory.client();
    let path = client.create(&phones("bo", 60)).await.path();
    assert!(define(&directory, &looked_up(&["phoneNumbers.value"])).await.status.success());
    directory.pass(61);
    let gone = client.delete(&path).await;
    assert_eq!(gone.status, 204, "{gone}");
    assert_eq!(json(&directory, &["check", "demo"]).await, json!([]));
    client.create(&phones("bo", 20)).await;
}
