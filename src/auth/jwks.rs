//! The keys of authorization servers, fetched when a token needs them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use lambda_http::lambda_runtime::tower::BoxError;
use tokio::sync::Mutex;

use crate::auth::jwt::parse_keys;

/// The longest time for which a withdrawn key is still trusted.
const KEYS_TIME: SignedDuration = SignedDuration::from_mins(15);

/// The same limit while the server does not answer.
const KEYS_END: SignedDuration = SignedDuration::from_hours(24);

/// The shortest interval between two requests to a server, regardless of the tokens received.
const FETCH_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// The time that a request waits for its keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest JWKS document that is accepted. Entra's has about 20 kB.
const MAX_JWKS_BYTES: usize = 256 * 1024;

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<&'static [u8]>>;

/// The keys of each server, by the URL of its document.
#[derive(Default)]
pub(crate) struct Jwks(Mutex<HashMap<String, Fetched>>);

#[derive(Clone, Default)]
struct Fetched {
    tried: Timestamp,
    /// The keys, and the time at which they arrived.
    keys: Option<(Timestamp, Arc<JwkSet>)>,
}

impl Jwks {
    /// Returns the keys at a URL, or `None` if none are available. `refresh` requests a fetch,
    /// at most one per `FETCH_INTERVAL`.
    pub(crate) async fn keys(&self, url: &str, now: Timestamp, refresh: bool) -> Option<Arc<JwkSet>> {
        // The lock is held during a fetch, so that other requests wait for the same keys.
        let mut all = self.0.lock().await;
        let known = all.entry(url.to_owned()).or_default();
        let age = |since: Timestamp| now.duration_since(since);
        let is_fresh = known.keys.as_ref().is_some_and(|(came, _)| age(*came) < KEYS_TIME);
        if (refresh || !is_fresh) && age(known.tried) >= FETCH_INTERVAL {
            // Set before the outcome is known: a server that is down is not asked by every request.
            known.tried = now;
            match tokio::time::timeout(FETCH_TIMEOUT, fetch(url)).await {
                Ok(Ok(keys)) => known.keys = Some((now, Arc::new(keys))),
                Ok(Err(error)) => {
                    tracing::error!(url, %error, "cannot read the keys of the authorization server");
                }
                Err(_) => tracing::error!(url, "the authorization server does not answer"),
            }
        }
        // A server that is down for a while does not shut its clients out.
        known.keys.as_ref().filter(|(came, _)| age(*came) < KEYS_END).map(|(_, keys)| Arc::clone(keys))
    }
}

async fn fetch(url: &str) -> Result<JwkSet, BoxError> {
    // Created on demand: most endpoints have no such tenant. Plain HTTP passes `jwt::problem`
    // for 127.0.0.1 only.
    let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
    let client: HttpsClient = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::get(url.parse::<Uri>()?).header("accept", "application/json");
    let answer = client.request(request.body(Empty::new())?).await?;
    // A redirect is refused, too: the operator has chosen the host.
    if answer.status() != StatusCode::OK {
        return Err(format!("status {}", answer.status()).into());
    }
    // Bounded: the document is read into memory before any of it is checked.
    let body = Limited::new(answer.into_body(), MAX_JWKS_BYTES).collect().await?;
    Ok(parse_keys(&body.to_bytes())?)
}
