//! Authentication: the tenant of a bearer token (RFC 6750 s2.1).
//!
//! A token is `scim_<tenant>_<kid>_<secret>`, or a JWT signed by the authorization
//! server of the tenant in the path. The tenant is known before anything is read, and
//! a wrong token costs at most one read of the table.
//!
//! * `token`: the text of a token, and random digits for a new one.
//! * `claim`: the token that a request presents.
//! * `jwt`: tokens that an authorization server has signed.
//! * `jwks`: the keys of that server, fetched when a token needs them.
//! * `refusal`: the reasons of a 401.
//! * `rate_limit`: how many requests a tenant may send.

pub mod claim;
mod jwks;
pub mod jwt;
pub(crate) mod rate_limit;
pub mod refusal;
pub mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use subtle::ConstantTimeEq;

use self::claim::{Bearer, Claim};
use self::jwks::Jwks;
use self::refusal::Refusal;
pub use self::token::Token;
use crate::scim::error::{Error, ErrorKind};
use crate::scim::policy::Policy;
use crate::scim::registry::Registry;
use crate::scim::registry::custom::Definitions;
use crate::store::{
    Keys, Oauth, RETRY_AFTER, Registries, Scope, Store, TenantName, TenantRecord, TokenRecord, USE_INTERVAL,
};

/// The time for which a running instance still accepts a revoked token or applies an old
/// policy.
const CACHE_TIME: SignedDuration = SignedDuration::from_secs(60);

/// Bytes of memory for the tokens that an instance caches, including unknown ones.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a token takes, with its tenant: two keys, two records and a policy.
const TOKEN_BYTES: usize = 2 * 1024;

/// Bytes that the registry of a tenant with definitions of its own takes, besides those for each byte
/// of the definitions. It also holds the built-in schemas.
const REGISTRY_BYTES: usize = 64 * 1024;
const BYTES_OF_A_DEFINITION: usize = 8;

/// The tenant that a request is for.
#[derive(Debug)]
pub struct Tenant {
    pub name: TenantName,
    pub policy: Policy,
    pub registry: Arc<Registry>,
    oauth: Option<Oauth>,
    /// The keys that the operator has pasted.
    keys: Option<Arc<JwkSet>>,
}

impl Tenant {
    /// Returns the authorization server whose access tokens are accepted.
    pub fn issuer(&self) -> Option<&str> {
        self.oauth.as_ref().map(|oauth| oauth.issuer.as_str())
    }
}

/// The sender of a request.
#[derive(Debug)]
pub struct Caller {
    pub tenant: Arc<Tenant>,
    /// The key id of the token, or the client that the authorization server names.
    pub client: String,
    /// The id of the user to whom the token is bound.
    pub user: Option<String>,
    pub scope: Scope,
    /// True if the use of the token is due to be recorded.
    pub is_use_due: bool,
}

pub struct Auth {
    registries: Registries,
    cache: Mutex<Cache>,
    jwks: Jwks,
}

/// A key id of a tenant; empty for its authorization server.
type Credential = (TenantName, String);

#[derive(Clone)]
struct Cached {
    read: Timestamp,
    known: Result<Known, Refusal>,
    /// An upper bound of its memory.
    bytes: usize,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Credential, Cached>,
    /// The sum over the entries.
    bytes: usize,
}

/// An authentication that did not succeed.
#[derive(Debug)]
pub enum Denied {
    Refused(Refusal),
    /// The token could not be checked.
    Failed(Error),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::store::Error> for Denied {
    fn from(error: crate::store::Error) -> Self {
        Self::Failed(error.into())
    }
}

#[derive(Clone)]
struct Known {
    /// The record of the token; `None` for an authorization server.
    token: Option<TokenRecord>,
    tenant: Arc<Tenant>,
}

impl Auth {
    pub fn new(definitions: Definitions) -> Self {
        let registries = Registries::new(definitions);
        Self { registries, cache: Mutex::default(), jwks: Jwks::default() }
    }

    pub async fn caller(&self, store: &Store, claim: &Claim<'_>, now: Timestamp) -> Result<Caller, Denied> {
        match &claim.bearer {
            Bearer::Missing => Err(Refusal::Missing.into()),
            Bearer::Malformed => Err(Refusal::Malformed.into()),
            Bearer::Token(token) => self.of_token(store, token, claim, now).await,
            Bearer::Jwt(text) => {
                // A tenant without a name in the URL has no authorization server.
                let name = claim.url_tenant.clone().ok_or(Refusal::UnknownKey)?;
                self.of_jwt(store, name, text, now).await
            }
        }
    }

