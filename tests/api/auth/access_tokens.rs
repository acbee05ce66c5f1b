//! Access tokens signed by the authorization server of a tenant.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use scim_lambda::config::Config;
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{Keys, Oauth};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::signer::{ISSUER, Signer, claims, pasted, settings, with, without};

const INVALID_TOKEN: &str = r#"Bearer realm="scim", error="invalid_token""#;

/// A server that publishes keys and counts requests.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Option<Vec<Jwk>>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(keys: Vec<Jwk>) -> Self {
        let keys = Arc::new(Mutex::new(Some(keys)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (published, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let keys = published.lock().unwrap().clone();
            async move {
                match keys {
                    Some(keys) => (http::StatusCode::OK, serde_json::to_string(&JwkSet { keys }).unwrap()),
                    None => (http::StatusCode::BAD_GATEWAY, String::new()),
                }
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await });
        Self { url, keys, asked }
    }

    fn publish(&self, keys: Option<Vec<Jwk>>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

pub(super) async fn get_with(client: &Client, token: &str) -> Answer {
    client.with_token(token).request_at("GET", "/demo/scim/v2", "/Users").send().await
}

#[tokio::test]
async fn a_token_by_each_algorithm_lets_in() {
    let directory = Directory::new().await;
    let signers = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
        .map(|algorithm| Signer::new("of-2026", algorithm));
    for signer in &signers {
        directory.set_oauth("demo", &settings(pasted(&[signer]))).await;
        let client = directory.client().with_token(&signer.sign(&claims(&directory)));
        let at = |method, path| client.request_at(method, "/prod/demo/scim/v2", path);
        let name = json!({ "userName": format!("{:?}", signer.algorithm) }).to_string();
        let created = at("POST", "/Users").body(&name).send().await;
        assert_eq!(created.status, 201, "{created}");
        let location = created.header("location").unwrap();
        assert!(location.contains("/prod/demo/scim/v2/Users/"), "{location}");
        assert_eq!(at("GET", &created.path()).send().await.status, 200);
    }
}

/// Behind a proxy that hides the URL, links must lead to the path of the tenant.
#[tokio::test]
async fn links_lead_to_the_path_of_the_tenant() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let mut config = Config::new(directory.table());
    config.base_url = Some("https://scim.example.com/{tenant}/scim/v2".to_owned());
    let client = directory.client_with(config).with_token(&signer.sign(&claims(&directory)));
    let answer = client.request_at("GET", "/demo/scim/v2", "/ResourceTypes/User").send().await;
    assert_eq!(answer.body["meta"]["location"], "https://scim.example.com/demo/scim/v2/ResourceTypes/User");
}

/// RFC 7643 s5: the schemes that the tenant accepts.
#[tokio::test]
async fn an_authorization_server_is_one_of_the_authentication_schemes() {
    let directory = Directory::new().await;
    let schemes = async || {
        let config = directory.client().get("/ServiceProviderConfig").await;
        let schemes = config.body["authenticationSchemes"].as_array().unwrap().clone();
        schemes.iter().map(|scheme| scheme["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(schemes().await, ["oauthbearertoken"]);
    directory.set_oauth("demo", &settings(pasted(&[&Signer::new("k", Algorithm::ES256)]))).await;
    assert_eq!(schemes().await, ["oauthbearertoken", "oauth2"]);
    let config = directory.client().get("/ServiceProviderConfig").await;
    assert!(config.body["authenticationSchemes"][1]["description"].as_str().unwrap().contains(ISSUER));
}

/// The claims are those of each server's documentation for its client-credentials grant.
#[tokio::test]
async fn tokens_of_known_servers_are_understood() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::RS256);
    let mut oauth = settings(pasted(&[&signer]));
    oauth.scope = Some("scim".to_owned());
    directory.set_oauth("demo", &oauth).await;
    let client = directory.client();
    let base = claims(&directory);
    for (server, claims) in [
        ("Okta", with(&with(&base, "cid", json!("0oa1")), "scp", json!(["other", "scim"]))),
        ("Entra ID", with(&with(&base, "appid", json!("6731")), "roles", json!(["scim"]))),
        ("Entra ID, delegated", with(&with(&base, "azp", json!("6731")), "scp", json!("other scim"))),
        ("Cognito", {
            let claims = with(&without(&base, "aud"), "client_id", json!("api://scim"));
            with(&claims, "scope", json!("scim"))
        }),
        ("RFC 9068", with(&with(&base, "aud", json!(["x", "api://scim"])), "scope", json!("scim other"))),
    ] {
        let answer = get_with(&client, &signer.sign(&claims)).await;
        assert_eq!(answer.status, 200, "{server}: {answer}");
    }
    for scope in [json!("scim2"), json!("SCIM"), json!(""), json!(["scim:read"]), json!(null)] {
        let answer = get_with(&client, &signer.sign(&with(&base, "scope", scope.clone()))).await;
        assert_eq!(answer.status, 401, "{scope}");
    }
}

#[tokio::test]
async fn whoever_has_no_good_access_token_gets_the_same_answer() {
    let directory = Directory::new().await;
    directory.add_tenant("other", Policy::default()).await;
    let signer = Signer::new("k", Algorithm::ES256);
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let client = directory.client();
    let good = claims(&directory);
    let token = signer.sign(&good);
    assert_eq!(get_with(&client, &token).await.status, 200);
    let refused = client.with_token("none").get("/Users").await;
    assert_eq!(refused.status, 401);

    let now = directory.now().as_second();
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let encoded = |value: &Value| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let none = encoded(&json!({ "alg": "none", "typ": "JWT" }));
    let public = serde_json::to_vec(&signer.public()).unwrap();
    let hmac = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
    let stranger = Signer::new("k", Algorithm::ES256);
    let unknown = Signer::new("unknown", Algorithm::ES256);
    let tokens = [
        ("alg none", format!("{none}.{body}.")),
        ("alg none, signed", format!("{none}.{body}.{signature}")),
        ("a public key for a secret", encode(&hmac, &good, &EncodingKey::from_secret(&public)).unwrap()),
        ("another audience", signer.sign(&with(&good, "aud", json!("api://other")))),
        ("no audience", signer.sign(&without(&good, "aud"))),
        ("another issuer", signer.sign(&with(&good, "iss", json!("https://login.example.com/evil")))),
        ("no issuer", signer.sign(&without(&good, "iss"))),
        ("expired", signer.sign(&with(&good, "exp", json!(now - 61)))),
        ("without an end", signer.sign(&without(&good, "exp"))),
        ("not yet", signer.sign(&with(&good, "nbf", json!(now + 3_600)))),
        ("a bad signature", format!("{head}.{body}.{}", signature.chars().rev().collect::<String>())),
        ("no signature", format!("{head}.{body}.")),
        ("truncated", token.get(..token.len() - 10).unwrap().to_owned()),
        ("another body", format!("{head}.{}.{signature}", encoded(&with(&good, "sub", json!("root"))))),
        ("another key of that name", stranger.sign(&good)),
        ("an unknown key", unknown.sign(&good)),
        ("10 kB", signer.sign(&with(&good, "more", json!("x".repeat(10_000))))),
        ("not JSON", format!("{}.{}.{signature}", encoded(&json!("x")), encoded(&json!("y")))),
        ("dots", "..".to_owned()),
        ("not base64", "é.é.é".to_owned()),
    ];
    client.faults.forget();
    for (what, token) in &tokens {
        let answer = get_with(&client, token).await;
        assert_eq!(answer.to_string(), refused.to_string(), "{what}");
        // A header must be visible ASCII, so the last of them is no token.
        let challenge = if token.is_ascii() { INVALID_TOKEN } else { r#"Bearer realm="scim""# };
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{what}");
    }
    for base in
        ["/other/scim/v2", "/nobody/scim/v2", "/scim/v2", "/demo%23User/scim/v2", "/Demo/scim/v2", "/demo"]
    {
        let answer = client.with_token(&token).request_at("GET", base, "/Users").send().await;
        assert_eq!(answer.to_string(), refused.to_string(), "{base}");
    }
    // Two tenants were looked up, each once.
    assert_eq!(client.faults.calls(), ["BatchGetItem", "BatchGetItem"]);
}

/// An authorization server signs these for every end user, with the same key and audience
/// (`OpenID` Connect Core s2, Back-Channel Logout s2.4, RFC 8417 s2.2).
#[tokio::test]
async fn a_token_of_another_kind_is_no_access_token() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let client = directory.client();
    let good = claims(&directory);
    let tokens = [
        ("token_use", json!("id"), 401),
        ("token_use", json!("refresh"), 401),
        ("token_use", json!(""), 401),
        ("token_use", json!(1), 401),
        ("token_use", json!("access"), 200),
        ("nonce", json!("n-0S6_WzA2Mj"), 401),
        ("nonce", json!(["n"]), 401),
        ("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"), 401),
        ("c_hash", json!("LDktKdoQak3Pk0cnXxCltA"), 401),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }), 401),
        ("auth_time", json!(1), 200),
    ];
    for (name, value, status) in tokens {
        let answer = get_with(&client, &signer.sign(&with(&good, name, value.clone()))).await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    // RFC 9068 s4: the type of the token. Cognito's have none.
    for (typ, status) in [
        (None, 200),
        (Some("JWT"), 200),
        (Some("jwt"), 200),
        (Some("at+jwt"), 200),
        (Some("AT+JWT"), 200),
        (Some("application/at+jwt"), 200),
        (Some("logout+jwt"), 401),
        (Some("application/logout+jwt"), 401),
        (Some("secevent+jwt"), 401),
        (Some("dpop+jwt"), 401),
        (Some("JWS"), 401),
        (Some(""), 401),
    ] {
        let header = Header { typ: typ.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        let answer = get_with(&client, &signer.sign_with(header, &good)).await;
        assert_eq!(answer.status, status, "{typ:?}");
    }
    // RFC 7515 s4.1.11: an extension that is not understood; the list must not be empty.
    for crit in [vec!["exp"], vec!["b64"], vec!["http://example.com/UNDEFINED"], Vec::new()] {
        let names = crit.iter().map(|name| (*name).to_owned()).collect();
        let header = Header { crit: Some(names), ..Header::new(Algorithm::ES256) };
        let answer = get_with(&client, &signer.sign_with(header, &good)).await;
        assert_eq!(answer.status, 401, "{crit:?}");
    }
}

#[tokio::test]
async fn only_pinned_clients_and_subjects_are_accepted() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    let base = without(&claims(&directory), "sub");
    let all = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(base.clone(), |claims, (name, value)| with(&claims, name, json!(value)))
    };
    let statuses = async |clients: &[&str], subjects: &[&str], tokens: &[&[(&str, &str)]]| {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let pinned = settings(pasted(&[&signer]));
        let pinned = Oauth { clients: texts(clients), subjects: texts(subjects), ..pinned };
        directory.set_oauth("demo", &pinned).await;
        let client = directory.client();
        let mut statuses = Vec::new();
        for token in tokens {
            statuses.push(get_with(&client, &signer.sign(&all(token))).await.status);
        }
        statuses
    };
    // Each claim by itself, and a claim that does not name a client.
    let one: [&[(&str, &str)]; 6] = [
        &[("client_id", "idp")],
        &[("cid", "idp")],
        &[("azp", "idp")],
        &[("appid", "idp")],
        &[("sub", "idp")],
        &[],
    ];
    assert_eq!(statuses(&["idp"], &[], &one).await, [200, 200, 200, 200, 401, 401]);
    assert_eq!(statuses(&["other", "idp"], &[], &one).await, [200, 200, 200, 200, 401, 401]);
    assert_eq!(statuses(&["IDP", "id", "idp "], &[], &one).await, [401; 6]);
    assert_eq!(statuses(&[], &["idp"], &one).await, [401, 401, 401, 401, 200, 401]);
    // Of several claims each must name a pinned client.
    let two: [&[(&str, &str)]; 3] = [
        &[("client_id", "idp"), ("azp", "idp")],
        &[("client_id", "idp"), ("azp", "portal")],
        &[("appid", "idp"), ("cid", "portal")],
    ];
    assert_eq!(statuses(&["idp"], &[], &two).await, [200, 401, 401]);
    assert_eq!(statuses(&["idp", "portal"], &[], &two).await, [200, 200, 200]);
    // A client and a subject must both be right.
    let both: [&[(&str, &str)]; 3] = [
        &[("azp", "idp"), ("sub", "service")],
        &[("azp", "idp"), ("sub", "end user")],
        &[("azp", "portal"), ("sub", "service")],
    ];
    assert_eq!(statuses(&["idp"], &["service"], &both).await, [200, 401, 401]);
}

