//! The audit log: one line for each change of a resource, and a copy in the table if the
//! operator wants one.

use crate::store::{Audited, Changed, Store, TenantName};

/// Logs the changes, and keeps a copy of them in the table for so many `days`. They have
/// been made: a copy that fails is logged, and nothing else comes of it.
pub async fn record(store: &Store, tenant: &TenantName, audited: &Audited<'_>, days: Option<u16>) {
    if audited.changes.is_empty() {
        return;
    }
    // The log first: it needs no call, so a time-out or a failing table costs only the copy.
    for change in audited.changes {
        log(tenant, audited, change);
    }
    let Some(days) = days else {
        return;
    };
    if let Err(error) = store.directory(tenant).keep_audit(audited, days).await {
        tracing::error!(%error, request_id = audited.request_id, "the table has no copy of this audit record");
    }
}

fn log(tenant: &TenantName, audited: &Audited<'_>, change: &Changed) {
    let Audited { time, client, request_id, .. } = *audited;
    let Changed { action, resource_type, id, version_before, version_after, attributes } = change;
    let names = attributes.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    tracing::info!(
        %time,
        tenant = tenant.as_str(),
        client,
        request_id,
        action = action.name(),
        resource_type,
        id,
        version_before,
        version_after,
        attributes = names.map(|names| names.join(",")),
        "audit"
    );
}
