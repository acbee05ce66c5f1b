//! Secrets of the deployment, which all instances share: an item of the table for each.
//!
//! An item has two generations. After a rotation, what the previous one has sealed can still be
//! opened.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::dynamo::client::{Applied, Written};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{item_at, read, value};
use crate::store::error::Error;
use crate::store::table::keys::secret_key;

/// The secret that seals cursors.
const CURSOR: &str = "cursor";

/// A secret and the one before it.
#[derive(Serialize, Deserialize)]
pub struct SecretRecord {
    pub generation: u32,
    pub current: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
pub struct Secret {
    /// The secret itself. One that is encrypted by another key would have another attribute.
    pub plain: String,
    pub created: Timestamp,
}

impl Store {
    pub async fn cursor_secret(&self) -> Result<Option<SecretRecord>, Error> {
        self.table.get(secret_key(CURSOR)).await?.map(read).transpose()
    }

    /// Reads the secret of cursors, and creates it if no instance has needed one yet.
    pub async fn cursor_secret_or_new(&self, now: Timestamp) -> Result<SecretRecord, Error> {
        if let Some(record) = self.cursor_secret().await? {
            return Ok(record);
        }
        let first = SecretRecord { generation: 1, current: self.new_secret(now), previous: None };
        match self.put_cursor_secret(&first, Expression::when("attribute_not_exists(pk)")).await? {
            Written::Applied(_) => Ok(first),
            // Another instance was faster, or an attempt of this one whose answer was lost.
            Written::Conflict(current) => read(current.unwrap_or_default()),
        }
    }

    /// Replaces the secret of cursors. The one that it replaces becomes the previous one.
    pub async fn rotate_cursor_secret(&self, now: Timestamp) -> Result<Applied, Error> {
        let observed = self.cursor_secret_or_new(now).await?;
        let next = SecretRecord {
            generation: observed.generation.saturating_add(1),
            current: self.new_secret(now),
            previous: Some(observed.current),
        };
        let is_observed = Expression::when("#generation = :observed")
            .name("#generation", "generation")
            .value(":observed", value(&observed.generation)?);
        Ok(match self.put_cursor_secret(&next, is_observed).await? {
            Written::Applied(_) => Applied::Applied,
            Written::Conflict(current) => {
                let current: SecretRecord = read(current.unwrap_or_default())?;
                // An attempt whose answer was lost has written it.
                let is_ours = current.current.plain == next.current.plain;
                if is_ours { Applied::Applied } else { Applied::Conflict }
            }
        })
    }

    async fn put_cursor_secret(
        &self,
        record: &SecretRecord,
        condition: Expression,
    ) -> Result<Written, Error> {
        self.table.put(item_at(secret_key(CURSOR), record)?, condition).await
    }

    fn new_secret(&self, now: Timestamp) -> Secret {
        // 122 random bits each.
        let plain = format!("{}{}", self.table.new_id(), self.table.new_id());
        Secret { plain, created: now }
    }
}
