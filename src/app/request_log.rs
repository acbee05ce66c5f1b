//! The notes of a request in progress. They outlive it if it runs out of time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header;
use jiff::Timestamp;
use tokio::time::timeout;

use super::App;
use crate::audit;
use crate::auth::claim::Claim;
use crate::auth::refusal::Refusal;
use crate::lambda::Request;
use crate::route::Route;
use crate::scim::quirks::Used;
use crate::scim::work::Work;
use crate::store::{AuditTrail, Audited, Changed, TenantName};

/// The time for the copy of the audit log. A request has 25 s, and API Gateway waits 29 s.
const KEEP_TIME: Duration = Duration::from_secs(2);

/// The longest text of a client in a line: a path, a method, a user agent.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// The longest key id and address in a line.
const MAX_NAME_BYTES: usize = 64;

/// Shortens a client's text for the log, without control characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let (kept, _) = text.split_at(text.floor_char_boundary(most));
    kept.replace(char::is_control, "")
}

/// The attributes of which an answer shows only a part.
#[derive(Default)]
pub(super) struct Cut {
    /// Of a user, the first groups.
    pub(super) groups: AtomicBool,
    /// Of a group in a list, no members.
    pub(super) members: AtomicBool,
}

impl Cut {
    /// Returns the names of the attributes; `None` if the answer is whole.
    pub(super) fn names(&self) -> Option<String> {
        let all = [("groups", &self.groups), ("members", &self.members)];
        let cut = all.into_iter().filter(|(_, is_cut)| is_cut.load(Ordering::Relaxed));
        let names: Vec<&str> = cut.map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

#[derive(Default)]
pub(super) struct RequestLog {
    pub(super) used: Used,
    pub(super) work: Work,
    pub(super) audit: AuditTrail,
    pub(super) cut: Cut,
    caller: OnceLock<Caller>,
    route: OnceLock<String>,
    refused: OnceLock<Refused>,
}

/// The part of a rejected request that the log shows.
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) tenant: Option<TenantName>,
    pub(super) key_id: Option<String>,
    pub(super) source_ip: Option<String>,
    pub(super) user_agent: Option<String>,
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

    /// Notes why the request is rejected, and whom it claims to be from.
    pub(super) fn refused(&self, refusal: Refusal, claim: &Claim<'_>, request: &Request) {
        let user_agent = request.headers.get(header::USER_AGENT);
        let _again = self.refused.set(Refused {
            reason: refusal.name(),
            tenant: claim.tenant().cloned(),
            key_id: claim.key_id().map(|key_id| shortened(&key_id, MAX_NAME_BYTES)),
            source_ip: request.source_ip.as_ref().map(|ip| shortened(ip, MAX_NAME_BYTES)),
            user_agent: user_agent
                .map(|text| shortened(&String::from_utf8_lossy(text.as_bytes()), MAX_TEXT_BYTES)),
        });
    }

    pub(super) fn refusal(&self) -> Option<&Refused> {
        self.refused.get()
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
