//! What an operator has declared that users can be assigned: read like any other
//! resource, but kept in memory. Only the users who have it are in the store.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::App;
use super::context::RequestContext;
use super::find::{Found, Leg, compare};
use crate::lambda::Response;
use crate::scim::attr_path::AttrPath;
use crate::scim::error::Result;
use crate::scim::projection::{Projection, render};
use crate::scim::query::Query;
use crate::scim::registry::roles::{Assigned, Declared, USED};
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::ResourceType;
use crate::scim::sort::Rank;
use crate::store::Error as StoreError;

/// Counts under way at the same time.
const AT_ONCE: usize = 8;

impl App {
    /// Every resource that the query finds, in its order; `None` if the query is of
    /// what is stored.
    pub(super) async fn declared(
        &self,
        context: &RequestContext<'_>,
        legs: &[Leg<'_>],
        query: &Query,
    ) -> Result<Option<Vec<Found>>> {
        let [leg] = legs else { return Ok(None) };
        let Some(declared) = of(context, leg.kind) else { return Ok(None) };
        let filtered = query.filter.as_ref().is_some_and(|filter| names_use(&filter.to_string()));
        let sorted = query.sort.as_ref().is_some_and(|sort| names_use(&sort.path.to_string()));
        let mut resources = declared.resources.clone();
        if filtered || sorted {
            let counted = resources
                .into_iter()
                .map(|resource| Box::pin(async move { self.with_use(context, leg.kind, resource).await }));
            let counted = stream::iter(counted.collect::<Vec<_>>()).buffered(AT_ONCE);
            resources = counted.try_collect().await?;
        }
        let found = resources.into_iter().filter(|resource| leg.keeps(resource)).map(|resource| {
            let rank = leg.order.as_ref().map_or(Rank::Missing, |order| order.rank(&resource));
            Found { leg: 0, rank, resource }
        });
        let mut found: Vec<Found> = found.collect();
        let descending = query.sort.as_ref().is_some_and(|sort| sort.descending);
        found.sort_by(|a, b| compare(a.place(), b.place(), descending));
        Ok(Some(found))
    }

    /// There is no version: nothing says when an operator has changed it.
    pub(super) async fn get_declared(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Response> {
        let found = of(context, kind).and_then(|declared| declared.get(id)).ok_or(StoreError::NotFound)?;
        let found = self.shown(context, kind, found.clone(), projection).await?;
        Ok(Response::json(200, &render(kind, &found, projection, &context.location(kind, id))))
    }

    /// With the number of users who have it, if that is shown.
    pub(super) async fn shown(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        resource: Resource,
        projection: &Projection<'_>,
    ) -> Result<Resource> {
        if projection.shows(kind, USED) && !resource.attributes.contains_key(USED) {
            self.with_use(context, kind, resource).await
        } else {
            Ok(resource)
        }
    }

    async fn with_use(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        mut resource: Resource,
    ) -> Result<Resource> {
        let registry = &context.tenant.registry;
        let assigned = of(context, kind).map(|declared| declared.assigned);
        let parts = assigned.and_then(|assigned| {
            let values = registry.assignables(assigned)?.granted_by(&resource.id);
            Some((assigned.attribute(), registry.resource_type("User")?, values))
        });
        if let Some((attribute, user, values)) = parts
            && kind.schema.attribute(USED).is_some()
        {
            let path = AttrPath { schema: None, attr: attribute.to_owned(), sub: Some("value".to_owned()) };
            let used = self.store.holders(&context.tenant.name, user, &path, &values).await?;
            resource.attributes.insert(USED.to_owned(), used.into());
        }
        Ok(resource)
    }
}

impl RequestContext<'_> {
    /// Refuses roles and entitlements that nobody can be given.
    pub(super) fn check_assigned(
        &self,
        kind: &ResourceType,
        before: Option<&Attributes>,
        after: &Attributes,
    ) -> Result<()> {
        if kind.name != "User" {
            return Ok(());
        }
        for assigned in [Assigned::Roles, Assigned::Entitlements] {
            if let Some(assignables) = self.tenant.registry.assignables(assigned) {
                assignables.check(self.tenant.policy.unknown_roles, before, after)?;
            }
        }
        Ok(())
    }
}

fn of<'a>(context: &'a RequestContext<'_>, kind: &ResourceType) -> Option<&'a Declared> {
    let declared = &context.tenant.registry.declared;
    declared.iter().find(|declared| kind.is_declared && declared.kind.name == kind.name)
}

fn names_use(text: &str) -> bool {
    text.to_ascii_lowercase().contains(&USED.to_ascii_lowercase())
}
