//! The commands of `scimctl key`.

use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::scimctl::{json, run};

#[tokio::test]
async fn the_key_of_cursors_is_listed_and_rotated_and_never_shown() {
    let directory = Directory::new().await;
    assert_eq!(json(&directory, &["key", "list"]).await, json!([]));
    for generation in 2..5 {
        let rotated = json(&directory, &["key", "rotate"]).await;
        assert_eq!(rotated, json(&directory, &["key", "list"]).await);
        let rows: Vec<Value> = rotated
            .as_array()
            .unwrap()
            .iter()
            .map(|row| json!([row["key"], row["generation"], row["state"]]))
            .collect();
        assert_eq!(
            json!(rows),
            json!([["cursor", generation, "current"], ["cursor", generation - 1, "previous"]])
        );
    }
    let record = directory.store().cursor_secret().await.unwrap().unwrap();
    let shown = run(&directory, &["key", "list"]).await.unwrap()
        + &run(&directory, &["--json", "key", "list"]).await.unwrap();
    for secret in [record.current.plain, record.previous.unwrap().plain] {
        assert!(!shown.contains(secret.split('-').next().unwrap()), "{shown}");
    }
}
