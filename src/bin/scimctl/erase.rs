//! `scimctl tenant delete`.

use jiff::{SignedDuration, Timestamp};
use scim_lambda::store::{Store, TenantName};
use serde_json::{Value, json};

use crate::tenant::known;
use crate::{Result, confirm, progress};

/// A function that runs lets requests in for a minute after the tenant was disabled,
/// and has half a minute for each.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

pub(crate) async fn tenant(store: &Store, name: &TenantName, yes: bool, now: Timestamp) -> Result<Value> {
    let is_cut_off = store.tenant(name).await?.is_none() && store.tenants().await?.contains(name);
    if !is_cut_off {
        let since = known(store, name).await?.disabled.ok_or_else(|| {
            format!("the tenant {0} is in use: first scimctl tenant disable {0}", name.as_str())
        })?;
        let rest = SETTLED - now.duration_since(since);
        if rest.is_positive() {
            return Err(format!(
                "requests of {} may still be under way: try again in {} seconds",
                name.as_str(),
                rest.as_secs()
            )
            .into());
        }
        confirm(yes, &format!("Users, groups and tokens of {} are lost.", name.as_str()))?;
        if !store.begin_erasure(name, since).await? {
            return Err(format!("somebody has enabled {} meanwhile", name.as_str()).into());
        }
    }
    let bar = progress(None, "items deleted");
    store.erase(name, |count| bar.inc(count)).await?;
    bar.finish_and_clear();
    Ok(json!({ "deleted": name.as_str(), "items": bar.position() }))
}
