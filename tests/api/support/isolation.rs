//! What a request of one tenant does in DynamoDB is all in partitions of that tenant:
//! asserted under the SDK, in every test. And what it says of another tenant's
//! resources is what it says of those that nobody has.

use scim_lambda::auth::Token;
use scim_lambda::scim::policy::Policy;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, Directory, TOKEN};
use crate::support::permissions;

tokio::task_local! {
    /// What the partitions of the request begin with.
    static PARTITIONS: String;
}

/// Does the work of this event, in which no key may be another tenant's.
pub(crate) async fn watch<T>(event: &Value, work: impl Future<Output = T>) -> T {
    match tenant(event) {
        Some(tenant) => PARTITIONS.scope(format!("{tenant}#"), work).await,
        None => work.await,
    }
}

/// The tenant of the token; of an access token, that of the path.
fn tenant(event: &Value) -> Option<String> {
    let headers = event["headers"].as_object()?;
    let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = header?.1.as_str()?.trim().split_once(' ')?.1.trim();
    if let Some(token) = Token::parse(token) {
        return Some(token.tenant.as_str().to_owned());
    }
    let (before, _) = event["rawPath"].as_str()?.split_once("/scim/v2")?;
    Some(before.rsplit('/').next()?.to_owned())
}

/// Of each call that the function sends.
pub(crate) fn assert_own(operation: &str, request: &Value) {
    permissions::record(operation, request);
    let _outside = PARTITIONS.try_with(|own| {
        let mut keys = Vec::new();
        partitions(request, &mut keys);
        assert!(!keys.is_empty(), "{operation} without a key: {request}");
        for key in keys {
            assert!(key.starts_with(own), "{operation} in {key}, which is not one of {own}: {request}");
        }
    });
}

