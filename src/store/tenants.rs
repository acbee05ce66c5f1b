//! Tenants.

use jiff::Timestamp;
use serde::Serialize;

use crate::scim::policy::Policy;
use crate::store::Store;
#[cfg(feature = "cli")]
use crate::store::dynamo::client::Applied;
use crate::store::dynamo::client::Written;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, item_at, read, value};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::resource::Created;
use crate::store::table::directory::TenantName;
use crate::store::table::keys::{TENANTS, listed_tenant};
use crate::store::table::tenant_record::{Oauth, TenantRecord};

impl Store {
    /// Opens a connection by the cheapest possible call: for an item that does not exist.
    pub async fn warm_up(&self) -> Result<(), Error> {
        self.table.get(Key { pk: TENANTS.to_owned(), sk: "!".to_owned() }).await?;
        Ok(())
    }

    /// Reads the names of all tenants, including those that are being deleted.
    pub async fn tenants(&self) -> Result<Vec<TenantName>, Error> {
        let names = self.table.query(TENANTS).consistent().first_texts("sk", usize::MAX).await?;
        Ok(names.iter().filter_map(|name| TenantName::parse(name)).collect())
    }

    pub async fn tenant(&self, tenant: &TenantName) -> Result<Option<TenantRecord>, Error> {
        let items = self.table.get_all(vec![self.directory(tenant).tenant_key()]).await?;
        items.into_values().next().map(read).transpose()
    }

    /// Creates a tenant and its place in the list of all by one transaction.
    pub async fn create_tenant(&self, tenant: &TenantName, record: &TenantRecord) -> Result<Created, Error> {
        let actions = vec![
            Action::create(item_at(self.directory(tenant).tenant_key(), record)?),
            // A tenant that is being deleted is still listed.
            Action::create(listed_tenant(tenant).into_item()),
        ];
        let outcome = self.table.transact(actions).await?;
        Ok(Created::from(outcome))
    }

    /// Rejects all requests for a tenant that exists, or accepts them again. A tenant that
    /// is disabled keeps the time since when.
    pub async fn set_disabled(&self, tenant: &TenantName, since: Option<Timestamp>) -> Result<(), Error> {
        let exists = Expression::when("attribute_exists(pk)");
        let set = match since {
            Some(since) => {
                exists.set("#disabled = if_not_exists(#disabled, :since)").value(":since", value(&since)?)
            }
            None => exists.remove("#disabled"),
        };
        self.update_tenant(tenant, set).await
    }

    /// Replaces the policy of a tenant that exists.
    pub async fn set_policy(&self, tenant: &TenantName, policy: &Policy) -> Result<(), Error> {
        self.set(tenant, "policy", Some(policy)).await
    }

    /// Replaces the policy, the definitions and the state of a change of the index by those of
    /// `next`. Conflicts if any of them has changed since `observed` was read.
    #[cfg(feature = "cli")]
    pub async fn change_rules(
        &self,
        tenant: &TenantName,
        observed: &TenantRecord,
        next: &TenantRecord,
    ) -> Result<Applied, Error> {
        let mut change = Expression::when("attribute_exists(pk)")
            .and("#policy = :policy_before")
            .set("#policy = :policy")
            .value(":policy_before", value(&observed.policy)?)
            .value(":policy", value(&next.policy)?);
        let both = |record: &TenantRecord| {
            let reindex = record.reindex.as_ref().map(value).transpose()?;
            let definitions = record.definitions.as_ref().map(value).transpose()?;
            Ok::<_, Error>([("definitions", definitions), ("reindex", reindex)])
        };
        for ((name, before), (_, after)) in both(observed)?.into_iter().zip(both(next)?) {
            change = match before {
                Some(before) => {
                    change.and(format!("#{name} = :{name}_before")).value(format!(":{name}_before"), before)
                }
                None => change.and(format!("attribute_not_exists(#{name})")),
            };
            change = match after {
                Some(after) => change.set(format!("#{name} = :{name}")).value(format!(":{name}"), after),
                None => change.remove(format!("#{name}")),
            };
        }
        Ok(self.table.update(self.directory(tenant).tenant_key(), change).await?.into())
    }

    /// Replaces the authorization server of a tenant that exists.
    pub async fn set_oauth(&self, tenant: &TenantName, oauth: Option<&Oauth>) -> Result<(), Error> {
        self.set(tenant, "oauth", oauth).await
    }

    async fn set(
        &self,
        tenant: &TenantName,
        attribute: &str,
        new: Option<&impl Serialize>,
    ) -> Result<(), Error> {
        let exists = Expression::when("attribute_exists(pk)").name("#attribute", attribute);
        let set = match new {
            Some(new) => exists.set("#attribute = :new").value(":new", value(new)?),
            None => exists.remove("#attribute"),
        };
        self.update_tenant(tenant, set).await
    }

    async fn update_tenant(&self, tenant: &TenantName, change: Expression) -> Result<(), Error> {
        match self.table.update(self.directory(tenant).tenant_key(), change).await? {
            Written::Applied(_) => Ok(()),
            Written::Conflict(_) => Err(Error::fault("UpdateItem", "the tenant does not exist")),
        }
    }
}
