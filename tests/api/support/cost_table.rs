//! The table of a cost contract.

use std::fmt::Write;

use serde_json::Value;

use crate::support::client::Client;

/// Sends a request and adds a line: status, the units that DynamoDB reported, and the calls.
pub(crate) async fn measure(
    table: &mut String,
    client: &Client,
    name: &str,
    method: &str,
    path: &str,
    body: &Value,
) {
    client.faults.forget();
    let mut request = client.request(method, path);
    if !body.is_null() {
        request = request.body(&body.to_string());
    }
    let status = request.send().await.status;
    let units = client.faults.capacity();
    let calls = listed(method, client.faults.calls());
    writeln!(table, "{name:<34} {status} {:>4} write {:>5} read  {calls}", units.write, units.read).unwrap();
}

/// Lists the calls of a request. A long run of one call is written as a number.
pub(crate) fn listed(method: &str, mut calls: Vec<String>) -> String {
    // The groups of a user are read while it is written: in which order depends on the machine.
    if ["PUT", "PATCH"].contains(&method) {
        calls.sort_by_key(|call| call == "Query");
    }
    let mut listed = Vec::new();
    for run in calls.chunk_by(|a, b| a == b) {
        match run.len() {
            long @ 9.. => listed.push(format!("{long} x {}", run[0])),
            _ => listed.extend(run.iter().cloned()),
        }
    }
    listed.join(" ")
}
