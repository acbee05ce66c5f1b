//! `scimctl check`.

use jiff::Timestamp;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{AuditTrail, Expected, Store, Swept, TenantName, TenantRecord};
use serde_json::{Value, json};

use crate::{Result, progress};

/// What is wrong, a line for each; with `repair`, what was done about it.
pub(crate) async fn run(
    store: &Store,
    packaged: &Definitions,
    tenants: Vec<(TenantName, TenantRecord)>,
    repair: bool,
    now: Timestamp,
) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (tenant, record) in tenants {
        let kinds = record.registry(packaged)?.resource_types;
        let expected = Expected { tenant: &tenant, kinds: &kinds, policy: &record.policy, now };
        let bar = progress(None, "items read");
        let findings = store.check(&expected, |count| bar.inc(count)).await?;
        bar.finish_and_clear();
        for finding in &findings {
            let repaired = match repair {
                true if store.mend(finding).await? => "yes",
                true if finding.can_be_mended() => "no: it has changed meanwhile",
                true => "no: somebody has to decide",
                false => "not asked for",
            };
            found.push(json!({
                "tenant": tenant.as_str(),
                "finding": finding.to_string(),
                "repaired": repaired,
            }));
        }
        if repair && !findings.is_empty() {
            // What was mended by a job.
            store.sweep_tenant(&tenant, &kinds, now, &AuditTrail::default(), &mut Swept::default()).await?;
        }
    }
    Ok(found)
}
