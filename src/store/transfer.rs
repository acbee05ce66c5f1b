//! Resources as they go out of one directory and into another, ids and versions
//! with them.

use serde_json::Value;

use super::Store;
use super::actions::taken;
use super::error::Error;
use super::item::{Stored, hour};
use super::keys::{self, Key, TenantName};
use super::membership::Membership;
use super::resources::{Write, checked_keys, is_id};
use super::retry::Retry;
use super::roster::Roster;
use super::transaction::{OPERATION, Outcome};
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;

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
        let mut retry = Retry::new(&*self.dice);
        let mut seen = self.read(key.clone()).await?;
        while let Some(group) = seen {
            let Some(roster) = group.roster.as_ref().filter(|roster| roster.members > 0) else {
                return Ok(Some((group.into_resource(), Vec::new())));
            };
            let mut members = self.all_memberships(&keys::members(tenant, kind, id)).await?;
            members.retain(|one| roster.shows(one.tags()) && !left.contains(&one.sk));
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
        let stored = Stored {
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
            roster: write.kind.members.is_some().then(Roster::default),
        };
        let mut actions = vec![self.put_new(stored)?];
        actions.extend(self.put_rows(&keys, &id)?);
        actions.push(self.count(write, &id, 1)?);
        match self.transact(actions, &mut Retry::new(&*self.dice)).await? {
            Outcome::Done => Ok(true),
            Outcome::Failed { action: 0, .. } => Ok(false),
            Outcome::Failed { action, old, .. } => Err(taken(write.kind, &keys, action, old.as_ref())),
        }
    }
}
