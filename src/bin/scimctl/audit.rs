//! The audit records of the changes that scimctl makes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, Unit};
use scim_lambda::audit;
use scim_lambda::sources::Sources;
use scim_lambda::store::{AuditTrail, Audited, Store, TenantName};
use serde_json::{Map, Value};

use crate::Answer;

const CLIENT: &str = "scimctl";

/// The members of a record, in the order in which they are shown.
const COLUMNS: [&str; 9] = [
    "time",
    "client",
    "action",
    "resourceType",
    "id",
    "versionBefore",
    "versionAfter",
    "attributes",
    "requestId",
];

pub(crate) struct Audit {
    store: Store,
    /// The number of days for which the table keeps a copy; no copy if `None`.
    days: Option<u16>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The request id in all records of this process.
    run_id: String,
    last: Timestamp,
}

impl Audit {
    pub(crate) fn new(store: Store, days: Option<u16>, sources: &Sources) -> Self {
        let (now, run_id) = (Arc::clone(&sources.now), (sources.ids)().to_string());
        Self { store, days, now, run_id, last: Timestamp::MIN }
    }

    /// Records the changes that have been noted since the last call.
    pub(crate) async fn record(&mut self, tenant: &TenantName, trail: &AuditTrail) {
        let changes = &trail.take();
        if changes.is_empty() {
            return;
        }
        let now = (self.now)();
        let now = now.round(Unit::Millisecond).unwrap_or(now);
        // The keys of the copies start with the time: two batches must not share one.
        self.last = now.max(self.last + SignedDuration::from_millis(1));
        let audited = Audited { time: self.last, client: CLIENT, request_id: &self.run_id, changes };
        audit::record(&self.store, tenant, &audited, self.days).await;
    }
}

/// Returns the records of a day with the same columns for each.
pub(crate) fn shown(records: Vec<Value>) -> Answer {
    let row = |record: &Value| {
        let members = COLUMNS.iter().map(|name| ((*name).to_owned(), record[*name].clone()));
        Value::Object(members.collect::<Map<_, _>>())
    };
    Answer { table: records.iter().map(row).collect(), json: records.into(), is_incomplete: false }
}
