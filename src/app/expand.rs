//! What an answer shows of a group's members and of a user's groups, which the
//! store keeps apart from both.

use serde_json::Value;

use super::App;
use super::context::RequestContext;
use crate::scim::error::Result;
use crate::scim::projection::Projection;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::{DirectGroup, Error as StoreError};

impl App {
    /// A resource with all that the answer to a GET shows of it.
    pub(super) async fn whole(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Resource> {
        let tenant = &context.tenant.name;
        let shown = |name: &Option<String>| name.as_ref().is_some_and(|name| projection.shows(kind, name));
        let mut found = if shown(&kind.members) {
            Box::pin(self.store.get_with_members(tenant, kind, id)).await?.ok_or(StoreError::NotFound)?
        } else if shown(&kind.member_of) {
            let kinds = context.groups();
            let groups = self.store.groups_of(tenant, &kinds, id);
            let (found, groups) = tokio::try_join!(self.store.get(tenant, kind, id), groups)?;
            let mut found = found.ok_or(StoreError::NotFound)?;
            show_groups(context, kind, &mut found, groups);
            found
        } else {
            self.store.get(tenant, kind, id).await?.ok_or(StoreError::NotFound)?
        };
        refer_to_members(context, kind, &mut found);
        Ok(found)
    }

    /// A resource of a list, where members are shown unless a client excludes them,
    /// and groups if it asks for them: they cost two reads a user. `None` if it was
    /// deleted meanwhile.
    pub(super) async fn listed(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        mut found: Resource,
        projection: &Projection<'_>,
    ) -> Result<Option<Resource>> {
        let tenant = &context.tenant.name;
        if kind.members.as_ref().is_some_and(|name| projection.shows(kind, name)) {
            let Some(with_members) = Box::pin(self.store.get_with_members(tenant, kind, &found.id)).await?
            else {
                return Ok(None);
            };
            found = with_members;
            refer_to_members(context, kind, &mut found);
        }
        if kind.is_declared {
            return self.shown(context, kind, found, projection).await.map(Some);
        }
        // A filter may have looked at them.
        if let Some(name) = &kind.member_of {
            found.attributes.shift_remove(name);
        }
        self.with_groups_if_asked(context, kind, &mut found, projection).await?;
        Ok(Some(found))
    }

    pub(super) async fn with_groups_if_asked(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        found: &mut Resource,
        projection: &Projection<'_>,
    ) -> Result<()> {
        if kind.member_of.as_ref().is_some_and(|name| projection.asks_for(kind, name)) {
            let groups = self.store.groups_of(&context.tenant.name, &context.groups(), &found.id).await?;
            show_groups(context, kind, found, groups);
        }
        Ok(())
    }
}

fn show_groups(
    context: &RequestContext<'_>,
    kind: &ResourceType,
    user: &mut Resource,
    groups: Vec<DirectGroup>,
) {
    let elements: Vec<Value> = groups
        .into_iter()
        .map(|DirectGroup { kind, group, mut element }| {
            if let Some(reference) = reference(context, &kind, &group) {
                element.insert("$ref".to_owned(), reference.into());
            }
            Value::Object(element)
        })
        .collect();
    if let Some(name) = kind.member_of.as_ref().filter(|_| !elements.is_empty()) {
        user.attributes.insert(name.clone(), elements.into());
    }
}

pub(super) fn refer_to_members(context: &RequestContext<'_>, kind: &ResourceType, group: &mut Resource) {
    let members = kind.members.as_ref().and_then(|name| group.attributes.get_mut(name));
    for member in members.and_then(Value::as_array_mut).into_iter().flatten() {
        let text = |name| member.get(name).and_then(Value::as_str);
        if let Some(reference) =
            text("type").zip(text("value")).and_then(|(kind, id)| reference(context, kind, id))
        {
            member["$ref"] = reference.into();
        }
    }
}

fn reference(context: &RequestContext<'_>, kind: &str, id: &str) -> Option<String> {
    context.tenant.registry.resource_type(kind).map(|kind| context.location(kind, id))
}
