//! Access tokens that the authorization server of a tenant has signed (RFC 9068):
//! the keys that verify them, and the checks of their claims.
//!
//! The content of such a token cannot be trusted before it is checked. The tenant is
//! therefore read from the path, in the segment before `/scim/v2`, and the token must
//! be issued by that tenant's server.
//!
//! An authorization server signs tokens for every end user, too: ID tokens, logout tokens, and
//! access tokens of other clients. The audience alone does not tell them apart from the
//! token of a provisioning client, so the operator pins clients, subjects or a scope.

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::errors::ErrorKind as JwtError;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::auth::refusal::Refusal;
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

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Option<OneOrMany>,
    /// `NumericDate` may have a fraction (RFC 7519 s2).
    exp: f64,
    iat: Option<f64>,
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
    /// Cognito's kind of token.
    token_use: Option<String>,
    nonce: Option<IgnoredAny>,
    at_hash: Option<IgnoredAny>,
    c_hash: Option<IgnoredAny>,
    events: Option<IgnoredAny>,
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

/// Returns the key id that a JWT claims.
pub fn key_id(text: &str) -> Option<String> {
    decode_header(text).ok()?.kid
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
    let Oauth { issuer, audience, keys, clients, subjects, scope, max_age, algorithms } = oauth;
    if issuer.is_empty() || audience.is_empty() || algorithms.is_empty() {
        return Some("issuer, audience and algorithms must not be empty".to_owned());
    }
    if !oauth.is_pinned() {
        return Some(
            "the audience alone cannot identify a client: pass --client, --subject or --scope".to_owned(),
        );
    }
    if clients.iter().chain(subjects).any(String::is_empty) {
        return Some("client and subject must not be empty".to_owned());
    }
    if scope.as_ref().is_some_and(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
        return Some("scope must be one value without spaces".to_owned());
    }
    if *max_age == Some(0) {
        return Some("max-age must be above 0".to_owned());
    }
    match keys {
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
        let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
        if !is_access_token(&header) {
            return Err(Refusal::Malformed);
        }
        // The operator selects the algorithms, not the token (RFC 8725 s3.1).
        if !self.algorithms.iter().any(|allowed| jsonwebtoken::Algorithm::from(*allowed) == header.alg) {
            return Err(Refusal::Signature);
        }
        let key = match (&header.kid, keys.keys.as_slice()) {
            (Some(kid), _) => keys.find(kid).ok_or(Refusal::UnknownKey)?,
            // `kid` is optional (RFC 7515 s4.1.4): a set of one key needs none.
            (None, [only]) => only,
            // Not tried one after the other: a client could cause up to 100 verifications. Not
            // `UnknownKey`: a fetch of the keys would not help.
            (None, _) => return Err(Refusal::Malformed),
        };
        let claims = signed(token, key, header.alg)?;
        self.check_claims(&claims, now)?;
        let Claims { client_id, cid, azp, appid, sub, .. } = claims;
        // `sub` is last: in the token of a user it does not name the client.
        Ok(client_id.or(cid).or(azp).or(appid).or(sub).unwrap_or_default())
    }

    fn check_claims(&self, claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
        if claims.is_of_another_kind() {
            return Err(Refusal::Malformed);
        }
        if claims.iss != self.issuer {
            return Err(Refusal::Issuer);
        }
        if !self.is_audience(claims) {
            return Err(Refusal::Audience);
        }
        // Settings from before pinning was required are still in tables.
        if !(self.is_pinned() && self.is_client(claims)) {
            return Err(Refusal::Client);
        }
        if !self.is_in_scope(claims) {
            return Err(Refusal::Scope);
        }
        self.check_time(claims, now)
    }

    /// Returns true if the settings tell the tokens of a client from those of other clients and
    /// of end users.
    fn is_pinned(&self) -> bool {
        !self.clients.is_empty() || !self.subjects.is_empty() || self.scope.is_some()
    }

    fn is_audience(&self, claims: &Claims) -> bool {
        match &claims.aud {
            Some(aud) => aud.iter().any(|one| one == self.audience),
            // Access tokens of Amazon Cognito have `client_id` but no `aud`.
            None => claims.client_id.as_ref() == Some(&self.audience),
        }
    }

    fn is_client(&self, claims: &Claims) -> bool {
        let Claims { client_id, cid, azp, appid, sub, .. } = claims;
        let mut named = [client_id, cid, azp, appid].into_iter().flatten().peekable();
        // Of several claims each must be pinned: which of them the server vouches for is not
        // known here.
        let is_client = self.clients.is_empty()
            || named.peek().is_some() && named.all(|client| self.clients.contains(client));
        let is_subject =
            self.subjects.is_empty() || sub.as_ref().is_some_and(|sub| self.subjects.contains(sub));
        is_client && is_subject
    }

    fn is_in_scope(&self, claims: &Claims) -> bool {
        let Some(wanted) = &self.scope else {
            return true;
        };
        // `scope` is separated by spaces (RFC 6749 s3.3), so each string is split.
        let all = [&claims.scope, &claims.scp, &claims.roles].into_iter().flatten();
        all.flat_map(OneOrMany::iter).flat_map(str::split_whitespace).any(|one| one == wanted)
    }

    fn check_time(&self, claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
        let (now, skew) = (now.as_duration().as_secs_f64(), CLOCK_SKEW.as_secs_f64());
        if claims.exp + skew <= now {
            return Err(Refusal::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf - skew > now) {
            return Err(Refusal::NotYet);
        }
        let Some(max_age) = self.max_age else {
            return Ok(());
        };
        let Some(iat) = claims.iat else {
            return Err(Refusal::Expired);
        };
        // Otherwise an `iat` in the future would move the whole life there.
        if iat - skew > now {
            return Err(Refusal::NotYet);
        }
        if claims.exp - iat > f64::from(max_age) { Err(Refusal::Expired) } else { Ok(()) }
    }
}

impl Claims {
    /// Returns true for an ID token (`OpenID` Connect Core s2, s3.3.2.11), a logout token or
    /// another security event (RFC 8417 s2.2), by the claims that only these have.
    fn is_of_another_kind(&self) -> bool {
        self.token_use.as_ref().is_some_and(|kind| kind != "access")
            || [&self.nonce, &self.at_hash, &self.c_hash, &self.events].into_iter().any(Option::is_some)
    }
}

/// Returns true if the header does not say that the token is of another kind.
fn is_access_token(header: &Header) -> bool {
    // RFC 9068 s4 requires `at+jwt`, but most servers send `JWT` or nothing. Media types are
    // case-insensitive.
    let is_typ = header.typ.as_ref().is_none_or(|typ| {
        ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ))
    });
    // RFC 7515 s4.1.11: an extension that is not understood must be refused, and none is.
    is_typ && header.crit.is_none()
}

/// Returns the claims if the key verifies the signature.
fn signed(token: &str, key: &Jwk, algorithm: jsonwebtoken::Algorithm) -> Result<Claims, Refusal> {
    if key.common.key_algorithm.is_some_and(|meant| meant != KeyAlgorithm::from(algorithm)) {
        return Err(Refusal::Signature);
    }
    // `Oauth::check` verifies time and claims instead: it uses the clock of the request, and
    // accepts a token without `aud`.
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(key).map_err(|_| Refusal::Signature)?;
    match decode(token, &key, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        // A claim of an unexpected form, in a token that the server did sign.
        Err(error) if matches!(error.kind(), JwtError::Json(_)) => Err(Refusal::Malformed),
        Err(_) => Err(Refusal::Signature),
    }
}
