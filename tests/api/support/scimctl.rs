//! The command `scimctl`, run as a process over the table of a test.

use serde_json::Value;
use tokio::process::Command;

use crate::support::directory::Directory;

/// Returns the command over the table of `directory`.
pub(crate) fn command(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimctl"));
    command.args(["--endpoint", directory.endpoint(), "--table", directory.table()]).args(arguments);
    command
}

/// Runs the command. Returns what it prints, or as an error its messages.
pub(crate) async fn run(directory: &Directory, arguments: &[&str]) -> Result<String, String> {
    let ended = command(directory, arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if ended.status.success() {
        Ok(text(ended.stdout))
    } else {
        Err(text(ended.stderr) + &text(ended.stdout))
    }
}

/// Runs the command and returns its output as JSON.
pub(crate) async fn json(directory: &Directory, arguments: &[&str]) -> Value {
    let printed = run(directory, &[&["--json"], arguments].concat()).await.unwrap();
    serde_json::from_str(&printed).unwrap()
}

/// Creates a token and returns it.
pub(crate) async fn token(directory: &Directory, arguments: &[&str]) -> String {
    let made = json(directory, &[&["token", "create"], arguments].concat()).await;
    made["token"].as_str().unwrap().to_owned()
}
