//! Members, groups and `$ref` in an answer. The store keeps memberships apart from users
//! and groups.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::context::RequestContext;
use crate::scim::error::Result;
use crate::scim::projection::Projection;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::{DirectGroups, Error as StoreError};

/// What the resources of a page share in an answer, read once for all of them.
#[derive(Default)]
pub(super) struct Shared {
    /// The groups of each resource that shows them, by its id. They end where the page
    /// would show too many.
    groups: HashMap<String, DirectGroups>,
}

impl RequestContext<'_> {
    /// Reads a resource with everything that the answer shows of it.
    pub(super) async fn get_expanded(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Resource> {
        let collection = self.collection(kind);
        let read = async {
            let found = if shows(kind, kind.members.as_deref(), projection) {
                Box::pin(collection.get_with_members(id)).await?
            } else {
                collection.get(id).await?
            };
            found.ok_or(StoreError::NotFound)
        };
        let (found, groups) = self.beside_groups(kind, id, projection, read).await;
        let mut found = found?;
        self.add_groups(kind, &mut found, &groups?);
        self.add_member_refs(kind, &mut found);
        Ok(found)
    }

    /// Reads the groups that the answer shows of a resource, while `work` reads or writes it:
    /// they are rarely read in vain, because most ids exist.
    pub(super) async fn beside_groups<T>(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
        work: impl Future<Output = std::result::Result<T, StoreError>>,
    ) -> (Result<T>, Result<DirectGroups>) {
        let groups = async {
            if !self.shows_resource() || !shows(kind, kind.member_of.as_deref(), projection) {
                return Ok(DirectGroups::default());
            }
            let groups = Box::pin(self.directory().groups_of(&self.groups(), &[id])).await?;
            Ok(groups.into_iter().next().unwrap_or_default())
        };
        // Joined to the end of both: a write is not given up because a read has failed.
        let (work, groups) = tokio::join!(work, groups);
        (work.map_err(Into::into), groups)
    }

    /// Reads what the resources of a page share.
    pub(super) async fn read_shared(
        &self,
        page: &[(&ResourceType, &Projection<'_>, &Resource)],
    ) -> Result<Shared> {
        let has_groups = |(kind, projection, _): &&(&ResourceType, &Projection<'_>, &Resource)| {
            shows(kind, kind.member_of.as_deref(), projection)
        };
        let ids: Vec<&str> =
            page.iter().filter(has_groups).map(|(_, _, resource)| resource.id.as_str()).collect();
        let groups = Box::pin(self.directory().groups_of(&self.groups(), &ids)).await?;
        Ok(Shared { groups: ids.into_iter().map(str::to_owned).zip(groups).collect() })
    }

    /// Expands a resource of a list. Returns `None` if the resource was deleted since it was
    /// found.
    pub(super) async fn expand_listed(
        &self,
        kind: &ResourceType,
        mut found: Resource,
        projection: &Projection<'_>,
        shared: &Shared,
    ) -> Result<Option<Resource>> {
        if shows(kind, kind.members.as_deref(), projection) {
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
        if let Some(groups) = shared.groups.get(&found.id) {
            self.add_groups(kind, &mut found, groups);
        }
        Ok(Some(found))
    }

    /// Returns false for a resource from which on the page would show too many groups.
    pub(super) fn fits(
        kind: &ResourceType,
        resource: &Resource,
        projection: &Projection<'_>,
        shared: &Shared,
    ) -> bool {
        !shows(kind, kind.member_of.as_deref(), projection) || shared.groups.contains_key(&resource.id)
    }

    pub(super) fn add_groups(
        &self,
        kind: &ResourceType,
        user: &mut Resource,
        DirectGroups { groups, has_more }: &DirectGroups,
    ) {
        let Some(name) = &kind.member_of else {
            return;
        };
        // A filter may have added groups that the answer does not show.
        user.attributes.shift_remove(name);
        self.is_cut.fetch_or(*has_more, Ordering::Relaxed);
        let mut elements: Vec<Value> = Vec::with_capacity(groups.len());
        for group in groups {
            let mut element = group.to_element();
            if let Some(reference) = self.reference(&group.kind, &group.id) {
                element.insert("$ref".to_owned(), reference.into());
            }
            elements.push(element.into());
            user.cover([group.id.as_str(), group.display.as_deref().unwrap_or_default()]);
        }
        if !elements.is_empty() {
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

/// Returns true if the answer shows the attribute of this name, if the type has it.
fn shows(kind: &ResourceType, name: Option<&str>, projection: &Projection<'_>) -> bool {
    name.is_some_and(|name| projection.shows(kind, name))
}

/// Returns true if the answer shows what the version of the resource does not cover.
pub(super) fn shows_derived(kind: &ResourceType, projection: &Projection<'_>) -> bool {
    shows(kind, kind.member_of.as_deref(), projection)
}
