//! Users and groups that a test creates through the API.

use serde_json::json;

use crate::support::builders::group;
use crate::support::client::Client;

/// Creates `count` users and returns their ids.
pub(crate) async fn users(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let user = client.post("/Users", &json!({ "userName": format!("user{n}") }).to_string()).await;
        ids.push(user.id().to_owned());
    }
    ids
}

/// Creates users named `n<number>`, whose other attributes derive from the number.
pub(crate) async fn add_users(client: &Client, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        let mut user = json!({
            "userName": format!("n{n:03}@Example.com"),
            "externalId": format!("e{}", n % 7),
            "active": n % 2 == 0,
            "emails": [{ "value": format!("n{n}@example.com"), "type": "work" }, { "value": format!("shared{}@example.com", n % 3), "type": "home" }],
        });
        if n % 4 != 0 {
            user["title"] = format!("title {}", 9 - n % 10).into();
        }
        let created = client.post("/Users", &user.to_string()).await;
        assert_eq!(created.status, 201, "{created}");
    }
}

/// Creates a group and returns its path.
pub(crate) async fn create(client: &Client, name: &str, members: &[&str]) -> String {
    let answer = client.post("/Groups", &group(name, members)).await;
    assert_eq!(answer.status, 201, "{answer}");
    answer.path()
}

/// Returns the id at the end of a path.
pub(crate) fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Creates Anna, Bert and Cleo, and returns their ids.
pub(crate) async fn add_three(client: &Client) -> [String; 3] {
    let mut ids = Vec::new();
    for user in [
        json!({
            "userName": "Anna@Example.com", "externalId": "A-1", "active": true, "title": "Guide",
            "emails": [{ "value": "Anna@Example.com", "type": "work" }, { "value": "home@example.net", "type": "home" }],
        }),
        json!({
            "userName": "bert", "externalId": "a-1", "active": false,
            "emails": [{ "value": "home@example.net", "type": "work" }, { "value": "HOME@example.net", "type": "home" }],
        }),
        json!({ "userName": "cleo", "externalId": "A-1" }),
    ] {
        ids.push(client.post("/Users", &user.to_string()).await.id().to_owned());
    }
    ids.try_into().unwrap()
}
