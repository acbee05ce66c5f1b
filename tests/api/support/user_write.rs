//! The ways to write a user, for tests that disturb each of them.

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::builders::user;
use crate::support::client::{Client, Request};
use crate::support::directory::Directory;

/// A way to write a user. Each takes its own path through the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    Create,
    Replace,
    Deactivate,
    AddTitle,
    AddEmail,
    /// More than have rows of their own.
    AddRoles,
    RemoveRoles,
    Rename,
    Delete,
}

/// Every way to write a user.
pub(crate) const ACTS: [Act; 9] = [
    Act::Create,
    Act::Replace,
    Act::Deactivate,
    Act::AddTitle,
    Act::AddEmail,
    Act::AddRoles,
    Act::RemoveRoles,
    Act::Rename,
    Act::Delete,
];

fn roles(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "value": format!("role{n}") })).collect()
}

impl Act {
    /// Begins the request on the user `name`, which [`Act::prepare`] has left at `path`.
    pub(crate) fn request(self, client: &Client, name: &str, path: &str) -> Request {
        // Without the groups, every call is one of the write.
        let path = &match self {
            Self::Create | Self::Delete => path.to_owned(),
            _ => format!("{path}?excludedAttributes=groups"),
        };
        let change = |operation: Value| {
            client.request("PATCH", path).body(&json!({ "Operations": [operation] }).to_string())
        };
        match self {
            Self::Create => client.request("POST", "/Users").body(&user(name)),
            Self::Replace => {
                client.request("PUT", path).body(&user(name).replace("\"active\":true", "\"active\":false"))
            }
            Self::Deactivate => change(json!({ "op": "replace", "path": "active", "value": false })),
            Self::AddTitle => change(json!({ "op": "add", "path": "name.honorificPrefix", "value": "Dr" })),
            Self::AddEmail => {
                change(json!({ "op": "add", "path": "emails", "value": [{ "value": "second" }] }))
            }
            Self::AddRoles => change(json!({ "op": "add", "path": "roles", "value": roles(33) })),
            Self::RemoveRoles => change(json!({ "op": "replace", "path": "roles", "value": roles(32) })),
            Self::Rename => client.request("PUT", path).body(&user(&format!("{name}-renamed"))),
            Self::Delete => client.request("DELETE", path),
        }
    }

    /// Creates the user that is to be written and returns its path. The token is cached
    /// afterwards, so that every later call to DynamoDB is one of the write.
    pub(crate) async fn prepare(self, client: &Client, name: &str) -> String {
        client.get("/ServiceProviderConfig").await;
        let path = match self {
            Self::Create => "/Users".to_owned(),
            Self::RemoveRoles => {
                let roles = format!(r#"{{"roles":{},"#, Value::from(roles(33)));
                client.create(&user(name).replacen('{', &roles, 1)).await.path()
            }
            _ => client.create(&user(name)).await.path(),
        };
        client.faults.forget();
        path
    }

    /// Returns the call to DynamoDB that writes.
    pub(crate) fn write(self) -> &'static str {
        match self {
            Self::Create
            | Self::AddEmail
            | Self::AddRoles
            | Self::RemoveRoles
            | Self::Rename
            | Self::Delete => "TransactWriteItems",
            Self::Replace | Self::Deactivate | Self::AddTitle => "UpdateItem",
        }
    }

    /// Returns the number of calls to DynamoDB that an undisturbed request takes.
    pub(crate) async fn calls(self, directory: &Directory) -> usize {
        let client = directory.client();
        let path = self.prepare(&client, "undisturbed").await;
        self.has_succeeded(&self.request(&client, "undisturbed", &path).send().await);
        let calls = client.faults.calls().len();
        let renamed = client.find(r#"userName sw "undisturbed""#).await;
        for user in renamed.body["Resources"].as_array().unwrap() {
            client.delete(&format!("/Users/{}", user["id"].as_str().unwrap())).await;
        }
        calls
    }

    /// Returns the start of the answer to a request that succeeds.
    fn success(self) -> &'static str {
        match self {
            Self::Create => "201 W/\"1\"",
            Self::Delete => "204 -",
            _ => "200 W/\"2\"",
        }
    }

    /// Asserts that the request has succeeded.
    pub(crate) fn has_succeeded(self, answer: &Answer) {
        assert!(answer.to_string().starts_with(self.success()), "{self:?}: {answer}");
    }
}
