//! Roles and entitlements that an operator has declared: read like any other resource,
//! but kept in memory. The store knows only the users who have them.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::header;

use super::context::RequestContext;
use crate::lambda::Response;
use crate::scim::attr_path::AttrPath;
use crate::scim::error::Result;
use crate::scim::projection::{Projection, render};
use crate::scim::registry::roles::{Declared, USED};
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Error as StoreError;
use crate::store::query::{Found, Search};

/// Counts in flight at the same time.
const COUNTS_AT_ONCE: usize = 8;

impl RequestContext<'_> {
    /// Returns every declared resource that a query finds, in its order; `None` if the query
    /// asks for stored resources.
    pub(super) async fn find_declared(&self, search: &Search<'_>) -> Result<Option<Vec<Found>>> {
        // A query of all types covers stored resources only.
        let [leg] = search.legs.as_slice() else { return Ok(None) };
        let Some(declared) = self.declared(leg.kind) else { return Ok(None) };
        let query = search.query;
        let is_filtered = query.filter.as_ref().is_some_and(|filter| names_use(&filter.to_string()));
        let is_sorted = query.sort.as_ref().is_some_and(|sort| names_use(&sort.path.to_string()));
        let mut resources = declared.resources.clone();
        // The number of users costs a read of each, so it is counted only for a query by it.
        if is_filtered || is_sorted {
            let counted = resources.into_iter().map(|resource| Box::pin(self.add_use(leg.kind, resource)));
            let counted = stream::iter(counted.collect::<Vec<_>>()).buffered(COUNTS_AT_ONCE);
            resources = counted.try_collect().await?;
        }
        let mut found: Vec<Found> = leg
            .filter(resources)?
            .into_iter()
            .map(|resource| Found { leg: 0, rank: leg.rank(&resource), resource })
            .collect();
        search.sort(&mut found);
        Ok(Some(found))
    }

    pub(super) async fn get_declared(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Response> {
        let found = self.declared(kind).and_then(|declared| declared.get(id)).ok_or(StoreError::NotFound)?;
        let found = self.add_use_if_shown(kind, found.clone(), projection).await?;
        // Without an ETag, because nothing tells when an operator has changed a declaration.
        let location = self.location(kind, &found.id);
        let body = render(kind, &found, projection, &location);
        Ok(Response::json(200, &body).with(header::CONTENT_LOCATION, location))
    }

    /// Adds the number of users who have a role, if the answer shows it.
    pub(super) async fn add_use_if_shown(
        &self,
        kind: &ResourceType,
        resource: Resource,
        projection: &Projection<'_>,
    ) -> Result<Resource> {
        if projection.shows(kind, USED) && !resource.attributes.contains_key(USED) {
            self.add_use(kind, resource).await
        } else {
            Ok(resource)
        }
    }

    async fn add_use(&self, kind: &ResourceType, mut resource: Resource) -> Result<Resource> {
        let registry = &self.tenant.registry;
        let assigned = self.declared(kind).map(|declared| declared.assignable);
        let parts = assigned.and_then(|assigned| {
            let value = resource.attributes.get("value")?.as_str()?;
            let values = registry.assignables(assigned)?.granted_by(value);
            Some((assigned.attribute(), registry.resource_type("User")?, values))
        });
        if let Some((attribute, user, values)) = parts
            // The schemas that Okta looks for have no such attribute.
            && kind.schema.attribute(USED).is_some()
        {
            let path = AttrPath { schema: None, attr: attribute.to_owned(), sub: Some("value".to_owned()) };
            let users = self.collection(user);
            // Read once: each role of a page would read the same users.
            let many = match self.of_many.get_or_try_init(|| Box::pin(users.of_many(&path))).await {
                // The number is left out rather than the answer.
                Err(StoreError::TooMuchToRead) => return Ok(resource),
                many => many?,
            };
            let used = users.count_holders(&path, &values, many).await?;
            resource.attributes.insert(USED.to_owned(), used.into());
        }
        Ok(resource)
    }

    fn declared(&self, kind: &ResourceType) -> Option<&Declared> {
        let declared = &self.tenant.registry.declared;
        declared.iter().find(|declared| kind.is_declared && declared.kind.name == kind.name)
    }
}

fn names_use(text: &str) -> bool {
    // By text: a literal that contains the name costs unnecessary counts, but a path that was
    // overlooked would compare with nothing.
    text.to_ascii_lowercase().contains(&USED.to_ascii_lowercase())
}
