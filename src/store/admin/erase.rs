//! The end of a tenant.

use jiff::Timestamp;

use crate::store::Store;
use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::client::Applied;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, value};
use crate::store::error::Error;
use crate::store::table::directory::TenantName;
use crate::store::table::keys::listed_tenant;

/// Keys that are collected before they are deleted.
const BATCH: usize = 1_000;

impl Store {
    /// Deletes the record of a tenant that is disabled since `disabled`, so that it cannot
    /// be enabled again. Conflicts if it was enabled in between.
    pub async fn begin_erasure(&self, tenant: &TenantName, disabled: Timestamp) -> Result<Applied, Error> {
        let is_disabled = Expression::when("#disabled = :disabled").value(":disabled", value(&disabled)?);
        let deleted = self.table.delete(self.directory(tenant).tenant_key(), is_disabled).await?;
        // If the record is gone, an attempt whose answer was lost has deleted it.
        match Applied::from(deleted) {
            Applied::Conflict if self.tenant(tenant).await?.is_none() => Ok(Applied::Applied),
            deleted => Ok(deleted),
        }
    }

    /// Deletes every item of a tenant whose record is gone. Its name leaves the list of all
    /// tenants last, so that an interrupted deletion can be found and resumed.
    pub async fn erase(&self, tenant: &TenantName, deleted: impl Fn(u64) + Sync) -> Result<(), Error> {
        let mut keys = Vec::with_capacity(BATCH);
        let mut scan = self.directory(tenant).scan("pk, sk");
        while let Some(page) = scan.next_page().await? {
            keys.extend(page.iter().filter_map(Key::of));
            // Deleting behind a scan does not disturb it: it resumes at a key, not at an item.
            if keys.len() >= BATCH {
                self.delete_all(&mut keys, &deleted).await?;
            }
        }
        self.delete_all(&mut keys, &deleted).await?;
        self.delete_all(&mut vec![listed_tenant(tenant)], &deleted).await
    }

    async fn delete_all(&self, keys: &mut Vec<Key>, deleted: &(impl Fn(u64) + Sync)) -> Result<(), Error> {
        let statements: Vec<Statement> = keys.drain(..).map(|key| self.table.delete_statement(key)).collect();
        let count = statements.len() as u64;
        self.table.execute(statements).await?;
        deleted(count);
        Ok(())
    }
}
