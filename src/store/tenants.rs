//! Tenants and their tokens.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::Update;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::auth::jwt::Oauth;
use crate::scim::error::ErrorKind;
use crate::scim::policy::Policy;
use crate::scim::registry::Registry;
use crate::scim::registry::custom::{Definitions, Unsound};
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{self, Outcome};
use crate::store::error::{Error, held};
use crate::store::resource::actions;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::resource_item::{Item, attribute_value};
use crate::store::{Store, hex};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantRecord {
    pub created: Timestamp,
    /// Nobody is let in since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Timestamp>,
    pub policy: Policy,
    /// Whose access tokens are taken beside the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
    /// JSON of [`Definitions`]: the tenant's own schemas and resource types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definitions: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the secret, in hexadecimal digits. A secret holds 256 random
    /// bits, so nothing is gained by a slow hash but a way to keep us busy.
    pub sha256: String,
    pub created: Timestamp,
    /// From then on it is as good as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default)]
    pub scope: Scope,
    /// The id of the user who is behind `/Me`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When it was last used, give or take an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}

/// The use of a token is noted no more often.
pub(crate) const USE_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// What a token lets a client do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    #[default]
    ReadWrite,
    Read,
}

impl Store {
    /// A token and its tenant, in one strongly consistent read: a token works as
    /// soon as it is made.
    pub async fn token(
        &self,
        tenant: &TenantName,
        kid: &str,
    ) -> Result<Option<(TokenRecord, TenantRecord)>, Error> {
        const OPERATION: &str = "BatchGetItem";
        let (token_key, tenant_key) = (Key::token(tenant, kid), Key::tenant(tenant));
        let mut items = self.items(vec![token_key.clone(), tenant_key.clone()]).await?;
        let token = items.remove(&token_key).map(serde_dynamo::from_item).transpose();
        let record = items.remove(&tenant_key).map(serde_dynamo::from_item).transpose();
        let token = token.map_err(|error| Error::fault(OPERATION, error))?;
        let record = record.map_err(|error| Error::fault(OPERATION, error))?;
        Ok(token.zip(record))
    }

