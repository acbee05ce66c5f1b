//! Records the permissions that the function needs, as IAM names them. Each action on the table or
//! an index leaves a file in `target/tmp/permissions`. After the tests `.ci/template.py` compares
//! these with the permissions in the template.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

static RECORDED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Records the permissions that a call needs.
pub(crate) fn record(operation: &str, request: &Value) {
    let on = request["IndexName"].as_str().unwrap_or("table");
    for action in actions(operation, request) {
        let name = format!("{action}@{on}");
        if RECORDED.lock().unwrap().insert(name.clone()) {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("permissions");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), "").unwrap();
        }
    }
}

fn actions(operation: &str, request: &Value) -> Vec<String> {
    let parts = |name: &str| request[name].as_array().into_iter().flatten();
    match operation {
        "TransactWriteItems" => parts("TransactItems")
            .flat_map(|part| part.as_object().unwrap().keys())
            .map(|kind| match kind.as_str() {
                "ConditionCheck" => "ConditionCheckItem".to_owned(),
                kind => format!("{kind}Item"),
            })
            .collect(),
        "BatchExecuteStatement" => parts("Statements")
            .map(|part| match part["Statement"].as_str().unwrap().split(' ').next() {
                Some("INSERT") => "PartiQLInsert".to_owned(),
                Some("UPDATE") => "PartiQLUpdate".to_owned(),
                Some("DELETE") => "PartiQLDelete".to_owned(),
                other => panic!("a statement that nobody knows: {other:?}"),
            })
            .collect(),
        operation => vec![operation.to_owned()],
    }
}
