//! The end of a tenant.

use futures_util::TryStreamExt;
use jiff::Timestamp;

use crate::store::Store;
use crate::store::error::{Error, held};
use crate::store::table::keys::{Key, TenantName};
use crate::store::table::resource_item::attribute_value;

/// Keys that are gathered before they are deleted.
const BATCH: usize = 1_000;

const DELETE: &str = "DeleteItem";

impl Store {
    /// From here on nobody can be let in again. `false` if the tenant is not disabled
    /// since then any more.
    pub async fn begin_erasure(&self, tenant: &TenantName, disabled: Timestamp) -> Result<bool, Error> {
        let begun = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(Key::tenant(tenant).into_map()))
            .condition_expression("disabled = :disabled")
            .expression_attribute_values(":disabled", attribute_value(DELETE, &disabled)?)
            .send()
            .await;
        // If it did not hold, an attempt whose answer was lost may have won.
        Ok(held(DELETE, begun)? || self.tenant(tenant).await?.is_none())
    }

    /// Deletes every item of a tenant whose record is gone, and last its name from
    /// the list of all, so that a deletion that was cut off can be found and taken up.
    /// Reads the whole table.
    pub async fn erase(&self, tenant: &TenantName, deleted: impl Fn(u64) + Sync) -> Result<(), Error> {
        let mut keys = Vec::with_capacity(BATCH);
        let mut items = Box::pin(self.every_item(tenant, Some("pk, sk")));
        while let Some(item) = items.try_next().await? {
            keys.extend(Key::of(&item));
            if keys.len() >= BATCH {
                self.delete_all(&mut keys, &deleted).await?;
            }
        }
        self.delete_all(&mut keys, &deleted).await?;
        self.delete_all(&mut vec![Key::listed_tenant(tenant)], &deleted).await
    }

    async fn delete_all(&self, keys: &mut Vec<Key>, deleted: &(impl Fn(u64) + Sync)) -> Result<(), Error> {
        let statements: Vec<_> = keys.drain(..).map(|key| self.delete_statement(key, None)).collect();
        let count = statements.len() as u64;
        self.execute(statements).await?;
        deleted(count);
        Ok(())
    }
}