/// The values of keys: in items, in conditions of queries, in the parameters of statements.
fn partitions(request: &Value, keys: &mut Vec<String>) {
    match request {
        Value::Object(members) => {
            if let (Some(text), Some(parameters)) =
                (request["Statement"].as_str(), request["Parameters"].as_array())
            {
                let before = text.split('?').map(|part| part.trim_end_matches([' ', '=', ':', '\'']));
                let named = before.zip(parameters).filter(|(part, _)| part.ends_with("pk"));
                keys.extend(named.map(|(_, value)| value["S"].as_str().unwrap().to_owned()));
                return;
            }
            for (name, value) in members {
                match (name.as_str(), value["S"].as_str()) {
                    ("pk" | ":pk" | "change_pk" | "member_pk", Some(key)) => keys.push(key.to_owned()),
                    _ => partitions(value, keys),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| partitions(element, keys)),
        _ => {}
    }
}

#[test]
fn a_key_is_found_wherever_a_call_has_it() {
    for (request, expected) in [
        (json!({ "Key": { "pk": { "S": "a#User" }, "sk": { "S": "b#x" } } }), "a#User"),
        (json!({ "ExpressionAttributeValues": { ":pk": { "S": "a#Group" } } }), "a#Group"),
        (
            json!({ "Item": { "pk": { "S": "a#1" }, "member_pk": { "S": "a#2" }, "change_pk": { "S": "a#3" } } }),
            "a#1 a#2 a#3",
        ),
        (
            json!({ "Statements": [{ "Statement": r#"DELETE FROM "t" WHERE pk = ? AND sk = ?"#, "Parameters": [{ "S": "a#1" }, { "S": "b#2" }] }] }),
            "a#1",
        ),
        (
            json!({ "Statement": "INSERT INTO \"t\" VALUE {'sk': ?, 'member_pk': ?, 'pk': ?}", "Parameters": [{ "S": "b#1" }, { "S": "a#2" }, { "S": "a#3" }] }),
            "a#2 a#3",
        ),
    ] {
        let mut keys = Vec::new();
        partitions(&request, &mut keys);
        assert_eq!(keys.join(" "), expected, "{request}");
    }
}

/// What a stranger is told of an id, with the id left out.
async fn told(client: &Client, (method, path, body): (&str, &str, &str), id: &str) -> String {
    let answer: Answer =
        client.request(method, &path.replace("{id}", id)).body(&body.replace("{id}", id)).send().await;
    answer.to_string().replace(id, "{id}")
}

#[tokio::test]
async fn what_another_tenant_has_is_what_nobody_has_on_every_route() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let nobody = "00000000-0000-4000-8000-00000000dead";
    let demo = directory.client();
    let other = demo.with_token(&TOKEN.replace("demo", "other"));
    let bo = other
        .post("/Users", r#"{"userName":"bo","externalId":"x","emails":[{"value":"bo@example.com"}]}"#)
        .await;
    let member = json!({ "displayName": "Crew", "members": [{ "value": bo.id() }] }).to_string();
    let crew = other.post("/Groups", &member).await;
    let own = demo.post("/Users", r#"{"userName":"ann"}"#).await.id().to_owned();
    let all = demo.post("/Groups", r#"{"displayName":"All"}"#).await.id().to_owned();
    let theirs = [other.get(&bo.path()).await.to_string(), other.get(&crew.path()).await.to_string()];
    let members = |op: &str| {
        format!(r#"{{"Operations":[{{"op":"{op}","path":"members","value":[{{"value":"{{id}}"}}]}}]}}"#)
    };
    let bulk = |operation: &str| format!(r#"{{"Operations":[{operation}]}}"#);
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let (in_all, of_own) = (format!("/Groups/{all}"), format!("/Users/{own}"));
    let deactivate = r#"{"Operations":[{"op":"replace","path":"active","value":false}]}"#;
    let rename = r#"{"Operations":[{"op":"replace","path":"displayName","value":"Mine"}]}"#;
    let put = r#"{"userName":"eve","displayName":"Eve"}"#;
    let mut asked: Vec<(&str, String, String)> = Vec::new();
    for endpoint in ["/Users", "/Groups"] {
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"] {
            let body = match (method, endpoint) {
                ("PATCH", "/Users") => deactivate,
                ("PATCH", _) => rename,
                _ => put,
            };
            asked.push((method, format!("{endpoint}/{{id}}"), body.to_owned()));
        }
        for filter in [
            "id+eq+%22{id}%22",
            "members.value+eq+%22{id}%22",
            "groups.value+eq+%22{id}%22",
            "not+(id+ne+%22{id}%22)",
        ] {
            asked.push(("GET", format!("{endpoint}?filter={filter}"), String::new()));
        }
        asked.push(("POST", format!("{endpoint}/.search"), r#"{"filter":"id eq \"{id}\""}"#.to_owned()));
    }
    asked.push(("GET", "/?filter=id+eq+%22{id}%22".to_owned(), String::new()));
    asked.push(("POST", "/.search".to_owned(), r#"{"filter":"id eq \"{id}\""}"#.to_owned()));
    for path in ["/Schemas/{id}", "/ResourceTypes/{id}", "/Me/{id}", "/{id}", "/Users/{id}/{id}"] {
        asked.push(("GET", path.to_owned(), String::new()));
    }
    asked.push(("PATCH", in_all.clone(), members("add")));
    asked.push(("PATCH", in_all.clone(), members("replace")));
    asked.push(("PATCH", in_all.clone(), members("remove")));
    asked.push(("PUT", in_all.clone(), r#"{"displayName":"All","members":[{"value":"{id}"}]}"#.to_owned()));
    asked.push((
        "PATCH",
        of_own.clone(),
        format!(
            r#"{{"Operations":[{{"op":"add","path":"{enterprise}:manager","value":{{"value":"{{id}}"}}}}]}}"#
        ),
    ));
    asked.push(("GET", format!("{of_own}?attributes=groups,manager"), String::new()));
    for operation in [
        r#"{"method":"DELETE","path":"/Users/{id}"}"#.to_owned(),
        format!(r#"{{"method":"PUT","path":"/Users/{{id}}","data":{put}}}"#),
        format!(r#"{{"method":"PATCH","path":"/Users/{{id}}","data":{deactivate}}}"#),
        format!(r#"{{"method":"PATCH","path":"/Groups/{{id}}","data":{rename}}}"#),
        format!(r#"{{"method":"PATCH","path":"{in_all}","data":{}}}"#, members("add")),
        format!(
            r#"{{"method":"PATCH","path":"{in_all}","data":{}}}"#,
            members("add").replace("{id}", "bulkId:{id}")
        ),
    ] {
        asked.push(("POST", "/Bulk".to_owned(), bulk(&operation)));
    }
    for (method, path, body) in &asked {
        for id in [bo.id(), crew.id()] {
            let request = (*method, path.as_str(), body.as_str());
            // Twice, so that what the first has changed is the same for both.
            told(&demo, request, nobody).await;
            let of_nobody = told(&demo, request, nobody).await;
            told(&demo, request, id).await;
            let of_theirs = told(&demo, request, id).await;
            assert_eq!(untimed(&of_theirs), untimed(&of_nobody), "{method} {path} {body}");
        }
    }
    // What they have is as it was, and values that they have are free.
    assert_eq!(theirs, [other.get(&bo.path()).await.to_string(), other.get(&crew.path()).await.to_string()]);
    let same = demo
        .post("/Users", r#"{"userName":"bo","externalId":"x","emails":[{"value":"bo@example.com"}]}"#)
        .await;
    assert_eq!(same.status, 201, "{same}");
    assert_eq!(other.get("/Users").await.body["totalResults"], 1);
    // A cursor is sealed for its tenant.
    demo.post("/Users", r#"{"userName":"jo"}"#).await;
    let cursor = demo.get("/Users?cursor&count=1").await.body["nextCursor"].as_str().unwrap().to_owned();
    let refused = other.get(&format!("/Users?count=1&cursor={cursor}")).await;
    assert_eq!((refused.status, &refused.body["scimType"]), (400, &json!("invalidCursor")), "{refused}");
    // Neither is anybody else's user behind /Me.
    let me = directory.client_of(bo.id()).await;
    assert_eq!(me.get("/Me").await.status, 404);
}

/// An answer without the versions and times that a change of the own resource moves.
fn untimed(answer: &str) -> String {
    let body = answer.split_once('{').map_or("", |(_, body)| body);
    let status = answer.split(' ').next().unwrap_or_default();
    let parts: Vec<&str> =
        body.split(',').filter(|part| !part.contains("lastModified") && !part.contains("W/")).collect();
    format!("{status} {}", parts.join(","))
}
