//! `scimctl key`: the secrets of the deployment that the function creates by itself.

use clap::Subcommand;
use jiff::Timestamp;
use scim_lambda::store::{Applied, Store};
use serde_json::{Value, json};

use crate::Result;

#[derive(Subcommand)]
pub(crate) enum Key {
    /// List the keys and their generations; no secret is shown
    List,
    /// Replace the key that seals cursors; takes effect within five minutes
    #[command(after_help = "Cursors of the replaced key are accepted until they expire, after an hour. \
        Rotate twice to reject all cursors at once.")]
    Rotate,
}

pub(crate) async fn run(store: &Store, command: Key, now: Timestamp) -> Result<Value> {
    if matches!(command, Key::Rotate) && store.rotate_cursor_secret(now).await? == Applied::Conflict {
        return Err("the key was rotated by another process: retry".into());
    }
    let Some(record) = store.cursor_secret().await? else {
        return Ok(json!([]));
    };
    let row = |generation: u32, state: &str, created: Timestamp| json!({ "key": "cursor", "generation": generation, "state": state, "created": created });
    let mut rows = vec![row(record.generation, "current", record.current.created)];
    if let Some(previous) = record.previous {
        rows.push(row(record.generation.saturating_sub(1), "previous", previous.created));
    }
    Ok(rows.into())
}