/// Such settings are in tables from before pinning was required.
#[tokio::test]
async fn an_audience_alone_lets_no_token_in() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    let unpinned = Oauth { subjects: Vec::new(), ..settings(pasted(&[&signer])) };
    directory.set_oauth("demo", &unpinned).await;
    let client = directory.client();
    let good = with(&claims(&directory), "scp", json!("openid"));
    assert_eq!(get_with(&client, &signer.sign(&good)).await.status, 401);
    let scoped = Oauth { scope: Some("openid".to_owned()), ..unpinned };
    directory.set_oauth("demo", &scoped).await;
    assert_eq!(get_with(&directory.client(), &signer.sign(&good)).await.status, 200);
}

#[tokio::test]
async fn a_token_may_be_required_to_be_short_lived() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    let status = async |max_age, iat: Option<i64>, exp: i64| {
        directory.set_oauth("demo", &Oauth { max_age, ..settings(pasted(&[&signer])) }).await;
        let client = directory.client();
        let now = directory.now().as_second();
        let token = with(&without(&claims(&directory), "nbf"), "exp", json!(now + exp));
        let token = match iat {
            Some(iat) => with(&token, "iat", json!(now + iat)),
            None => without(&token, "iat"),
        };
        get_with(&client, &signer.sign(&token)).await.status
    };
    let year = 365 * 86_400;
    assert_eq!(status(None, None, year).await, 200);
    assert_eq!(
        (status(Some(3_600), Some(0), 3_600).await, status(Some(3_600), Some(0), 3_601).await),
        (200, 401)
    );
    assert_eq!(status(Some(3_600), Some(-600), 3_001).await, 401, "the whole life counts");
    assert_eq!(status(Some(3_600), None, 60).await, 401, "unknown life");
    assert_eq!(status(Some(3_600), Some(year), year + 60).await, 401, "a life in the future");
}

