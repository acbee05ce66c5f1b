//! `scimctl stats`.

use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::store::{Store, TenantName};
use serde_json::{Map, Value};

use crate::{Result, some_tenants};

/// Returns one object for each tenant: the number of its resources of each type, of its
/// tokens and of its cleanup jobs.
pub(crate) async fn run(store: &Store, packaged: &Definitions, tenant: Option<TenantName>) -> Result<Value> {
    let mut all = Vec::new();
    for (name, record) in some_tenants(store, tenant).await? {
        let mut stats = Map::new();
        stats.insert("tenant".to_owned(), name.as_str().into());
        for kind in &record.registry(packaged)?.resource_types {
            stats.insert(kind.name.clone(), store.directory(&name).collection(kind).total().await?.into());
        }
        let (jobs, oldest) = store.directory(&name).jobs().await?;
        stats.insert("tokens".to_owned(), store.tokens(&name).await?.len().into());
        stats.insert("jobs".to_owned(), jobs.into());
        stats.insert("oldestJobDue".to_owned(), oldest.map_or(Value::Null, |due| due.to_string().into()));
        all.push(Value::Object(stats));
    }
    Ok(all.into())
}
