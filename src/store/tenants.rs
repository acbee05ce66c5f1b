//! Tenants and their tokens.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Update};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::item::{Item, attribute_value};
use super::keys::{self, Key, TenantName};
use super::retry::Retry;
use super::transaction::{self, Outcome};
use super::{Store, actions, hex};
use crate::scim::catalogue::Catalogue;
use crate::scim::definitions::Definitions;
use crate::scim::error::ErrorKind;
use crate::scim::policy::Policy;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantRecord {
    pub created: Timestamp,
    /// Nobody is let in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    pub policy: Policy,
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
}

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
            actions::put(self.put(Key::listed_tenant(tenant).into_map()))?,
        ];
        let outcome = self.transact(actions, &mut Retry::new(&*self.dice)).await?;
        Ok(matches!(outcome, Outcome::Done))
    }

    /// `false` if there is one of that key id, which is left as it is.
    pub async fn create_token(
        &self,
        tenant: &TenantName,
        kid: &str,
        record: &TokenRecord,
    ) -> Result<bool, Error> {
        self.put_record(Key::token(tenant, kid), record).await
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
    /// that is not there any more.
    pub async fn rotate_token(
        &self,
        tenant: &TenantName,
        (old, ends): (&str, Timestamp),
        (kid, record): (&str, &TokenRecord),
    ) -> Result<bool, Error> {
        let item = item(transaction::OPERATION, Key::token(tenant, kid), record)?;
        let end = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::token(tenant, old).into_map()))
            .update_expression("SET expires = :ends")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":ends", attribute_value(transaction::OPERATION, &ends)?);
        let actions = vec![
            actions::update(end)?,
            actions::put(self.put(item).condition_expression("attribute_not_exists(pk)"))?,
        ];
        let outcome = self.transact(actions, &mut Retry::new(&*self.dice)).await?;
        Ok(matches!(outcome, Outcome::Done))
    }

    /// Whether there was such a token.
    pub async fn revoke_token(&self, tenant: &TenantName, kid: &str) -> Result<bool, Error> {
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::token(tenant, kid).into_map()))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| Error::sdk("DeleteItem", &error))?;
        Ok(deleted.attributes.is_some())
    }

    /// Closes a tenant that exists to everybody, or opens it again.
    pub async fn set_disabled(&self, tenant: &TenantName, disabled: bool) -> Result<(), Error> {
        self.set(tenant, "disabled", AttributeValue::Bool(disabled)).await
    }

    /// Replaces the policy of a tenant that exists.
    pub async fn set_policy(&self, tenant: &TenantName, policy: &Policy) -> Result<(), Error> {
        let policy = attribute_value("UpdateItem", policy)?;
        self.set(tenant, "policy", policy).await
    }

    /// Replaces the definitions of a tenant that exists. What it cannot be served
    /// with is refused.
    pub async fn set_definitions(&self, tenant: &TenantName, text: &str) -> Result<(), Error> {
        Definitions::parse(text)
            .and_then(|definitions| Catalogue::with(&Policy::default(), &definitions))
            .map_err(|error| Error::Refused(ErrorKind::InvalidValue.with(error.to_string())))?;
        self.set(tenant, "definitions", AttributeValue::S(text.to_owned())).await
    }

    async fn set(&self, tenant: &TenantName, name: &str, value: AttributeValue) -> Result<(), Error> {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::tenant(tenant).into_map()))
            .update_expression("SET #name = :value")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .map_err(|error| Error::sdk("UpdateItem", &error))?;
        Ok(())
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
        match answer {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(context))
                if matches!(context.err(), PutItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::sdk(OPERATION, &error)),
        }
    }
}

fn item(operation: &'static str, key: Key, record: &impl Serialize) -> Result<Item, Error> {
    let mut item: Item = serde_dynamo::to_item(record).map_err(|error| Error::fault(operation, error))?;
    item.extend(key.into_map());
    Ok(item)
}

impl TenantRecord {
    pub fn new(created: Timestamp) -> Self {
        Self { created, disabled: false, policy: Policy::default(), definitions: None }
    }
}

impl TokenRecord {
    pub fn new(secret: &str, created: Timestamp) -> Self {
        Self { sha256: sha256(secret), created, expires: None, scope: Scope::default(), user: None }
    }
}

pub(crate) fn sha256(secret: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(secret.as_bytes()))
}
