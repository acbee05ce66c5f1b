//! What the log says of a request that is answered 401, and the answer does not.

use jsonwebtoken::{Algorithm, Header};
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{Oauth, TenantName, TokenRecord};
use serde_json::{Value, json};

use crate::support::client::{Client, Request};
use crate::support::directory::{Directory, TOKEN};
use crate::support::recording::Recording;
use crate::support::signer::{Signer, claims, pasted, settings, with, without};

/// Sends a request, which must be answered 401, and returns its line in the log.
async fn refused(request: Request) -> Value {
    let recording = Recording::new();
    let answer = request.send().await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(
        answer.detail(),
        "the bearer token is missing or not valid: send Authorization: Bearer <token>"
    );
    let text = recording.text();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.rfind(|line| line["message"] == "request").unwrap()
}

/// Returns the reason, the tenant and the key id that the log names.
async fn reason(client: &Client, base: &str, authorization: &str) -> [Value; 3] {
    let request = client.request_at("GET", base, "/Users").header("authorization", authorization);
    let line = refused(request).await;
    assert_eq!(line["unauthorized"], 1, "{line}");
    ["refused", "claimed_tenant", "key_id"].map(|name| line[name].clone())
}

#[tokio::test]
async fn the_log_names_the_reason_of_a_refused_token() {
    let directory = Directory::new().await;
    for tenant in ["off", "other"] {
        directory.add_tenant(tenant, Policy::default()).await;
    }
    let store = directory.store();
    let demo = TenantName::parse("demo").unwrap();
    let now = directory.now();
    for (kid, expires) in [("ended", Some(now)), ("gone", None)] {
        let record = TokenRecord { expires, ..TokenRecord::new(&"0".repeat(64), now) };
        store.create_token(&demo, kid, &record).await.unwrap();
    }
    store.revoke_token(&demo, "gone", now).await.unwrap();
    store.set_disabled(&TenantName::parse("off").unwrap(), Some(now)).await.unwrap();
    let client = directory.client();
    let of =
        |tenant: &str, kid: &str, digit: &str| format!("Bearer scim_{tenant}_{kid}_{}", digit.repeat(64));
    for (authorization, expected) in [
        (String::new(), json!(["missing", null, null])),
        ("Basic c2NpbTpzY2lt".to_owned(), json!(["missing", null, null])),
        (TOKEN.to_owned(), json!(["missing", null, null])),
        ("Bearer ".to_owned(), json!(["missing", null, null])),
        ("Bearer letmein".to_owned(), json!(["malformed", null, null])),
        ("Bearer scim_demo_events".to_owned(), json!(["malformed", null, null])),
        (of("nobody", "events", "0"), json!(["unknown_key", "nobody", "events"])),
        (of("demo", "none", "0"), json!(["unknown_key", "demo", "none"])),
        (of("demo", "events", "1"), json!(["wrong_secret", "demo", "events"])),
        (of("demo", "ended", "0"), json!(["expired", "demo", "ended"])),
        (of("demo", "ended", "1"), json!(["wrong_secret", "demo", "ended"])),
        (of("demo", "gone", "0"), json!(["revoked", "demo", "gone"])),
        (of("off", "events", "0"), json!(["disabled", "off", "events"])),
    ] {
        assert_eq!(json!(reason(&client, "/scim/v2", &authorization).await), expected, "{authorization}");
    }
    // Without a token the URL may name a tenant.
    assert_eq!(json!(reason(&client, "/demo/scim/v2", "").await), json!(["missing", "demo", null]));
    assert_eq!(
        json!(reason(&client, "/other/scim/v2", &format!("Bearer {TOKEN}")).await),
        json!(["audience", "demo", "events"])
    );
}

#[tokio::test]
async fn the_log_names_the_reason_of_a_refused_access_token() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let [signer, stranger] = [(); 2].map(|()| Signer::new("k", Algorithm::ES256));
    let unknown = Signer::new("k2", Algorithm::ES256);
    let oauth = settings(pasted(&[&signer]));
    let oauth = Oauth { scope: Some("scim".to_owned()), max_age: Some(7_200), ..oauth };
    directory.set_oauth("demo", &oauth).await;
    let client = directory.client();
    let good = with(&claims(&directory), "scope", json!("scim"));
    let now = directory.now().as_second();
    let typ = Header { typ: Some("logout+jwt".to_owned()), ..Header::new(Algorithm::ES256) };
    for (token, expected) in [
        (signer.sign_with(typ, &good), "malformed"),
        (signer.sign(&with(&good, "nonce", json!("n"))), "malformed"),
        (signer.sign(&with(&good, "exp", json!("tomorrow"))), "malformed"),
        (unknown.sign(&good), "unknown_key"),
        (stranger.sign(&good), "signature"),
        (signer.sign(&with(&good, "iss", json!("https://login.example.com/evil"))), "issuer"),
        (signer.sign(&with(&good, "aud", json!("api://other"))), "audience"),
        (signer.sign(&with(&good, "sub", json!("end user"))), "client"),
        (signer.sign(&without(&good, "scope")), "scope"),
        (signer.sign(&with(&good, "exp", json!(now - 61))), "expired"),
        (signer.sign(&with(&good, "exp", json!(now + 7_300))), "expired"),
        (signer.sign(&without(&good, "iat")), "expired"),
        (signer.sign(&with(&good, "nbf", json!(now + 3_600))), "not_yet"),
    ] {
        let [reason, tenant, key_id] = reason(&client, "/demo/scim/v2", &format!("Bearer {token}")).await;
        assert_eq!((reason, tenant), (json!(expected), json!("demo")), "{token}");
        assert_eq!(key_id, if expected == "unknown_key" { "k2" } else { "k" });
    }
    let token = format!("Bearer {}", signer.sign(&good));
    let elsewhere =
        [reason(&client, "/other/scim/v2", &token).await, reason(&client, "/scim/v2", &token).await];
    assert_eq!(json!(elsewhere), json!([["unknown_key", "other", "k"], ["unknown_key", null, "k"]]));
}

