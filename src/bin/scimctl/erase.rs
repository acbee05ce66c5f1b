//! `scimctl tenant delete`.

use jiff::{SignedDuration, Timestamp};
use scim_lambda::store::{Applied, Store, TenantName};
use serde_json::{Value, json};

use crate::tenant::known;
use crate::{Result, confirm, progress};

/// Running instances accept requests for a minute after the tenant was disabled, and a
/// request takes up to half a minute.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

pub(crate) async fn tenant(store: &Store, name: &TenantName, yes: bool, now: Timestamp) -> Result<Value> {
    // A deletion removes the record first and the name last. In between it was confirmed, and
    // can only be resumed.
    let is_interrupted = store.tenant(name).await?.is_none() && store.tenants().await?.contains(name);
    if !is_interrupted {
        let since = known(store, name).await?.disabled.ok_or_else(|| {
            format!("tenant {0} is enabled: run scimctl tenant disable {0} first", name.as_str())
        })?;
        let rest = SETTLED - now.duration_since(since);
        if rest.is_positive() {
            return Err(format!(
                "requests of {} may still be in flight: retry in {} seconds",
                name.as_str(),
                rest.as_secs()
            )
            .into());
        }
        confirm(yes, &format!("All users, groups and tokens of {} will be deleted.", name.as_str()))?;
        // `since` is part of the condition: a tenant that was enabled and disabled again during
        // the confirmation must wait again.
        if store.begin_erasure(name, since).await? == Applied::Conflict {
            return Err(format!("tenant {} was enabled by another process", name.as_str()).into());
        }
    }
    let bar = progress(None, "items deleted");
    let done = store.erase(name, |count| bar.inc(count)).await;
    bar.finish_and_clear();
    done?;
    Ok(json!({ "deleted": name.as_str(), "items": bar.position() }))
}
