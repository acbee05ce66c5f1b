//! What identity providers authenticate with.

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::auth::secret;
use scim_lambda::store::{Scope, Store, TenantName, TokenRecord};
use serde_json::{Value, json};

use crate::tenant::{known, tenant_name};
use crate::{Result, confirm};

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a token. It is shown once: only a hash of its secret is kept
    Create {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// When it ends: in so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// For clients that only read
        #[arg(long)]
        read_only: bool,
        /// The id of the user who is behind /Me
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Make a token that is good for the same as another, which ends a while later
    Rotate {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        #[arg(value_name = "KEY_ID")]
        kid: String,
        /// How many days both are good
        #[arg(long, value_name = "DAYS", default_value_t = 7)]
        overlap: u16,
        /// When the new one ends: in so many days; if not said, as many as the old one had
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
    },
    /// The key ids of a tenant's tokens, and what they are good for
    List {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
    },
    /// Make a token worthless within a minute
    Revoke {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        #[arg(value_name = "KEY_ID")]
        kid: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(store: &Store, command: Token, now: Timestamp) -> Result<Value> {
    match command {
        Token::Create { tenant, days, read_only, user } => {
            known(store, &tenant).await?;
            let (kid, secret) = random()?;
            let expires = days.map(|days| later(now, days));
            let scope = if read_only { Scope::Read } else { Scope::ReadWrite };
            let record = TokenRecord { expires, scope, user, ..TokenRecord::new(&secret, now) };
            if !store.create_token(&tenant, &kid, &record).await? {
                return Err(format!("the key id {kid} is taken: try again").into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::Rotate { tenant, kid: old, overlap, days } => {
            let followed = token(store, &tenant, &old).await?;
            let ends = later(now, overlap).min(followed.expires.unwrap_or(Timestamp::MAX));
            let (kid, secret) = random()?;
            let TokenRecord { scope, user, expires: seen, created, .. } = followed;
            // As long as the old one was to last, if nobody says.
            let lasts = seen.map(|end| now + end.duration_since(created));
            let expires = days.map(|days| later(now, days)).or(lasts);
            let record = TokenRecord { expires, scope, user, ..TokenRecord::new(&secret, now) };
            if !store.rotate_token(&tenant, (&old, seen, ends), (&kid, &record)).await? {
                return Err(format!("the token {old} was changed meanwhile: try again").into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::List { tenant } => {
            known(store, &tenant).await?;
            Ok(store.tokens(&tenant).await?.iter().map(|(kid, record)| of(kid, record)).collect())
        }
        Token::Revoke { tenant, kid, yes } => {
            token(store, &tenant, &kid).await?;
            confirm(yes, &format!("Whoever uses the token {kid} of {} is locked out.", tenant.as_str()))?;
            store.revoke_token(&tenant, &kid).await?;
            Ok(json!({ "revoked": kid }))
        }
    }
}

async fn token(store: &Store, tenant: &TenantName, kid: &str) -> Result<TokenRecord> {
    known(store, tenant).await?;
    let found = store.token(tenant, kid).await?;
    found.map(|(token, _)| token).ok_or_else(|| {
        format!("there is no token {kid} of {0}: see scimctl token list {0}", tenant.as_str()).into()
    })
}

fn later(now: Timestamp, days: u16) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(days))
}

/// A key id, and a secret of 256 bits.
fn random() -> Result<(String, String)> {
    Ok((secret::digits(4)?, secret::digits(32)?))
}

/// A token as it is never shown again.
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
