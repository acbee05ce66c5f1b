//! Members, groups and `$ref` in an answer. The store keeps memberships apart from users
//! and groups.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::context::RequestContext;
use crate::scim::error::Result;
use crate::scim::policy::MemberDisplay;
use crate::scim::projection::Projection;
use crate::scim::reference::{derive, references};
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::{
    DirectGroups, Error as StoreError, MAX_GROUPS_OF_A_MEMBER, MAX_MEMBERS_READ, Name, Names,
};

/// What the resources of a page share in an answer, read once for all of them.
#[derive(Default)]
pub(super) struct Shared {
    /// The groups of each resource that shows them, by its id. They end where the page
    /// would show too many.
    groups: HashMap<String, DirectGroups>,
    /// The names of the resources that they refer to.
    names: Names,
}

/// A resource in an answer, and what the answer shows of it.
pub(super) type Listed<'a> = (&'a ResourceType, &'a Projection<'a>, &'a Resource);

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
                Box::pin(collection.get_with_members(id, self.now)).await?
            } else {
                collection.get(id).await?
            };
            let found = found.ok_or(StoreError::NotFound)?;
            let names = self.read_names(&[(kind, projection, &found)]).await?;
            Ok((found, names))
        };
        let (found, groups) = self.beside_groups(kind, id, projection, read).await;
        let (mut found, names) = found?;
        self.add_groups(kind, &mut found, &groups?);
        self.add_references(kind, &mut found, projection, &names);
        Ok(found)
    }

    /// Reads the names that an answer shows of other resources: those that these refer to,
    /// and by the policy `memberDisplay` their members.
    pub(super) async fn read_names(&self, page: &[Listed<'_>]) -> std::result::Result<Names, StoreError> {
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        for (kind, projection, resource) in page.iter().filter(|_| self.shows_resource()) {
            for (reference, _, id) in
                references(kind, &resource.attributes).filter(|(_, place, _)| projection.keeps(place))
            {
                wanted.extend(reference.types.iter().map(|kind| (kind.as_str(), id)));
            }
            if self.resolves_members(kind, projection) {
                wanted.extend(members_of(kind, resource));
            }
        }
        if wanted.is_empty() {
            return Ok(Names::default());
        }
        Box::pin(self.directory().names(&wanted)).await
    }

    /// Returns true if an answer shows the members of a group by their present names.
    fn resolves_members(&self, kind: &ResourceType, projection: &Projection<'_>) -> bool {
        self.tenant.policy.member_display == MemberDisplay::Resolve
            && shows(kind, kind.members.as_deref(), projection)
    }

    /// Returns true if the answer shows what the version of the resource does not cover.
    pub(super) fn shows_derived(&self, kind: &ResourceType, projection: &Projection<'_>) -> bool {
        let is_shown = |reference| kind.place_of(reference).is_some_and(|place| projection.keeps(&place));
        shows(kind, kind.member_of.as_deref(), projection)
            || self.resolves_members(kind, projection)
            || kind.references.iter().any(is_shown)
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
            let groups =
                Box::pin(self.directory().groups_of(&self.groups(), &[id], MAX_GROUPS_OF_A_MEMBER)).await?;
            Ok(groups.into_iter().next().unwrap_or_default())
        };
        // Joined to the end of both: a write is not given up because a read has failed.
        let (work, groups) = tokio::join!(work, groups);
        (work.map_err(Into::into), groups)
    }

    /// Reads what the resources of a page share.
    pub(super) async fn read_shared(&self, page: &[Listed<'_>]) -> Result<Shared> {
        let has_groups =
            |(kind, projection, _): &&Listed<'_>| shows(kind, kind.member_of.as_deref(), projection);
        let ids: Vec<&str> =
            page.iter().filter(has_groups).map(|(_, _, resource)| resource.id.as_str()).collect();
        let kinds = self.groups();
        let groups = Box::pin(self.directory().groups_of(&kinds, &ids, MAX_GROUPS_OF_A_MEMBER));
        let (groups, names) = tokio::try_join!(groups, self.read_names(page))?;
        Ok(Shared { groups: ids.into_iter().map(str::to_owned).zip(groups).collect(), names })
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
        // The list leaves more members out.
        if shows(kind, kind.members.as_deref(), projection) && found.members <= MAX_MEMBERS_READ {
            let with_members = Box::pin(self.collection(kind).get_with_members(&found.id, self.now)).await?;
            let Some(with_members) = with_members else {
                return Ok(None);
            };
            found = with_members;
            let names = self.read_names(&[(kind, projection, &found)]).await?;
            self.add_references(kind, &mut found, projection, &names);
            return Ok(Some(found));
        }
        if kind.is_declared {
            return self.add_use_if_shown(kind, found, projection).await.map(Some);
        }
        if let Some(groups) = shared.groups.get(&found.id) {
            self.add_groups(kind, &mut found, groups);
        }
        self.add_references(kind, &mut found, projection, &shared.names);
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
        self.cut.groups.fetch_or(*has_more, Ordering::Relaxed);
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

    /// Adds what an answer derives from ids: `$ref`, and names as far as they were read.
    pub(super) fn add_references(
        &self,
        kind: &ResourceType,
        found: &mut Resource,
        projection: &Projection<'_>,
        names: &Names,
    ) {
        let mut covered: Vec<String> = Vec::new();
        let ids: Vec<_> = references(kind, &found.attributes)
            .filter(|(_, place, _)| projection.keeps(place))
            .map(|(reference, place, id)| (reference, place, id.to_owned()))
            .collect();
        for (reference, place, id) in ids {
            let referred = reference.types.iter().find_map(|kind| Some((kind, names.get(kind, &id)?)));
            let shown = referred
                .and_then(|(kind, name)| Some((self.reference(kind, &id)?, name.display_name.as_deref())));
            if let Some((_, name)) = &shown {
                covered.extend([id, name.unwrap_or_default().to_owned()]);
            }
            derive(&mut found.attributes, &place, shown);
        }
        let resolves = self.resolves_members(kind, projection);
        let members = kind.members.as_ref().and_then(|name| found.attributes.get_mut(name));
        for member in members.and_then(Value::as_array_mut).into_iter().flatten() {
            let text = |name| member.get(name).and_then(Value::as_str);
            let Some((kind, id)) = text("type").zip(text("value")) else {
                continue;
            };
            let display = names.get(kind, id).and_then(Name::display).filter(|_| resolves);
            covered.extend(display.map(str::to_owned));
            let display = display.map(Value::from);
            if let Some(reference) = self.reference(kind, id) {
                member["$ref"] = reference.into();
            }
            if let Some(display) = display {
                member["display"] = display;
            }
        }
        if !covered.is_empty() {
            found.cover(covered.iter().map(String::as_str));
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

/// Returns the type and id of each member of a group that was read with them.
fn members_of<'a>(kind: &ResourceType, group: &'a Resource) -> impl Iterator<Item = (&'a str, &'a str)> {
    let members = kind.members.as_ref().and_then(|name| group.attributes.get(name));
    members.and_then(Value::as_array).into_iter().flatten().filter_map(|member| {
        let text = |name| member.get(name).and_then(Value::as_str);
        text("type").zip(text("value"))
    })
}
