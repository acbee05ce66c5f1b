//! Bearer token to tenant (RFC 6750 s2.1).
//!
//! A token is `scim_<tenant>_<kid>_<secret>`. The tenant is known before
//! anything is read, and a wrong token costs one read at the most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq;

use crate::event::Request;
use crate::scim::catalogue::Catalogue;
use crate::scim::definitions::Definitions;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::policy::Policy;
use crate::store::{Scope, Store, TenantName, TenantRecord, TokenRecord};

/// A token that is revoked, or a policy that is changed, stays in force in a
/// running instance for so long.
const CACHE_TIME: SignedDuration = SignedDuration::from_secs(60);

/// Tokens that an instance remembers, also those that do not exist: some 100 kB.
const CACHE_SIZE: usize = 1_000;

/// Whom a request is for.
#[derive(Debug)]
pub struct Tenant {
    pub name: TenantName,
    pub policy: Policy,
    pub catalogue: Catalogue,
}

/// Who sends a request.
#[derive(Debug)]
pub struct Caller {
    pub tenant: Arc<Tenant>,
    /// The id of the user to whom the token is bound.
    pub user: Option<String>,
    pub scope: Scope,
}

pub struct Auth {
    /// What the function is packaged with, for every tenant.
    definitions: Definitions,
    cache: Mutex<HashMap<(TenantName, String), Cached>>,
}

#[derive(Clone)]
struct Cached {
    read: Timestamp,
    /// `None` for a token that does not exist.
    known: Option<(TokenRecord, Arc<Tenant>)>,
}

/// A token as its text says; whether it is good is another matter.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub tenant: TenantName,
    pub kid: &'a str,
    pub secret: &'a str,
}

impl Auth {
    pub fn new(definitions: Definitions) -> Self {
        Self { definitions, cache: Mutex::default() }
    }

    pub async fn caller(&self, store: &Store, request: &Request, now: Timestamp) -> Result<Caller> {
        let token =
            request.header("authorization").next().and_then(Token::of_header).ok_or_else(unauthorized)?;
        let (record, tenant) = self.look_up(store, &token, now).await?.ok_or_else(unauthorized)?;
        if !record.is_of(token.secret) || record.expires.is_some_and(|expires| expires <= now) {
            return Err(unauthorized());
        }
        Ok(Caller { tenant, user: record.user, scope: record.scope })
    }

    async fn look_up(
        &self,
        store: &Store,
        token: &Token<'_>,
        now: Timestamp,
    ) -> Result<Option<(TokenRecord, Arc<Tenant>)>> {
        let key = (token.tenant.clone(), token.kid.to_owned());
        if let Some(cached) = self.lock().get(&key).filter(|cached| cached.is_fresh(now)) {
            return Ok(cached.known.clone());
        }
        let known = match store.token(&token.tenant, token.kid).await? {
            Some((_, tenant)) if tenant.disabled => None,
            Some((record, tenant)) => Some((record, Arc::new(self.tenant(&token.tenant, tenant)?))),
            None => None,
        };
        let mut cache = self.lock();
        if cache.len() >= CACHE_SIZE {
            cache.retain(|_, cached| cached.is_fresh(now));
        }
        if cache.len() >= CACHE_SIZE {
            cache.clear();
        }
        cache.insert(key, Cached { read: now, known: known.clone() });
        Ok(known)
    }

    /// A directory is not served by half of its schemas.
    fn tenant(&self, name: &TenantName, record: TenantRecord) -> Result<Tenant> {
        let own =
            record.definitions.as_deref().map_or_else(|| Ok(Definitions::default()), Definitions::parse);
        let catalogue =
            own.and_then(|own| Catalogue::with(&record.policy, &self.definitions.clone().and(own)));
        match catalogue {
            Ok(catalogue) => Ok(Tenant { name: name.clone(), policy: record.policy, catalogue }),
            Err(error) => {
                tracing::error!(tenant = name.as_str(), %error, "the definitions of a tenant cannot be used");
                Err(ErrorKind::Internal.with(
                    "the schemas of this tenant cannot be used: tell the operator the time and the id of this request",
                ))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(TenantName, String), Cached>> {
        // Nothing panics while it holds the lock, and a cache is never wrong in part.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cached {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.read) < CACHE_TIME
    }
}

impl TokenRecord {
    /// In constant time, so that no answer tells how much of a secret is right.
    fn is_of(&self, secret: &str) -> bool {
        crate::store::sha256(secret).as_bytes().ct_eq(self.sha256.as_bytes()).into()
    }
}

impl<'a> Token<'a> {
    fn of_header(header: &'a str) -> Option<Self> {
        let (scheme, token) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return None;
        }
        Self::parse(token.trim())
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        let (tenant, rest) = text.strip_prefix("scim_")?.split_once('_')?;
        let (kid, secret) = rest.split_once('_')?;
        let fits = |part: &str, most: usize| {
            (1..=most).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        (fits(kid, 32) && fits(secret, 128)).then_some(())?;
        Some(Self { tenant: TenantName::parse(tenant)?, kid, secret })
    }
}

/// The same for every reason: it tells nobody whether a tenant or key exists.
fn unauthorized() -> Error {
    ErrorKind::Unauthorized
        .with("the bearer token is missing or not valid: send Authorization: Bearer <token>")
}
