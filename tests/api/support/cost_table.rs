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
    let calls = client.faults.calls().join(" ");
    writeln!(table, "{name:<34} {status} {:>4} write {:>5} read  {calls}", units.write, units.read).unwrap();
}
