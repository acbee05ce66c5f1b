//! Resources as they go out of one directory and into another, ids and versions
//! with them.

use serde_json::Value;

use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{OPERATION, Outcome};
use crate::store::error::Error;
use crate::store::resource::actions::taken;
use crate::store::resource::{Write, checked_keys, is_id};
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::{ResourceItem, hour};
use crate::store::table::visibility::Visibility;

impl Store {
    /// A resource and all of its members, however many, as they were together at
    /// one time.
    pub async fn entire(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Option<(Resource, Vec<Value>)>, Error> {
        let key = Key::resource(tenant, kind, id);
        let left = self.left(tenant).await?;
        let mut retry = Retry::new(&*self.jitter);
        let mut seen = self.read(key.clone()).await?;
        while let Some(group) = seen {
            let Some(visibility) = group.visibility.as_ref().filter(|visibility| visibility.members > 0)
            else {
                return Ok(Some((group.into_resource(), Vec::new())));
            };
            let mut members = self.all_memberships(&keys::members(tenant, kind, id)).await?;
            members.retain(|one| visibility.shows(one.tags()) && !left.contains(&one.sk));
            let after = self.read(key.clone()).await?;
            if after.as_ref().is_some_and(|after| after.version == group.version) {
                let members = members.into_iter().map(Membership::into_element).collect();
                return Ok(Some((group.into_resource(), members)));
            }
            if !retry.pause().await {
                return Err(Error::Busy { operation: OPERATION });
            }
            seen = after;
        }
        Ok(None)
    }

    /// One transaction: the resource under its own id, its rows, one more in the
    /// census. `false` if there is one of that id, which is left as it is.
    pub async fn restore(&self, write: Write<'_>, resource: Resource) -> Result<bool, Error> {
        let Resource { id, version, created, last_modified, attributes } = resource;
        if !is_id(&id) {
            return Err(Error::NotFound);
        }
        let keys = checked_keys(write, &id, &attributes)?;
        let stored = ResourceItem {
            pk: keys::resources(write.tenant, write.kind),
            sk: id.clone(),
            version: version.0,
            write_id: (self.ids)().to_string(),
            previous_write_id: None,
            created,
            modified: last_modified,
            index_digest: keys.digest(),
            change_pk: keys::changes(write.tenant, write.kind),
            hour: hour(last_modified),
            resource: attributes,
            visibility: write.kind.members.is_some().then(Visibility::default),
        };
        let mut actions = vec![self.put_new(stored)?];
        actions.extend(self.put_rows(&keys, &id)?);
        actions.push(self.count(write, &id, 1)?);
        match self.transact(actions, &mut Retry::new(&*self.jitter)).await? {
            Outcome::Done => Ok(true),
            Outcome::Failed { action: 0, .. } => Ok(false),
            Outcome::Failed { action, old, .. } => Err(taken(write.kind, &keys, action, old.as_ref())),
        }
    }
}
