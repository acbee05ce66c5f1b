//! `scimctl sweep`.

use std::sync::Arc;

use jiff::Timestamp;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::store::{AuditTrail, Store, Swept, TenantName};

use crate::Result;
use crate::audit::Audit;

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
