//! `scimctl check`.

use jiff::Timestamp;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{Expected, Finding, Repaired, Store, Swept, TenantName, TenantRecord};
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::{Result, progress, sweep};

/// Returns one object for each finding; with `repair`, it says whether it was repaired.
pub(crate) async fn run(
    store: &Store,
    packaged: &Definitions,
    tenants: Vec<(TenantName, TenantRecord)>,
    repair: bool,
    now: Timestamp,
    audit: &mut Audit,
) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (tenant, record) in tenants {
        let kinds = record.registry(packaged)?.resource_types;
        let expected = Expected { tenant: &tenant, kinds: &kinds, policy: &record.policy, now };
        let bar = progress(None, "items read");
        let findings = store.check(&expected, |count| bar.inc(count)).await;
        bar.finish_and_clear();
        let findings = findings?;
        for finding in &findings {
            let repaired =
                if repair { repaired(store, &tenant, finding).await? } else { "no: pass --repair" };
            found.push(json!({
                "tenant": tenant.as_str(),
                "finding": finding.to_string(),
                "repaired": repaired,
            }));
        }
        if repair && !findings.is_empty() {
            // Some repairs put a cleanup job.
            sweep::tenant(store, &tenant, &kinds, now, audit, &mut Swept::default()).await?;
        }
    }
    Ok(found)
}

async fn repaired(store: &Store, tenant: &TenantName, finding: &Finding) -> Result<&'static str> {
    Ok(match store.repair(finding).await? {
        Repaired::Repaired => {
            // Without the finding, which may hold a userName: stdout has it.
            tracing::info!(tenant = tenant.as_str(), "repaired");
            "yes"
        }
        Repaired::Changed => "no: changed since the check",
        Repaired::NeedsDecision => "no: needs a decision",
    })
}