/// All of these are a client's text: bounded, on one line, and never the token itself.
#[tokio::test]
async fn the_log_of_a_refused_request_holds_no_secret_and_little_text() {
    let directory = Directory::new().await;
    let client = directory.client();
    let secret = "1".repeat(64);
    let event = |kind: &str| {
        let context = match kind {
            "rest" => json!({ "stage": "prod", "httpMethod": "GET", "path": "/prod/scim/v2/Users",
                              "identity": { "sourceIp": "203.0.113.7" } }),
            _ => json!({ "stage": "$default", "http": { "method": "GET", "sourceIp": "203.0.113.7" } }),
        };
        let headers = json!({
            "authorization": format!("Bearer scim_demo_events_{secret}"),
            "user-agent": format!("okta\u{1b}[31m\u{7f} {}", "é".repeat(400)),
        });
        json!({ "httpMethod": "GET", "path": "/scim/v2/Users", "rawPath": format!("/scim/v2/Users/{}", "é".repeat(400)),
                "headers": headers, "requestContext": context, "isBase64Encoded": false })
    };
    for kind in ["rest", "http"] {
        let mut event = event(kind);
        if kind == "http" {
            event.as_object_mut().unwrap().remove("httpMethod");
        }
        let recording = Recording::new();
        assert_eq!(client.send(event).await.status, 401);
        let text = recording.text();
        assert!(!text.contains("1111111111111111"), "{text}");
        let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&line["source_ip"], &line["status"]), (&json!("203.0.113.7"), &json!(401)), "{line}");
        if let Some(agent) = line["user_agent"].as_str() {
            assert!(agent.len() <= 256 && !agent.contains(char::is_control), "{agent}");
        }
        assert!(line["path"].as_str().unwrap().len() <= 256, "{line}");
    }
    let signer = Signer::new("k", Algorithm::ES256);
    let header = Header { kid: Some(format!("a\nb{}", "c".repeat(400))), ..Header::new(Algorithm::ES256) };
    let token = jsonwebtoken::encode(&header, &json!({}), &signer.key).unwrap();
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let [reason, _, key_id] = reason(&client, "/demo/scim/v2", &format!("Bearer {token}")).await;
    assert_eq!((reason, key_id), (json!("unknown_key"), json!(format!("ab{}", "c".repeat(61)))));
}

/// An accepted request is not one of these.
#[tokio::test]
async fn the_fields_of_a_refusal_are_in_no_other_line() {
    let client = Client::new().await;
    let recording = Recording::new();
    let request = client.request("GET", "/Users/none").header("user-agent", "okta");
    assert_eq!(request.send().await.status, 404);
    let text = recording.text();
    for name in ["refused", "unauthorized", "claimed_tenant", "key_id", "source_ip", "user_agent"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

/// A token is good for the URLs of its tenant. A path that names no tenant is a base path of a
/// custom domain.
#[tokio::test]
async fn a_token_is_refused_under_the_url_of_another_tenant() {
    let directory = Directory::new().await;
    for tenant in ["other", "off", "prod"] {
        directory.add_tenant(tenant, Policy::default()).await;
    }
    directory.store().set_disabled(&TenantName::parse("off").unwrap(), Some(directory.now())).await.unwrap();
    let client = directory.client();
    let event = |path: &str, stage: &str| {
        json!({ "rawPath": path, "headers": { "authorization": format!("Bearer {TOKEN}") },
                "requestContext": { "stage": stage, "http": { "method": "GET" } }, "isBase64Encoded": false })
    };
    for (path, stage, status) in [
        ("/scim/v2/Users", "$default", 200),
        ("/demo/scim/v2/Users", "$default", 200),
        ("/prod/demo/scim/v2/Users", "prod", 200),
        ("/prod/scim/v2/Users", "prod", 200),
        ("/identity/scim/v2/Users", "$default", 200),
        ("/other/scim/v2/Users", "$default", 401),
        ("/prod/other/scim/v2/Users", "prod", 401),
        ("/other/SCIM/V2/Users", "$default", 401),
        ("/prod/scim/v2/Users", "$default", 401),
        ("/off/scim/v2/Users", "$default", 401),
        ("/demo/off/scim/v2/Users", "$default", 401),
    ] {
        assert_eq!(client.send(event(path, stage)).await.status, status, "{path} {stage}");
    }
    // The tenant of the URL is read once a minute.
    client.faults.forget();
    assert_eq!(client.send(event("/other/scim/v2/Users", "$default")).await.status, 401);
    assert_eq!(client.faults.calls(), Vec::<String>::new());
}
