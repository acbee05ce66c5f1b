//! Isolation of tenants: a request never shows or changes resources of another tenant.

use scim_lambda::scim::policy::Policy;
use serde_json::json;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};

#[tokio::test]
async fn a_tenant_never_sees_the_users_of_another() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    directory.add_tenant("dem", Policy::default()).await;
    let demo = directory.client();
    let bo =
        json!({ "userName": "bo", "externalId": "1", "emails": [{ "value": "bo@example.com" }] }).to_string();
    let bos = demo.post("/Users", &bo).await;
    let user = bos.path();

    for tenant in ["other", "dem"] {
        let other = demo.with_token(&TOKEN.replace("demo", tenant));
        let patch = r#"{"Operations":[{"op":"replace","path":"active","value":false}]}"#;
        for (method, body) in [("GET", ""), ("PUT", bo.as_str()), ("PATCH", patch), ("DELETE", "")] {
            let answer = other.request(method, &user).body(body).send().await;
            assert_eq!(answer.status, 404, "{tenant} {method}: {answer}");
        }
        let id = bos.id();
        let own = other.post("/Users", &bo).await;
        assert_eq!(own.status, 201, "{own}");
        for query in [
            String::new(),
            "?filter=userName+eq+%22bo%22".to_owned(),
            "?filter=externalId+eq+%221%22".to_owned(),
            "?filter=emails.value+eq+%22bo@example.com%22".to_owned(),
            "?filter=active+ne+false".to_owned(),
            "?filter=meta.created+pr+and+userName+sw+%22b%22".to_owned(),
            "?startIndex=1&count=100&sortBy=userName".to_owned(),
        ] {
            let list = other.get(&format!("/Users{query}")).await;
            assert_eq!(
                (list.list("id").as_str(), &list.body["totalResults"]),
                (own.id(), &json!(1)),
                "{query}"
            );
        }
        assert_eq!(other.find(&format!("id eq {id:?}")).await.body["totalResults"], 0);
        let taken = other.post("/Users", &bo).await;
        assert_eq!(taken.status, 409);
        assert!(taken.detail().contains(own.id()) && !taken.detail().contains(id), "{taken}");
        assert_eq!(other.get("/Users?startIndex=2").await.list("id"), "");
    }
    assert_eq!(demo.get(&user).await.body, bos.body);
    assert_eq!(demo.get("/Users").await.body["totalResults"], 1);
    for id in ["..%2Fother", "%23", "demo%23User", "%00", "%F0%9F%98%80", "%FF", &"x".repeat(5_000)] {
        assert_eq!(demo.get(&format!("/Users/{id}")).await.status, 404, "{id}");
    }
}

/// These identifiers might lead to another tenant. `support::isolation` asserts below the SDK that
/// they do not.
#[tokio::test]
async fn no_key_outside_the_tenant_reaches_dynamodb() {
    let client = Client::new().await;
    let user = client.post("/Users", r#"{"userName":"other#User","externalId":"other#tenant"}"#).await.path();
    client.patch(&user, r#"{"Operations":[{"op":"replace","path":"userName","value":"other#x"}]}"#).await;
    client.put(&user, r#"{"userName":"!","emails":[{"value":"other#User#x"}]}"#).await;
    for path in ["/Users/other%23User", "/Users/..%2F..%2Fother%23User", "/Users/other#User"] {
        client.get(path).await;
        client.delete(path).await;
    }
    for filter in [
        r#"userName eq "other#User""#,
        r#"userName sw "other#""#,
        r#"externalId eq "other#tenant""#,
        r#"id eq "other#User""#,
        r#"emails eq "other#User#x" or title pr"#,
        r#"meta.lastModified ge "2026-01-01T00:00:00Z""#,
    ] {
        client.find(filter).await;
    }
    client.get("/Users?startIndex=2&sortBy=userName").await;
    client.delete(&user).await;
}

/// Returns the answer to a request about this id, with the id left out.
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
    asked.push(("GET", format!("{of_own}?attributes=groups"), String::new()));
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
            // Each is sent twice, so that both ids meet the changes that the first has made.
            told(&demo, request, nobody).await;
            let of_nobody = told(&demo, request, nobody).await;
            told(&demo, request, id).await;
            let of_theirs = told(&demo, request, id).await;
            assert_eq!(untimed(&of_theirs), untimed(&of_nobody), "{method} {path} {body}");
        }
    }
    // The resources of the other tenant are unchanged, and their values are free here.
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
    // A user of another tenant is not found as /Me either.
    let me = directory.client_of(bo.id()).await;
    assert_eq!(me.get("/Me").await.status, 404);
}

/// Returns the answer without versions and times, which a change of the own resource moves.
fn untimed(answer: &str) -> String {
    let body = answer.split_once('{').map_or("", |(_, body)| body);
    let status = answer.split(' ').next().unwrap_or_default();
    let parts: Vec<&str> =
        body.split(',').filter(|part| !part.contains("lastModified") && !part.contains("W/")).collect();
    format!("{status} {}", parts.join(","))
}
