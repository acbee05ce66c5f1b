//! `scimctl token`: the bearer tokens of identity providers.

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::auth::token::digits;
use scim_lambda::store::{Applied, Created, Rotated, Scope, Store, TenantName, TokenRecord};
use serde_json::{Value, json};

use crate::tenant::{known, tenant_name};
use crate::{Result, confirm};

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Create a token. It is shown once: the table keeps only a hash of its secret
    Create {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// Expire after this number of days; never if omitted
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// Reject requests that write
        #[arg(long)]
        read_only: bool,
        /// Bind the token to the user with this id, for /Me
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Create a successor with the same rights; the old token expires after the overlap
    Rotate {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// Key id of the old token
        #[arg(value_name = "KEY_ID")]
        kid: String,
        /// Accept both tokens for this number of days
        #[arg(long, value_name = "DAYS", default_value_t = 7)]
        overlap: u16,
        /// Let the new token expire after this number of days; if omitted, it has the lifetime
        /// of the old one
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
    },
    /// List the tokens of a tenant
    List {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
    },
    /// Revoke a token; takes effect within a minute
    Revoke {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// Key id of the token
        #[arg(value_name = "KEY_ID")]
        kid: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(store: &Store, command: Token, now: Timestamp) -> Result<Value> {
    match command {
        Token::Create { tenant, days, read_only, user } => {
            // The table would accept a token of a missing tenant: the condition is on its key alone.
            known(store, &tenant).await?;
            let (kid, secret) = random()?;
            let expires = days.map(|days| later(now, days));
            let scope = if read_only { Scope::Read } else { Scope::ReadWrite };
            let record = TokenRecord { expires, scope, user, ..TokenRecord::new(&secret, now) };
            if store.create_token(&tenant, &kid, &record).await? == Created::AlreadyExists {
                return Err(format!("key id {kid} already exists: retry").into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::Rotate { tenant, kid: old, overlap, days } => {
            let followed = token(store, &tenant, &old).await?;
            let ends = later(now, overlap).min(followed.expires.unwrap_or(Timestamp::MAX));
            let (kid, secret) = random()?;
            let TokenRecord { scope, user, expires: seen, created, .. } = followed;
            // The lifetime of the old token, if `--days` is omitted.
            let lasts = seen.map(|end| now + end.duration_since(created));
            let expires = days.map(|days| later(now, days)).or(lasts);
            let record = TokenRecord { expires, scope, user, ..TokenRecord::new(&secret, now) };
            let rotated = Rotated { kid: &old, expires: seen, ends };
            if store.rotate_token(&tenant, rotated, (&kid, &record)).await? == Applied::Conflict {
                return Err(format!("token {old} was changed by another process: retry").into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::List { tenant } => {
            known(store, &tenant).await?;
            Ok(store.tokens(&tenant).await?.iter().map(|(kid, record)| of(kid, record)).collect())
        }
        Token::Revoke { tenant, kid, yes } => {
            token(store, &tenant, &kid).await?;
            confirm(yes, &format!("Requests with the token {kid} of {} will be rejected.", tenant.as_str()))?;
            store.revoke_token(&tenant, &kid, now).await?;
            Ok(json!({ "revoked": kid }))
        }
    }
}

async fn token(store: &Store, tenant: &TenantName, kid: &str) -> Result<TokenRecord> {
    known(store, tenant).await?;
    let found = store.token(tenant, kid).await?;
    let found = found.map(|(token, _)| token).filter(|token| token.revoked.is_none());
    found.ok_or_else(|| {
        format!("token {kid} of {0} not found: see scimctl token list {0}", tenant.as_str()).into()
    })
}

fn later(now: Timestamp, days: u16) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(days))
}

/// Returns a random key id, and a random secret of 256 bits.
fn random() -> Result<(String, String)> {
    Ok((digits(4)?, digits(32)?))
}

/// Returns a token with its secret, which is shown only when the token is created.
fn once(tenant: &TenantName, kid: &str, secret: &str, record: &TokenRecord) -> Value {
    let mut made = of(kid, record);
    if let Some(made) = made.as_object_mut() {
        made.insert("token".to_owned(), format!("scim_{}_{kid}_{secret}", tenant.as_str()).into());
    }
    made
}

fn of(kid: &str, record: &TokenRecord) -> Value {
    json!({
        "keyId": kid,
        "scope": record.scope,
        "created": record.created,
        "expires": record.expires,
        "lastUsed": record.used,
        "user": record.user,
    })
}
