//! The notes of a request in progress. They outlive it if it runs out of time.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::App;
use crate::audit;
use crate::route::Route;
use crate::scim::quirks::Used;
use crate::scim::work::Work;
use crate::store::{AuditTrail, Audited, Changed, TenantName};

/// The time for the copy of the audit log. A request has 25 s, and API Gateway waits 29 s.
const KEEP_TIME: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) used: Used,
    pub(super) work: Work,
    pub(super) audit: AuditTrail,
    pub(super) is_cut: AtomicBool,
    caller: OnceLock<Caller>,
    route: OnceLock<String>,
}

struct Caller {
    tenant: TenantName,
    client: String,
    /// The time of the request.
    time: Timestamp,
}

impl RequestLog {
    /// Notes the caller.
    pub(super) fn authenticated(&self, tenant: &TenantName, client: &str, time: Timestamp) {
        // Called once per request.
        let _again = self.caller.set(Caller { tenant: tenant.clone(), client: client.to_owned(), time });
    }

    /// Notes the route.
    pub(super) fn routed(&self, route: &Route) {
        let _again = self.route.set(route.to_string());
    }

    /// Returns the route, a dimension of the metrics. The number of routes is bounded by the
    /// types and methods.
    pub(super) fn route(&self) -> &str {
        self.route.get().map_or("none", String::as_str)
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.caller.get().map(|caller| caller.tenant.as_str())
    }
}

impl App {
    /// Logs the changes of a request, and keeps a copy in the table if the operator wants
    /// one. A failure here does not fail the request, whose changes were applied.
    pub(super) async fn keep_audit(&self, request_id: &str, log: &RequestLog) {
        if let Some(Caller { tenant, client, time }) = log.caller.get() {
            self.keep(tenant, (*time, client, request_id), log.audit.take()).await;
        }
    }

    pub(super) async fn keep(
        &self,
        tenant: &TenantName,
        (time, client, request_id): (Timestamp, &str, &str),
        changes: Vec<Changed>,
    ) {
        let audited = Audited { time, client, request_id, changes: &changes };
        let record = audit::record(&self.store, tenant, &audited, self.config.audit_days);
        if timeout(KEEP_TIME, record).await.is_err() {
            tracing::error!(request_id, "the table may have no copy of this audit record");
        }
    }
}
