//! The tokens of a tenant.

use jiff::Timestamp;

use crate::store::Store;
use crate::store::dynamo::client::{Applied, Written};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, item_at, number, read, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::{REVOKED_TIME, USE_INTERVAL};
use crate::store::resource::Created;
use crate::store::table::directory::TenantName;
use crate::store::table::tenant_record::{TenantRecord, TokenRecord};

/// A token to be replaced, as it was observed, and its new end.
pub struct Rotated<'a> {
    pub kid: &'a str,
    pub expires: Option<Timestamp>,
    pub ends: Timestamp,
}

impl Store {
    /// Reads a token and its tenant in one strongly consistent batch: a token works as soon
    /// as it is created.
    pub async fn token(
        &self,
        tenant: &TenantName,
        kid: &str,
    ) -> Result<Option<(TokenRecord, TenantRecord)>, Error> {
        let directory = self.directory(tenant);
        let (token_key, tenant_key) = (directory.token_key(kid), directory.tenant_key());
        let mut items = self.table.get_all(vec![token_key.clone(), tenant_key.clone()]).await?;
        let token = items.remove(&token_key).map(read).transpose()?;
        let tenant = items.remove(&tenant_key).map(read).transpose()?;
        // An erasure deletes the record of the tenant first, which ends its tokens, too.
        Ok(token.zip(tenant))
    }

    /// Records that a token was used. Of several instances one records it.
    pub async fn record_use(&self, tenant: &TenantName, kid: &str, now: Timestamp) -> Result<(), Error> {
        let used = Expression::when("attribute_exists(pk)")
            .and("(attribute_not_exists(used) OR used <= :due)")
            .set("used = :now")
            .value(":now", value(&now)?)
            .value(":due", value(&(now - USE_INTERVAL))?);
        self.table.update(self.directory(tenant).token_key(kid), used).await?;
        Ok(())
    }

    pub async fn create_token(
        &self,
        tenant: &TenantName,
        kid: &str,
        record: &TokenRecord,
    ) -> Result<Created, Error> {
        let item = item_at(self.directory(tenant).token_key(kid), record)?;
        Ok(match self.table.put(item, Expression::when("attribute_not_exists(pk)")).await? {
            Written::Applied(_) => Created::Created,
            Written::Conflict(current) => {
                let current: Option<TokenRecord> = current.map(read).transpose()?;
                // An attempt whose answer was lost has created it.
                let is_ours = current.is_some_and(|current| current.sha256 == record.sha256);
                if is_ours { Created::Created } else { Created::AlreadyExists }
            }
        })
    }

    /// Reads every token of a tenant by its key id, including those that have expired but
    /// not those that were revoked.
    pub async fn tokens(&self, tenant: &TenantName) -> Result<Vec<(String, TokenRecord)>, Error> {
        let Key { pk, sk: prefix } = self.directory(tenant).token_key("");
        let items = self.table.query(pk).consistent().beginning(prefix.as_str()).all().await?;
        let kid = |key: Key| key.sk.strip_prefix(&prefix).map(str::to_owned);
        items
            .into_iter()
            .filter_map(|item| Some((kid(Key::of(&item)?)?, item)))
            .map(|(kid, item)| Ok((kid, read(item)?)))
            .filter(|token: &Result<(String, TokenRecord), Error>| {
                token.as_ref().map_or(true, |(_, record)| record.revoked.is_none())
            })
            .collect()
    }

    /// Creates a token and ends the one that it replaces by one transaction. Conflicts
    /// if that one is gone or revoked, or has another end than was observed.
    pub async fn rotate_token(
        &self,
        tenant: &TenantName,
        old: Rotated<'_>,
        (kid, record): (&str, &TokenRecord),
    ) -> Result<Applied, Error> {
        let directory = self.directory(tenant);
        let observed = match old.expires {
            Some(expires) => Expression::when("expires = :observed").value(":observed", value(&expires)?),
            None => Expression::when("attribute_exists(pk)").and("attribute_not_exists(expires)"),
        };
        let observed = observed.and("attribute_not_exists(revoked)");
        let actions = vec![
            Action::Update(
                directory.token_key(old.kid),
                observed.set("expires = :ends").value(":ends", value(&old.ends)?),
            ),
            Action::create(item_at(directory.token_key(kid), record)?),
        ];
        Ok(self.table.transact(actions).await?.into())
    }

    /// Revokes a token. Its item expires after `REVOKED_TIME`.
    pub async fn revoke_token(&self, tenant: &TenantName, kid: &str, now: Timestamp) -> Result<(), Error> {
        // A token that is gone is revoked, whether or not this attempt revoked it.
        let revoked = Expression::when("attribute_exists(pk)")
            .set("revoked = if_not_exists(revoked, :now)")
            .set("#ttl = :ttl")
            .name("#ttl", "ttl")
            .value(":now", value(&now)?)
            .value(":ttl", number((now + REVOKED_TIME).as_second()));
        self.table.update(self.directory(tenant).token_key(kid), revoked).await?;
        Ok(())
    }
}
