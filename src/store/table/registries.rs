//! The registries of tenants, each of which is in memory once for all tenants that are
//! served the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::scim::policy::Policy;
use crate::scim::registry::Registry;
use crate::scim::registry::custom::{Definitions, Unsound};
use crate::store::digest::sha256;
use crate::store::table::tenant_record::{Reindex, TenantRecord};

pub struct Registries {
    /// The definitions that the function is packaged with, for every tenant.
    packaged: Definitions,
    /// By a digest of everything else that a registry is made of.
    made: Mutex<HashMap<String, Weak<Registry>>>,
}

impl Registries {
    pub fn new(packaged: Definitions) -> Self {
        Self { packaged, made: Mutex::default() }
    }

    /// Returns the schemas and resource types of a tenant.
    pub fn of(&self, record: &TenantRecord) -> Result<Arc<Registry>, Unsound> {
        // Nothing panics while it holds the lock.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let TenantRecord { policy, definitions, reindex, .. } = record;
        let of = |policy: &Policy, definitions: Option<&str>| {
            format!("{:?} {}", policy.of_schemas(), definitions.map(sha256).unwrap_or_default())
        };
        let mut key = of(policy, definitions.as_deref());
        if let Some(Reindex { stage, policy, definitions, since: _ }) = reindex {
            key = format!("{key} {stage:?} {}", of(policy, definitions.as_deref()));
        }
        if let Some(registry) = made.get(&key).and_then(Weak::upgrade) {
            return Ok(registry);
        }
        let registry = Arc::new(record.registry(&self.packaged)?);
        made.retain(|_, registry| registry.strong_count() > 0);
        made.insert(key, Arc::downgrade(&registry));
        Ok(registry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Registries;
    use crate::scim::policy::{GroupNames, PatchAnswer, Policy};
    use crate::scim::registry::custom::Definitions;
    use crate::store::table::tenant_record::TenantRecord;

    #[test]
    fn tenants_that_are_served_the_same_share_a_registry() {
        let registries = Registries::new(Definitions::default());
        let record = |policy, definitions: Option<&str>| {
            let new = TenantRecord::new(jiff::Timestamp::UNIX_EPOCH);
            registries
                .of(&TenantRecord { policy, definitions: definitions.map(str::to_owned), ..new })
                .unwrap()
        };
        let free = Policy { group_names: GroupNames::Free, ..Policy::default() };
        let verbose = Policy { patch_answer: PatchAnswer::Representation, ..Policy::default() };
        let first = record(Policy::default(), None);
        assert!(Arc::ptr_eq(&first, &record(verbose, None)));
        assert!(!Arc::ptr_eq(&first, &record(free, None)));
        let own = record(Policy::default(), Some("{}"));
        assert!(Arc::ptr_eq(&own, &record(Policy::default(), Some("{}"))) && !Arc::ptr_eq(&own, &first));
        drop((first, own));
        record(Policy::default(), None);
        assert_eq!(registries.made.lock().unwrap().len(), 1);
    }
}