    /// Refuses the token of one tenant under the URL of another.
    async fn check_url(&self, store: &Store, claim: &Claim<'_>, now: Timestamp) -> Result<(), Denied> {
        let Some(named) = claim.url_tenant.as_ref().filter(|named| Some(*named) != claim.tenant()) else {
            return Ok(());
        };
        if claim.may_be_stage {
            return Ok(());
        }
        // A path of a custom domain may look like a tenant, so that the name alone does not
        // tell. Read once a minute.
        match self.known(store, &(named.clone(), String::new()), now).await? {
            Err(Refusal::UnknownKey) => Ok(()),
            _ => Err(Refusal::Audience.into()),
        }
    }

    async fn of_token(
        &self,
        store: &Store,
        token: &Token<'_>,
        claim: &Claim<'_>,
        now: Timestamp,
    ) -> Result<Caller, Denied> {
        let credential = (token.tenant.clone(), token.kid.to_owned());
        let Known { token: record, tenant } = self.known(store, &credential, now).await??;
        let record = record.ok_or(Refusal::UnknownKey)?;
        if !record.is_of(token.secret) {
            return Err(Refusal::WrongSecret.into());
        }
        if record.revoked.is_some() {
            return Err(Refusal::Revoked.into());
        }
        if record.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::Expired.into());
        }
        self.check_url(store, claim, now).await?;
        let is_use_due = record.used.is_none_or(|used| now.duration_since(used) >= USE_INTERVAL);
        // Noted in the cache as well: later requests to this instance need not record it again.
        if is_use_due && let Some(Cached { known: Ok(known), .. }) = self.lock().entries.get_mut(&credential)
        {
            known.token = Some(TokenRecord { used: Some(now), ..record.clone() });
        }
        let TokenRecord { user, scope, .. } = record;
        Ok(Caller { tenant, client: credential.1, user, scope, is_use_due })
    }

    async fn of_jwt(
        &self,
        store: &Store,
        name: TenantName,
        text: &str,
        now: Timestamp,
    ) -> Result<Caller, Denied> {
        let credential = (name, String::new());
        let Known { tenant, .. } = self.known(store, &credential, now).await??;
        let oauth = tenant.oauth.as_ref().ok_or(Refusal::UnknownKey)?;
        let check = async |refresh| match self.keys(&tenant, oauth, now, refresh).await {
            Some(keys) => Ok(oauth.check(text, &keys, now)),
            // The token cannot be checked, and the client is not to blame.
            None => Err(ErrorKind::Unavailable { retry_after: RETRY_AFTER }
                .with("the authorization server did not answer: send the request again later")),
        };
        let mut checked = check(false).await?;
        // Servers rotate their keys: the cached set may be older than the token.
        if checked == Err(Refusal::UnknownKey) {
            checked = check(true).await?;
        }
        let client = checked?;
        Ok(Caller {
            tenant: Arc::clone(&tenant),
            client,
            user: None,
            scope: Scope::ReadWrite,
            is_use_due: false,
        })
    }

    async fn keys(
        &self,
        tenant: &Tenant,
        oauth: &Oauth,
        now: Timestamp,
        refresh: bool,
    ) -> Option<Arc<JwkSet>> {
        match &oauth.keys {
            Keys::Jwks(_) => tenant.keys.clone(),
            Keys::JwksUrl(url) => self.jwks.keys(url, now, refresh).await,
        }
    }

    async fn known(
        &self,
        store: &Store,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Result<Known, Refusal>, Error> {
        if let Some(cached) = self.lock().entries.get(credential).filter(|cached| cached.is_fresh(now)) {
            return Ok(cached.known.clone());
        }
        let (name, kid) = credential;
        let found = match kid.as_str() {
            "" => store.tenant(name).await?.map(|tenant| (None, tenant)),
            kid => store.token(name, kid).await?.map(|(token, tenant)| (Some(token), tenant)),
        };
        let bytes = found.as_ref().map_or(0, |(_, tenant)| size(tenant)) + TOKEN_BYTES;
        let known = match found {
            Some((token, tenant)) if tenant.disabled.is_none() => {
                Ok(Known { token, tenant: Arc::new(self.tenant(name, tenant)?) })
            }
            // Cached as well: a client with a wrong token repeats it.
            Some(_) => Err(Refusal::Disabled),
            None => Err(Refusal::UnknownKey),
        };
        let cached = Cached { read: now, known: known.clone(), bytes };
        self.lock().insert(credential.clone(), cached);
        Ok(known)
    }

    /// Builds the tenant. A schema that cannot be used fails the request.
    fn tenant(&self, name: &TenantName, record: TenantRecord) -> Result<Tenant, Error> {
        match self.registries.of(&record) {
            Ok(registry) => {
                let keys = record.oauth.as_ref().and_then(|oauth| match &oauth.keys {
                    Keys::Jwks(text) => jwt::parse_keys(text.as_bytes()).ok().map(Arc::new),
                    Keys::JwksUrl(_) => None,
                });
                let TenantRecord { policy, oauth, .. } = record;
                Ok(Tenant { name: name.clone(), policy, registry, oauth, keys })
            }
            Err(error) => {
                tracing::error!(tenant = name.as_str(), %error, "the definitions of a tenant cannot be used");
                Err(ErrorKind::Internal.with(
                    "the schemas of this tenant cannot be used: tell the operator the time and the id of this request",
                ))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        // Nothing panics while it holds the lock, and a cache is never wrong in part.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn insert(&mut self, credential: Credential, new: Cached) {
        self.remove(&credential);
        if self.bytes + new.bytes > CACHE_BYTES {
            let now = new.read;
            self.entries.retain(|_, cached| cached.is_fresh(now));
            self.bytes = self.entries.values().map(|cached| cached.bytes).sum();
        }
        // A flood of invented key ids can keep all entries fresh: memory stays bounded, and
        // known tokens cost one more read.
        if self.bytes + new.bytes > CACHE_BYTES {
            *self = Self::default();
        }
        self.bytes += new.bytes;
        self.entries.insert(credential, new);
    }

    fn remove(&mut self, credential: &Credential) {
        if let Some(old) = self.entries.remove(credential) {
            self.bytes -= old.bytes;
        }
    }
}

/// Returns an upper bound of the memory that a tenant takes. Two tokens of one tenant count it
/// twice.
fn size(tenant: &TenantRecord) -> usize {
    let keys = tenant.oauth.as_ref().map_or(0, |oauth| match &oauth.keys {
        // As text, and parsed.
        Keys::Jwks(text) => 4 * text.len(),
        Keys::JwksUrl(url) => url.len(),
    });
    let other = tenant.reindex.as_ref().map(|reindex| reindex.definitions.as_deref().unwrap_or_default());
    let own = tenant.definitions.as_deref().into_iter().chain(other);
    keys + own.map(|text| REGISTRY_BYTES + BYTES_OF_A_DEFINITION * text.len()).sum::<usize>()
}

impl Cached {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.read) < CACHE_TIME
    }
}

