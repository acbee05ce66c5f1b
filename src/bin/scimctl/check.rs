//! `scimctl check`.

use jiff::Timestamp;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{Expected, Finding, Registries, Repaired, Store, Swept, TenantName, TenantRecord};
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
    let registries = Registries::new(packaged.clone());
    let registries =
        tenants.iter().map(|(_, record)| registries.of(record)).collect::<Result<Vec<_>, _>>()?;
    let expected = tenants.iter().zip(&registries).map(|((tenant, record), registry)| Expected {
        tenant,
        kinds: &registry.resource_types,
        policy: &record.policy,
    });
    let expected: Vec<Expected<'_>> = expected.collect();
    let bar = progress(None, "items read");
    let findings = store.check(&expected, now, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    let mut found = Vec::new();
    for of_tenant in findings?.chunk_by(|(one, _), (other, _)| one == other) {
        let Some(Expected { tenant, kinds, .. }) =
            of_tenant.first().and_then(|(place, _)| expected.get(*place))
        else {
            continue;
        };
        for (_, finding) in of_tenant {
            let repaired = if repair { repaired(store, tenant, finding).await? } else { "no: pass --repair" };
            found.push(json!({
                "tenant": tenant.as_str(),
                "finding": finding.to_string(),
                "repaired": repaired,
            }));
        }
        if repair {
            // Some repairs put a cleanup job.
            sweep::tenant(store, tenant, kinds, now, audit, &mut Swept::default()).await?;
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
