//! Bearer tokens: which are accepted, and for how long they are cached.

use insta::assert_snapshot;
use scim_lambda::scim::policy::Policy;
use serde_json::json;

use crate::support::client::Client;
use crate::support::directory::{Directory, TOKEN};
use crate::support::faults::Fault;

#[tokio::test]
async fn whoever_has_no_good_token_gets_the_same_answer() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let client = directory.client();
    let user = client.post("/Users", r#"{"userName":"bo"}"#).await.path();
    let secret = "0".repeat(64);
    let refused = client.request("GET", &user).without_header("authorization").send().await;
    assert_snapshot!(refused, @r#"401 - {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"401","detail":"the bearer token is missing or not valid: send Authorization: Bearer <token>"}"#);
    client.faults.forget();
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Basic c2NpbTpzY2lt",
        TOKEN,
        &format!("Token {TOKEN}"),
        &format!("Bearer{TOKEN}"),
        &format!("Bearer {TOKEN}, Bearer {TOKEN}"),
        &format!("Bearer \"{TOKEN}\""),
        // truncated, and a digit too long
        &format!("Bearer {}", TOKEN.strip_suffix('0').unwrap()),
        &format!("Bearer {TOKEN}0"),
        "Bearer scim_demo_events_",
        "Bearer scim_demo_events",
        "Bearer scim_demo",
        "Bearer scim_",
        // a wrong secret, key id, tenant
        &format!("Bearer scim_demo_events_{}", "1".repeat(64)),
        &format!("Bearer scim_demo_nobody_{secret}"),
        &format!("Bearer scim_nobody_events_{secret}"),
        // names that might lead to another item of the table
        &format!("Bearer scim_demo#tenant_events_{secret}"),
        &format!("Bearer scim_demo_token#events_{secret}"),
        &format!("Bearer scim_Demo_events_{secret}"),
        &format!("Bearer scim__events_{secret}"),
        &format!("Bearer scim_demo__{secret}"),
        &format!("Bearer {}", "x".repeat(10_000)),
        &format!("Bearer scim_demo_events_{}", "0".repeat(10_000)),
        &format!("Bearer scim_{}_events_{secret}", "a".repeat(10_000)),
        &format!("Bearer scim_demo_{}_{secret}", "a".repeat(10_000)),
        "Bearer scim_démo_events_0",
    ] {
        for (method, path) in [("GET", user.as_str()), ("POST", "/Users"), ("GET", "/Schemas"), ("GET", "/x")]
        {
            let answer = client
                .request(method, path)
                .header("authorization", authorization)
                .body(r#"{"userName":"eve"}"#)
                .send()
                .await;
            assert_eq!(answer.to_string(), refused.to_string(), "{method} {path}: {authorization}");
            // RFC 6750 s3.1: an error code only if a token was sent.
            let sent = authorization
                .split_once(' ')
                .is_some_and(|(scheme, token)| scheme == "Bearer" && !token.is_empty());
            let challenge =
                if sent { r#"Bearer realm="scim", error="invalid_token""# } else { r#"Bearer realm="scim""# };
            // The header is visible ASCII, so a client that sends other bytes has sent no token.
            let challenge = if authorization.is_ascii() { challenge } else { r#"Bearer realm="scim""# };
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{authorization}");
        }
    }
    // No request has written. Three keys were looked up within two minutes.
    assert_eq!(client.faults.calls(), ["BatchGetItem"; 3]);
    // The token of another tenant is valid, and its directory has no such user.
    let stranger = client.with_token(&TOKEN.replace("demo", "other"));
    assert_eq!(stranger.get(&user).await.status, 404);
}

#[tokio::test]
async fn a_good_token_may_be_written_like_this() {
    let client = Client::new().await;
    for authorization in
        [format!("bearer {TOKEN}"), format!("BEARER {TOKEN}"), format!("  Bearer   {TOKEN} ")]
    {
        let answer = client.request("GET", "/Users").header("authorization", &authorization).send().await;
        assert_eq!(answer.status, 200, "{authorization}");
    }
}

#[tokio::test]
async fn a_token_is_read_once_a_minute() {
    let client = Client::new().await;
    let reads = async |client: &Client, requests: usize| {
        client.faults.forget();
        for _ in 0..requests {
            client.get("/Schemas").await;
        }
        client.faults.calls().join(" ")
    };
    // Every request is a second later than the one before.
    assert_eq!(reads(&client, 1).await, "BatchGetItem");
    assert_eq!(reads(&client, 59).await, "");
    assert_eq!(reads(&client, 1).await, "BatchGetItem");
    // Neither a wrong secret nor an unknown key causes more reads.
    let wrong = client.with_token(&TOKEN.replace("00", "11"));
    assert_eq!(reads(&wrong, 10).await, "");
    let unknown = client.with_token(&TOKEN.replace("events", "nobody"));
    assert_eq!(reads(&unknown, 10).await, "BatchGetItem");
    let malformed = client.with_token("letmein");
    assert_eq!(reads(&malformed, 10).await, "");
}

#[tokio::test]
async fn an_instance_remembers_that_a_token_is_unknown() {
    let directory = Directory::new().await;
    let client = directory.client();
    let reads = async |kid: usize| {
        client.faults.forget();
        let wrong = client.with_token(&format!("scim_demo_k{kid}_0"));
        assert_eq!(wrong.get("/Users").await.status, 401);
        directory.stop_the_clock();
        client.faults.calls().len()
    };
    assert_eq!((reads(0).await, reads(0).await), (1, 0));
    assert_eq!((reads(1).await, reads(1).await, reads(0).await), (1, 0, 0));
}

/// An item that `DynamoDB` leaves out of a batch for lack of capacity is not missing.
#[tokio::test]
async fn a_token_that_was_left_out_of_an_answer_is_asked_for_again() {
    let directory = Directory::new().await;
    let client = directory.client();
    let keys = ["!", "token#events"].map(|sk| json!({ "pk": { "S": "demo#tenant" }, "sk": { "S": sk } }));
    let left_out = json!({
        "Responses": { directory.table(): [] },
        "UnprocessedKeys": { directory.table(): { "Keys": keys, "ConsistentRead": true } },
    });
    client.faults.inject("BatchGetItem", Fault::Answer(200, left_out));
    assert_eq!(client.get("/Users").await.status, 200);
    assert_eq!(client.faults.calls(), ["BatchGetItem", "BatchGetItem", "Query", "Query"]);
}
