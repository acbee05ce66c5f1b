//! `scimctl sweep`.

use std::sync::Arc;

use jiff::Timestamp;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::store::{AuditTrail, Store, Swept, TenantName};

use crate::audit::Audit;
use crate::{Result, tenant as tenants};

/// Runs the due cleanup jobs of one tenant, or of all. A tenant that fails does not keep
/// the others waiting.
pub(crate) async fn run(
    store: &Store,
    packaged: &Definitions,
    one: Option<TenantName>,
    now: Timestamp,
    audit: &mut Audit,
) -> Result<Swept> {
    let names = match one {
        Some(name) => {
            tenants::known(store, &name).await?;
            vec![name]
        }
        None => store.tenants().await?,
    };
    let mut swept = Swept::default();
    for name in names {
        let done = async {
            // A tenant that is being deleted is listed, without a record.
            let Some(record) = store.tenant(&name).await? else { return Ok(()) };
            let kinds = record.registry(packaged)?.resource_types;
            tenant(store, &name, &kinds, now, audit, &mut swept).await
        };
        let done: Result<()> = done.await;
        if let Err(error) = done {
            tracing::error!("the jobs of {} failed: {error}", name.as_str());
            swept.missed();
        }
    }
    Ok(swept)
}

/// Runs the due cleanup jobs of a tenant, and records their changes.
pub(crate) async fn tenant(
    store: &Store,
    name: &TenantName,
    kinds: &[Arc<ResourceType>],
    now: Timestamp,
    audit: &mut Audit,
    swept: &mut Swept,
) -> Result<()> {
    let trail = AuditTrail::default();
    let done = store.directory(name).sweep(kinds, now, &trail, swept).await;
    // A sweep that fails has made changes, too.
    audit.record(name, &trail).await;
    Ok(done?)
}
