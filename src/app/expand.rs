//! Members, groups and `$ref` in an answer. The store keeps memberships apart from users
//! and groups.

use serde_json::Value;

use super::context::RequestContext;
use crate::scim::error::Result;
use crate::scim::projection::Projection;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::{DirectGroup, Error as StoreError};

impl RequestContext<'_> {
    /// Reads a resource with everything that the answer to a GET shows of it.
    pub(super) async fn get_expanded(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Resource> {
        let shows = |name: &Option<String>| name.as_ref().is_some_and(|name| projection.shows(kind, name));
        let collection = self.collection(kind);
        let mut found = if shows(&kind.members) {
            Box::pin(collection.get_with_members(id)).await?.ok_or(StoreError::NotFound)?
        } else if shows(&kind.member_of) {
            let kinds = self.groups();
            let groups = Box::pin(self.directory().groups_of(&kinds, id));
            // Concurrent, although the groups are read in vain if the resource does not exist: most
            // ids do.
            let (found, groups) = tokio::try_join!(collection.get(id), groups)?;
            let mut found = found.ok_or(StoreError::NotFound)?;
            self.add_groups(kind, &mut found, groups);
            found
        } else {
            collection.get(id).await?.ok_or(StoreError::NotFound)?
        };
        self.add_member_refs(kind, &mut found);
        Ok(found)
    }

    /// Expands a resource of a list: members unless the client excludes them, groups only if
    /// it asks for them, because they cost two reads per user. Returns `None` if the
    /// resource was deleted since it was found.
    pub(super) async fn expand_listed(
        &self,
        kind: &ResourceType,
        mut found: Resource,
        projection: &Projection<'_>,
    ) -> Result<Option<Resource>> {
        if kind.members.as_ref().is_some_and(|name| projection.shows(kind, name)) {
            let with_members = Box::pin(self.collection(kind).get_with_members(&found.id)).await?;
            let Some(with_members) = with_members else {
                return Ok(None);
            };
            found = with_members;
            self.add_member_refs(kind, &mut found);
        }
        if kind.is_declared {
            return self.add_use_if_shown(kind, found, projection).await.map(Some);
        }
        // A filter may have added groups that the client did not ask to see.
        if let Some(name) = &kind.member_of {
            found.attributes.shift_remove(name);
        }
        self.add_groups_if_asked(kind, &mut found, projection).await?;
        Ok(Some(found))
    }

    pub(super) async fn add_groups_if_asked(
        &self,
        kind: &ResourceType,
        found: &mut Resource,
        projection: &Projection<'_>,
    ) -> Result<()> {
        if kind.member_of.as_ref().is_some_and(|name| projection.asks_for(kind, name)) {
            let groups = Box::pin(self.directory().groups_of(&self.groups(), &found.id)).await?;
            self.add_groups(kind, found, groups);
        }
        Ok(())
    }

    fn add_groups(&self, kind: &ResourceType, user: &mut Resource, groups: Vec<DirectGroup>) {
        let elements: Vec<Value> = groups
            .into_iter()
            .map(|DirectGroup { kind, group, mut element }| {
                if let Some(reference) = self.reference(&kind, &group) {
                    element.insert("$ref".to_owned(), reference.into());
                }
                Value::Object(element)
            })
            .collect();
        if let Some(name) = kind.member_of.as_ref().filter(|_| !elements.is_empty()) {
            user.attributes.insert(name.clone(), elements.into());
        }
    }

    pub(super) fn add_member_refs(&self, kind: &ResourceType, group: &mut Resource) {
        let members = kind.members.as_ref().and_then(|name| group.attributes.get_mut(name));
        for member in members.and_then(Value::as_array_mut).into_iter().flatten() {
            let text = |name| member.get(name).and_then(Value::as_str);
            let reference = text("type").zip(text("value")).and_then(|(kind, id)| self.reference(kind, id));
            if let Some(reference) = reference {
                member["$ref"] = reference.into();
            }
        }
    }

    fn reference(&self, kind: &str, id: &str) -> Option<String> {
        // Never stored: the base may be that of the host by which this client reached the endpoint.
        self.tenant.registry.resource_type(kind).map(|kind| self.location(kind, id))
    }
}
