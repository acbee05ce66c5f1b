//! The life of a user.

use insta::assert_snapshot;

use crate::client::Client;

const SARAH: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"00u987zyx654wvu321","active":true,
    "userName":"sarah.jones@example.com","name":{"givenName":"Sarah","familyName":"Jones"},
    "emails":[{"value":"sarah.jones@example.com","type":"work"}]}"#;

#[tokio::test]
async fn a_user_is_created_renamed_and_deactivated_and_a_stale_writer_loses() {
    let client = Client::new().await;
    let created = client.post("/Users", SARAH).await;
    assert_snapshot!(created, @"");
    assert_eq!(created.header("location"), created.body["meta"]["location"].as_str());
    let user = created.path();

    let smith = SARAH.replace("Jones", "Smith");
    let renamed = client.request("PUT", &user).if_match("\"1\"").body(&smith).send().await;
    assert_snapshot!(renamed, @"");

    let deactivate = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations":[{"op":"replace","path":"active","value":false}]}"#;
    let deactivated = client.request("PATCH", &user).if_match("\"2\"").body(deactivate).send().await;
    assert_snapshot!(deactivated, @"");

    let lost = client.request("PUT", &user).if_match("\"1\"").body(SARAH).send().await;
    assert_snapshot!(lost, @"");
    assert_eq!(client.get(&user).await.body, deactivated.body);
}