impl TokenRecord {
    /// Compares in constant time, so that timing does not reveal how much of a secret is right.
    fn is_of(&self, secret: &str) -> bool {
        crate::store::sha256(secret).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::refusal::Refusal;
    use super::{CACHE_BYTES, CACHE_TIME, Cache, Cached, TOKEN_BYTES};
    use crate::store::TenantName;

    /// A client that tries many tokens does not fill the memory of an instance.
    #[test]
    fn the_cache_is_bounded_by_bytes() {
        let mut cache = Cache::default();
        let name = TenantName::parse("demo").unwrap();
        let start = Timestamp::UNIX_EPOCH;
        let mut insert = |kid: usize, read: Timestamp, bytes: usize| {
            cache.insert(
                (name.clone(), kid.to_string()),
                Cached { read, known: Err(Refusal::UnknownKey), bytes },
            );
            assert_eq!(cache.bytes, cache.entries.values().map(|cached| cached.bytes).sum::<usize>());
            (cache.entries.len(), cache.bytes <= CACHE_BYTES)
        };
        let room = CACHE_BYTES / TOKEN_BYTES;
        assert!(room > 4_000, "{room}");
        for kid in 0..room {
            assert_eq!(insert(kid, start, TOKEN_BYTES), (kid + 1, true));
        }
        // The same token again takes no more room, and another one takes that of all.
        assert_eq!(insert(7, start, TOKEN_BYTES), (room, true));
        assert_eq!(insert(room, start, TOKEN_BYTES), (1, true));
        for kid in 1..room {
            insert(kid, start + CACHE_TIME - SignedDuration::from_secs(1), TOKEN_BYTES);
        }
        // Those that have expired go first.
        assert_eq!(insert(room + 1, start + CACHE_TIME, TOKEN_BYTES), (room, true));
    }
}
