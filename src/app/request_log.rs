//! What is noted while a request is under way, and outlives it if it is cut off.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::App;
use crate::route::Route;
use crate::scim::quirks::Used;
use crate::store::{AuditTrail, Audited, Changed, TenantName};

/// What the copy of the audit log may take: a request has 25 s, API Gateway waits 29.
const KEEP_TIME: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) used: Used,
    pub(super) trail: AuditTrail,
    caller: OnceLock<Caller>,
    route: OnceLock<String>,
}

struct Caller {
    tenant: TenantName,
    client: String,
    /// When the request came.
    time: Timestamp,
}

impl RequestLog {
    /// Who it is, once that is known.
    pub(super) fn let_in(&self, tenant: &TenantName, client: &str, time: Timestamp) {
        // Only once a request.
        let _again = self.caller.set(Caller { tenant: tenant.clone(), client: client.to_owned(), time });
    }

    /// What it asks for, once that is known.
    pub(super) fn routed(&self, route: &Route) {
        let _again = self.route.set(route.to_string());
    }

    /// Metrics are grouped by it: there are no more than types and methods make.
    pub(super) fn route(&self) -> &str {
        self.route.get().map_or("none", String::as_str)
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.caller.get().map(|caller| caller.tenant.as_str())
    }
}

impl App {
    /// Logs what a request has changed, and keeps a copy in the table if the operator
    /// wants one. The request has happened, whatever becomes of its record.
    pub(super) async fn keep_audit(&self, request_id: &str, log: &RequestLog) {
        if let Some(Caller { tenant, client, time }) = log.caller.get() {
            self.keep(tenant, (*time, client, request_id), log.trail.take()).await;
        }
    }

    pub(super) async fn keep(
        &self,
        tenant: &TenantName,
        (time, client, request_id): (Timestamp, &str, &str),
        changes: Vec<Changed>,
    ) {
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            log(tenant, client, request_id, time, change);
        }
        let Some(days) = self.config.audit_days else {
            return;
        };
        let audited = Audited { time, client, request_id, changes: &changes };
        match timeout(KEEP_TIME, self.store.keep_audit(tenant, &audited, days)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, request_id, "the table has no copy of this audit record");
            }
            Err(_) => tracing::error!(request_id, "the table may have no copy of this audit record"),
        }
    }
}

fn log(tenant: &TenantName, client: &str, request_id: &str, time: Timestamp, change: &Changed) {
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
