//! The life of a user: creation, replacement, deletion.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::builders::{DEACTIVATE, SARAH};
use crate::support::client::Client;

#[tokio::test]
async fn a_user_is_created_renamed_and_deactivated_and_a_stale_writer_loses() {
    let client = Client::new().await;
    let created = client.post("/Users", SARAH).await;
    assert_snapshot!(created, @r#"201 W/"1" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Jones","givenName":"Sarah"},"active":true,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:01Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"1\""}}"#);
    assert_eq!(created.header("location"), created.body["meta"]["location"].as_str());
    let user = created.path();

    let smith = SARAH.replace("Jones", "Smith");
    let renamed = client.request("PUT", &user).if_match("\"1\"").body(&smith).send().await;
    assert_snapshot!(renamed, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Smith","givenName":"Sarah"},"active":true,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:02Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"2\""}}"#);

    let deactivated = client.request("PATCH", &user).if_match("\"2\"").body(DEACTIVATE).send().await;
    assert_snapshot!(deactivated, @r#"200 W/"3" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","externalId":"00u987zyx654wvu321","userName":"sarah.jones@example.com","name":{"familyName":"Smith","givenName":"Sarah"},"active":false,"emails":[{"value":"sarah.jones@example.com","type":"work"}],"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:03Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"3\""}}"#);

    let lost = client.request("PUT", &user).if_match("\"1\"").body(SARAH).send().await;
    assert_snapshot!(lost, @r#"412 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"412","detail":"the version of the resource does not satisfy If-Match or If-None-Match: read it and repeat the change"}"#);
    assert_eq!(client.get(&user).await.body, deactivated.body);
}

#[tokio::test]
async fn a_put_replaces_the_whole_user() {
    let client = Client::new().await;
    let created = client.post("/Users", SARAH).await;
    let user = created.path();
    // Attributes of an answer that a client sends back change nothing.
    let mut echo = created.body.clone();
    echo["groups"] = json!([{ "value": "g" }]);
    echo["meta"]["version"] = json!("W/\"7\"");
    for same in [SARAH.to_owned(), created.body.to_string(), echo.to_string()] {
        let put = client.put(&user, &same).await;
        assert_eq!(put.to_string(), created.to_string().replacen("201", "200", 1));
    }
    assert_snapshot!(client.put(&user, r#"{"userName":"sarah.jones@example.com"}"#).await, @r#"200 W/"2" {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"00000000-0000-4000-8000-000000000001","userName":"sarah.jones@example.com","active":true,"meta":{"resourceType":"User","created":"2026-01-31T09:00:01Z","lastModified":"2026-01-31T09:00:05Z","location":"https://example.com/scim/v2/Users/00000000-0000-4000-8000-000000000001","version":"W/\"2\""}}"#);
    for filter in [r#"externalId eq "00u987zyx654wvu321""#, r#"emails.value eq "sarah.jones@example.com""#] {
        assert_eq!(client.find(filter).await.body["totalResults"], 0, "{filter}");
    }
}

#[tokio::test]
async fn a_name_is_free_again_when_its_user_is_deleted() {
    let client = Client::new().await;
    let first = client.post("/Users", SARAH).await;
    let gone = client.delete(&first.path()).await;
    assert_snapshot!(gone, @"204 -");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let body = if method == "PUT" { SARAH } else { DEACTIVATE };
        let answer = client.request(method, &first.path()).body(body).send().await;
        assert_eq!(answer.status, 404, "{method}: {answer}");
    }
    assert_eq!(client.find(r#"userName eq "sarah.jones@example.com""#).await.body["totalResults"], 0);
    assert_eq!(client.find(r#"emails.value eq "sarah.jones@example.com""#).await.body["totalResults"], 0);
    assert_eq!(client.get("/Users").await.body["totalResults"], 0);

    let second = client.post("/Users", SARAH).await;
    assert_eq!(second.status, 201);
    assert_ne!(second.id(), first.id());
    assert_eq!(client.get(&first.path()).await.status, 404);
}
