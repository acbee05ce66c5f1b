//! Tests over the wire: each sends events to the handler, which works over the AWS SDK
//! and an emulator of DynamoDB, and asserts what a client sees.
//!
//! The folders mirror the URL space. A file is one concept. Helpers of more than one file
//! are in `support`.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot continue has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

mod auth;
mod bulk;
mod costs;
mod discovery;
mod events;
mod faults;
mod gateway;
mod groups;
mod limits;
mod operator;
mod panics;
mod query;
mod support;
mod tenants;
mod users;

/// A test file can then be changed, moved or deleted without a look at the others.
#[test]
fn no_test_imports_a_helper_from_a_sibling() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let files = rust_files(&folder);
    assert!(files.len() > 50, "{files:?}");
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(&folder).unwrap().display();
        found.extend(foreign_paths(&text).into_iter().map(|path| format!("{shown}: {path}")));
    }
    assert!(found.is_empty(), "move the helper to tests/api/support:\n{}", found.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the paths that lead into this crate and not into `support`.
fn foreign_paths(text: &str) -> Vec<&str> {
    let (own, parent) = (concat!("crate", "::"), concat!("super", "::"));
    let leads_away = |line: &&str| {
        line.contains(parent) || line.split(own).skip(1).any(|path| !path.starts_with("support::"))
    };
    text.lines().map(str::trim).filter(leads_away).collect()
}