    /// That a token was used. Of several instances one notes it.
    pub async fn note_use(&self, tenant: &TenantName, kid: &str, now: Timestamp) -> Result<(), Error> {
        const OPERATION: &str = "UpdateItem";
        let noted = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::token(tenant, kid).into_map()))
            .update_expression("SET used = :now")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(used) OR used <= :due)")
            .expression_attribute_values(":now", attribute_value(OPERATION, &now)?)
            .expression_attribute_values(":due", attribute_value(OPERATION, &(now - USE_INTERVAL))?)
            .send()
            .await;
        held(OPERATION, noted).map(|_| ())
    }

    /// Opens a connection, by the cheapest call that there is: for an item that nobody has.
    pub async fn connect(&self) -> Result<(), Error> {
        let key = Key { pk: keys::TENANTS.to_owned(), sk: "!".to_owned() };
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.into_map()));
        get.send().await.map_err(|error| Error::sdk("GetItem", &error))?;
        Ok(())
    }

    /// The names of all tenants.
    pub async fn tenants(&self) -> Result<Vec<TenantName>, Error> {
        let query =
            self.rows(keys::TENANTS.to_owned()).consistent_read(true).key_condition_expression("pk = :pk");
        let names = self.first_texts(query, "sk", usize::MAX).await?;
        Ok(names.iter().filter_map(|name| TenantName::parse(name)).collect())
    }

    pub async fn tenant(&self, tenant: &TenantName) -> Result<Option<TenantRecord>, Error> {
        const OPERATION: &str = "BatchGetItem";
        let key = Key::tenant(tenant);
        let record = self.items(vec![key.clone()]).await?.remove(&key).map(serde_dynamo::from_item);
        record.transpose().map_err(|error| Error::fault(OPERATION, error))
    }

    /// One transaction: the tenant, and its place in the list of all. `false` if
    /// there is one of that name, which is left as it is.
    pub async fn create_tenant(&self, tenant: &TenantName, record: &TenantRecord) -> Result<bool, Error> {
        let item = item(transaction::OPERATION, Key::tenant(tenant), record)?;
        let actions = vec![
            actions::put(self.put(item).condition_expression("attribute_not_exists(pk)"))?,
            // One that is being deleted is still listed.
            actions::put(
                self.put(Key::listed_tenant(tenant).into_map())
                    .condition_expression("attribute_not_exists(pk)"),
            )?,
        ];
        let outcome = self.transact(actions, &mut Retry::new(&*self.jitter)).await?;
        Ok(matches!(outcome, Outcome::Done))
    }

    /// `false` if there is one of that key id, which is left as it is.
    pub async fn create_token(
        &self,
        tenant: &TenantName,
        kid: &str,
        record: &TokenRecord,
    ) -> Result<bool, Error> {
        if self.put_record(Key::token(tenant, kid), record).await? {
            return Ok(true);
        }
        // It is there if an attempt whose answer was lost has made it.
        let there = self.token(tenant, kid).await?;
        Ok(there.is_some_and(|(there, _)| there.sha256 == record.sha256))
    }

    /// Every token of a tenant by its key id, those that have expired, too.
    pub async fn tokens(&self, tenant: &TenantName) -> Result<Vec<(String, TokenRecord)>, Error> {
        const OPERATION: &str = "Query";
        let Key { pk, sk: prefix } = Key::token(tenant, "");
        let mut pages = self.rows_from(pk, &prefix).into_paginator().items().send();
        let mut tokens = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| Error::sdk(OPERATION, &error))?;
            let Some(key) = Key::of(&item) else { continue };
            let kid = key.sk.trim_start_matches(&prefix).to_owned();
            tokens
                .push((kid, serde_dynamo::from_item(item).map_err(|error| Error::fault(OPERATION, error))?));
        }
        Ok(tokens)
    }

    /// One transaction: a new token, and an end for the one that it follows. `false` if
    /// that is not there any more, or has another end than was seen.
    pub async fn rotate_token(
        &self,
        tenant: &TenantName,
        (old, seen, ends): (&str, Option<Timestamp>, Timestamp),
        (kid, record): (&str, &TokenRecord),
    ) -> Result<bool, Error> {
        let item = item(transaction::OPERATION, Key::token(tenant, kid), record)?;
        let mut end = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::token(tenant, old).into_map()))
            .update_expression("SET expires = :ends")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(expires)")
            .expression_attribute_values(":ends", attribute_value(transaction::OPERATION, &ends)?);
        if let Some(seen) = seen {
            end = end
                .condition_expression("expires = :seen")
                .expression_attribute_values(":seen", attribute_value(transaction::OPERATION, &seen)?);
        }
        let actions = vec![
            actions::update(end)?,
            actions::put(self.put(item).condition_expression("attribute_not_exists(pk)"))?,
        ];
        let outcome = self.transact(actions, &mut Retry::new(&*self.jitter)).await?;
        Ok(matches!(outcome, Outcome::Done))
    }

    pub async fn revoke_token(&self, tenant: &TenantName, kid: &str) -> Result<(), Error> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::token(tenant, kid).into_map()))
            .send()
            .await
            .map_err(|error| Error::sdk("DeleteItem", &error))?;
        Ok(())
    }

    /// Closes a tenant that exists to everybody, or opens it again. One that is closed
    /// stays so since when it was.
    pub async fn set_disabled(&self, tenant: &TenantName, since: Option<Timestamp>) -> Result<(), Error> {
        let mut set = self.set_record(tenant, "disabled", since.as_ref())?;
        if since.is_some() {
            set = set.update_expression("SET #name = if_not_exists(#name, :value)");
        }
        set.condition_expression("attribute_exists(pk)")
            .send()
            .await
            .map_err(|error| Error::sdk("UpdateItem", &error))?;
        Ok(())
    }

    /// Replaces the policy of a tenant that exists.
    pub async fn set_policy(&self, tenant: &TenantName, policy: &Policy) -> Result<(), Error> {
        self.set(tenant, "policy", Some(policy)).await
    }

    /// Replaces a policy by one that was made from it. `false` if it is another by now.
    pub async fn change_policy(
        &self,
        tenant: &TenantName,
        seen: &Policy,
        policy: &Policy,
    ) -> Result<bool, Error> {
        const OPERATION: &str = "UpdateItem";
        let changed = self
            .set_record(tenant, "policy", Some(policy))?
            .condition_expression("attribute_exists(pk) AND #name = :seen")
            .expression_attribute_values(":seen", attribute_value(OPERATION, seen)?)
            .send()
            .await;
        held(OPERATION, changed)
    }

    /// Whose access tokens a tenant that exists takes.
    pub async fn set_oauth(&self, tenant: &TenantName, oauth: Option<&Oauth>) -> Result<(), Error> {
        if let Some(fault) = oauth.and_then(Oauth::fault) {
            return Err(Error::Refused(ErrorKind::InvalidValue.with(fault)));
        }
        self.set(tenant, "oauth", oauth).await
    }

    /// Replaces the definitions of a tenant that exists. What it cannot be served
    /// with is refused.
    pub async fn set_definitions(&self, tenant: &TenantName, text: &str) -> Result<(), Error> {
        Definitions::parse(text)
            .and_then(|definitions| Registry::with(&Policy::default(), &definitions))
            .map_err(|error| Error::Refused(ErrorKind::InvalidValue.with(error.to_string())))?;
        self.set(tenant, "definitions", Some(&text)).await
    }

    async fn set(
        &self,
        tenant: &TenantName,
        name: &str,
        value: Option<&impl Serialize>,
    ) -> Result<(), Error> {
        let set = self.set_record(tenant, name, value)?.condition_expression("attribute_exists(pk)");
        set.send().await.map_err(|error| Error::sdk("UpdateItem", &error))?;
        Ok(())
    }

    fn set_record(
        &self,
        tenant: &TenantName,
        name: &str,
        value: Option<&impl Serialize>,
    ) -> Result<UpdateItemFluentBuilder, Error> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::tenant(tenant).into_map()))
            .expression_attribute_names("#name", name);
        match value {
            Some(value) => {
                let value = attribute_value("UpdateItem", value)?;
                Ok(update
                    .update_expression("SET #name = :value")
                    .expression_attribute_values(":value", value))
            }
            None => Ok(update.update_expression("REMOVE #name")),
        }
    }

    async fn put_record(&self, key: Key, record: &impl Serialize) -> Result<bool, Error> {
        const OPERATION: &str = "PutItem";
        let item = item(OPERATION, key, record)?;
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        held(OPERATION, answer)
    }
}

fn item(operation: &'static str, key: Key, record: &impl Serialize) -> Result<Item, Error> {
    let mut item: Item = serde_dynamo::to_item(record).map_err(|error| Error::fault(operation, error))?;
    item.extend(key.into_map());
    Ok(item)
}

impl TenantRecord {
    /// What the tenant is served: the packaged schemas and its own.
    pub fn registry(&self, packaged: &Definitions) -> Result<Registry, Unsound> {
        let own = self.definitions.as_deref().map_or_else(|| Ok(Definitions::default()), Definitions::parse);
        own.and_then(|own| Registry::with(&self.policy, &packaged.clone().and(own)))
    }

    pub fn new(created: Timestamp) -> Self {
        Self { created, disabled: None, policy: Policy::default(), oauth: None, definitions: None }
    }
}

impl TokenRecord {
    pub fn new(secret: &str, created: Timestamp) -> Self {
        let sha256 = sha256(secret);
        Self { sha256, created, expires: None, scope: Scope::default(), user: None, used: None }
    }
}

pub(crate) fn sha256(secret: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(secret.as_bytes()))
}