#[tokio::test]
async fn the_clocks_of_two_servers_may_differ_by_a_minute() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::EdDSA);
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let client = directory.client();
    let good = claims(&directory);
    let status = async |name, seconds| {
        let claims = with(&good, name, json!(directory.now().as_second() + seconds));
        get_with(&client, &signer.sign(&claims)).await.status
    };
    assert_eq!((status("exp", -59).await, status("exp", -60).await), (200, 401));
    assert_eq!((status("nbf", 60).await, status("nbf", 61).await), (200, 401));
}

#[tokio::test]
async fn the_keys_of_a_server_are_asked_for_when_one_is_new_and_at_most_once_a_minute() {
    let directory = Directory::new().await;
    let [old, new] = ["2025", "2026"].map(|kid| Signer::new(kid, Algorithm::ES256));
    let issuer = Issuer::start(vec![old.public()]).await;
    directory.set_oauth("demo", &settings(Keys::JwksUrl(issuer.url.clone()))).await;
    let client = directory.client();
    let good = claims(&directory);
    let (old_token, new_token) = (old.sign(&good), new.sign(&good));
    for _ in 0..3 {
        assert_eq!(get_with(&client, &old_token).await.status, 200);
    }
    assert_eq!(issuer.asked(), 1);
    // A key that is not published causes no more requests.
    for _ in 0..5 {
        assert_eq!(get_with(&client, &new_token).await.status, 401);
    }
    assert_eq!(issuer.asked(), 0);
    issuer.publish(Some(vec![old.public(), new.public()]));
    directory.pass(60);
    assert_eq!(get_with(&client, &new_token).await.status, 200);
    assert_eq!(get_with(&client, &old_token).await.status, 200);
    assert_eq!(issuer.asked(), 1);
    // A withdrawn key is accepted for a quarter of an hour.
    issuer.publish(Some(vec![new.public()]));
    directory.pass(15 * 60);
    assert_eq!(get_with(&client, &old_token).await.status, 401);
    // While the server is unavailable, its last keys are accepted for a day.
    issuer.publish(None);
    directory.pass(16 * 60);
    let hours =
        |hours: i64| new.sign(&with(&good, "exp", json!(directory.now().as_second() + hours * 3_600)));
    assert_eq!(get_with(&client, &hours(1)).await.status, 200);
    directory.pass(24 * 3_600);
    let answer = get_with(&client, &hours(1)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{answer}");
}

#[tokio::test]
async fn an_access_token_costs_one_read_a_minute() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    directory.set_oauth("demo", &settings(pasted(&[&signer]))).await;
    let client = directory.client();
    let token = signer.sign(&claims(&directory));
    for calls in [1, 0, 0] {
        client.faults.forget();
        let answer = client.with_token(&token).request_at("GET", "/demo/scim/v2", "/Schemas").send().await;
        assert_eq!((answer.status, client.faults.calls().len()), (200, calls));
    }
}

/// Without keys no token can be checked, so the client is asked to retry.
#[tokio::test]
async fn a_server_that_does_not_speak_tls_or_has_no_keys_is_503() {
    let directory = Directory::new().await;
    let signer = Signer::new("k", Algorithm::ES256);
    let token = signer.sign(&claims(&directory));
    let issuer = Issuer::start(Vec::new()).await;
    for url in
        [issuer.url.replace("http://", "https://"), issuer.url.clone(), issuer.url.replace("/keys", "/none")]
    {
        directory.set_oauth("demo", &settings(Keys::JwksUrl(url.clone()))).await;
        let answer = get_with(&directory.client(), &token).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{url}: {answer}");
        assert!(!answer.detail().contains("127.0.0.1"), "{answer}");
    }
}
