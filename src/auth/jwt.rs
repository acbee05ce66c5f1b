//! Access tokens that the authorization server of a tenant has signed (RFC 9068):
//! the keys that verify them, and the checks of their claims.
//!
//! The content of such a token cannot be trusted before it is checked. The tenant is
//! therefore read from the path, in the segment before `/scim/v2`, and the token must
//! be issued by that tenant's server.

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use crate::store::{Algorithm, Keys, Oauth};

/// The longest token that is checked. Entra's, with many roles, have about 4 kB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The accepted difference between the clocks of two servers.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The number of keys of one authorization server that are considered. Entra ID has ten.
const MAX_KEYS: usize = 100;

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::RS256,
            Algorithm::ES256 => Self::ES256,
            Algorithm::EdDSA => Self::EdDSA,
        }
    }
}

/// The reason why a token is refused. No answer shows it.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A signature by a key that is not in the set; the server may have a new one.
    UnknownKey,
    Token,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Option<OneOrMany>,
    /// `NumericDate` may have a fraction (RFC 7519 s2).
    exp: f64,
    nbf: Option<f64>,
    client_id: Option<String>,
    /// The client, as Okta and the two versions of Entra ID name it.
    cid: Option<String>,
    azp: Option<String>,
    appid: Option<String>,
    sub: Option<String>,
    scope: Option<OneOrMany>,
    scp: Option<OneOrMany>,
    roles: Option<OneOrMany>,
}

// `aud` may be a string or an array (RFC 7519 s4.1.3); so may the scopes, by provider.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        all.iter().map(String::as_str)
    }
}

/// Returns true if a bearer token may be a JWT; no other token has dots.
pub fn is_jwt(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.split('.').count() == 3
}

/// Returns the keys of a JWKS document that this endpoint can use, and ignores the others.
pub fn parse_keys(text: &[u8]) -> Result<JwkSet, String> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document = serde_json::from_slice(text).map_err(|error| format!("not a JWKS: {error}"))?;
    let keys = document.keys.into_iter().take(MAX_KEYS).filter_map(|key| {
        // One by one: a single malformed key would fail a whole `JwkSet`.
        let key: Jwk = serde_json::from_value(key).ok()?;
        let signs = key.common.public_key_use.as_ref().is_none_or(|uses| *uses == PublicKeyUse::Signature);
        (signs && DecodingKey::from_jwk(&key).is_ok()).then_some(key)
    });
    let set = JwkSet { keys: keys.collect() };
    if set.keys.is_empty() { Err("no key in it can check a signature".to_owned()) } else { Ok(set) }
}

/// Returns the problem if no token can satisfy the settings, or if they are not safe.
pub fn problem(oauth: &Oauth) -> Option<String> {
    let is_empty = oauth.issuer.is_empty() || oauth.audience.is_empty() || oauth.algorithms.is_empty();
    match &oauth.keys {
        _ if is_empty => Some("issuer, audience and algorithms must not be empty".to_owned()),
        Keys::Jwks(text) => parse_keys(text.as_bytes()).err(),
        Keys::JwksUrl(url) => {
            let url: Option<Uri> = url.parse().ok();
            let scheme = url.as_ref().and_then(Uri::scheme_str);
            let is_local = url.as_ref().and_then(Uri::host).is_some_and(|host| host == "127.0.0.1");
            let is_safe = scheme == Some("https") || scheme == Some("http") && is_local;
            (!is_safe).then(|| "the URL of the keys must begin with https://".to_owned())
        }
    }
}

impl Oauth {
    /// Returns the client that the token was issued to, if the token is valid.
    pub fn check(&self, token: &str, keys: &JwkSet, now: Timestamp) -> Result<String, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::Token)?;
        // The operator selects the algorithms, not the token (RFC 8725 s3.1).
        if !self.algorithms.iter().any(|allowed| jsonwebtoken::Algorithm::from(*allowed) == header.alg) {
            return Err(Refusal::Token);
        }
        let key = match (&header.kid, keys.keys.as_slice()) {
            (Some(kid), _) => keys.find(kid).ok_or(Refusal::UnknownKey)?,
            // `kid` is optional (RFC 7515 s4.1.4): a set of one key needs none.
            (None, [only]) => only,
            // Not tried one after the other: a client could cause up to 100 verifications.
            (None, _) => return Err(Refusal::Token),
        };
        let claims = signed(token, key, header.alg).ok_or(Refusal::Token)?;
        if claims.iss == self.issuer
            && self.is_audience(&claims)
            && self.is_in_scope(&claims)
            && is_in_force(&claims, now)
        {
            let Claims { client_id, cid, azp, appid, sub, .. } = claims;
            // `sub` is last: in the token of a user it does not name the client.
            Ok(client_id.or(cid).or(azp).or(appid).or(sub).unwrap_or_default())
        } else {
            Err(Refusal::Token)
        }
    }

    fn is_audience(&self, claims: &Claims) -> bool {
        match &claims.aud {
            Some(aud) => aud.iter().any(|one| one == self.audience),
            // Access tokens of Amazon Cognito have `client_id` but no `aud`.
            None => claims.client_id.as_ref() == Some(&self.audience),
        }
    }

    fn is_in_scope(&self, claims: &Claims) -> bool {
        let Some(wanted) = &self.scope else {
            return true;
        };
        // `scope` is separated by spaces (RFC 6749 s3.3), so each string is split.
        let all = [&claims.scope, &claims.scp, &claims.roles].into_iter().flatten();
        all.flat_map(OneOrMany::iter).flat_map(str::split_whitespace).any(|one| one == wanted)
    }
}

/// Returns the claims if the key verifies the signature.
fn signed(token: &str, key: &Jwk, algorithm: jsonwebtoken::Algorithm) -> Option<Claims> {
    if key.common.key_algorithm.is_some_and(|meant| meant != KeyAlgorithm::from(algorithm)) {
        return None;
    }
    // `Oauth::check` verifies time and claims instead: it uses the clock of the request, and
    // accepts a token without `aud`.
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(key).ok()?;
    Some(decode(token, &key, &validation).ok()?.claims)
}

fn is_in_force(claims: &Claims, now: Timestamp) -> bool {
    let (now, skew) = (now.as_duration().as_secs_f64(), CLOCK_SKEW.as_secs_f64());
    claims.exp + skew > now && claims.nbf.is_none_or(|nbf| nbf - skew <= now)
}
