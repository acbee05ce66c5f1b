//! The life of one resource (RFC 7644 s3.3, s3.4.1, s3.5, s3.6).

use http::header;

use super::App;
use super::context::RequestContext;
use super::expand::refer_to_members;
use crate::lambda::Response;
use crate::scim::decode::{Reader, check_immutable};
use crate::scim::error::Result;
use crate::scim::etag;
use crate::scim::member::{self, MemberChanges, Touched};
use crate::scim::patch::Patch;
use crate::scim::projection::Projection;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::{Mutability, ResourceType};
use crate::store::{Apply, Change, Error as StoreError, MemberChange, Unseen};

impl App {
    pub(super) async fn create(&self, context: &RequestContext<'_>, kind: &ResourceType) -> Result<Response> {
        let projection = context.projection(kind)?;
        let mut attributes = Reader::new(kind, context.leeway).resource(&context.body(&self.config)?)?;
        let members = member::take(kind, &mut attributes)?;
        context.check_assigned(kind, None, &attributes)?;
        let mut resource = self.store.create(context.write(kind), attributes, members).await?;
        refer_to_members(context, kind, &mut resource);
        let location = context.location(kind, &resource.id);
        let response = context.resource(201, kind, &resource, &projection);
        Ok(response.with(header::LOCATION, location))
    }

    pub(super) async fn get(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Response> {
        let projection = context.projection(kind)?;
        if kind.is_declared {
            return self.get_declared(context, kind, id, &projection).await;
        }
        // A version that is known is told from the resource alone.
        if context.request.header("if-none-match").next().is_some() {
            let found = self.store.get(&context.tenant.name, kind, id).await?.ok_or(StoreError::NotFound)?;
            if etag::is_known(context.request.header("if-none-match"), found.version) {
                return Ok(Response::empty(304).with(header::ETAG, found.version.to_string()));
            }
        }
        let resource = self.whole(context, kind, id, &projection).await?;
        Ok(context.resource(200, kind, &resource, &projection))
    }

    pub(super) async fn replace(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Response> {
        let projection = context.projection(kind)?;
        let mut new = Reader::new(kind, context.leeway).resource(&context.body(&self.config)?)?;
        let members = member::take(kind, &mut new)?;
        let apply = |old: &Attributes| {
            check_immutable(kind, old, &new)?;
            context.check_assigned(kind, Some(old), &new)?;
            Ok((*old != new).then(|| new.clone()))
        };
        if kind.members.is_some() {
            let touched = Touched::Named(MemberChanges::only(members));
            let change = MemberChange { apply: Some(&apply), touched: &touched };
            let resource = match self.change_members(context, kind, id, change).await? {
                Some(resource) => resource,
                None if context.in_bulk => return Ok(Response::empty(200)),
                None => self.whole(context, kind, id, &projection).await?,
            };
            return Ok(context.resource(200, kind, &resource, &projection));
        }
        // What is immutable has to be compared with what is there, and what can no longer
        // be assigned.
        let immutable = kind.places().any(|place| place.attribute.mutability == Mutability::Immutable);
        let compared = immutable || context.check_assigned(kind, None, &new).is_err();
        let unseen = (!compared).then_some(Unseen::Replace(&new));
        self.update(context, kind, id, &projection, Change { unseen, apply: &apply }).await
    }

    pub(super) async fn patch(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Response> {
        let projection = context.projection(kind)?;
        let patch = Patch::parse(&Reader::new(kind, context.leeway), id, &context.body(&self.config)?)?;
        let apply = |old: &Attributes| {
            let after = patch.apply(old)?;
            if let Some(after) = &after {
                context.check_assigned(kind, Some(old), after)?;
            }
            Ok(after)
        };
        let apart = |old: &Attributes| patch.apply_without_members(old);
        let alone = patch.is_about_members_alone();
        let touched = patch.member_changes();
        let apply: Apply<'_> = match touched {
            Touched::Nothing | Touched::Any => &apply,
            Touched::Named(_) => &apart,
        };
        if *touched != Touched::Nothing {
            let apply = (*touched == Touched::Any || !alone).then_some(apply);
            self.change_members(context, kind, id, MemberChange { apply, touched }).await?;
            return self.patched_group(context, kind, id, &projection).await;
        }
        let unseen = patch.as_sets().map(Unseen::Set);
        let response = self.update(context, kind, id, &projection, Change { unseen, apply }).await?;
        match kind.members {
            Some(_) => self.patched_group(context, kind, id, &projection).await,
            None => Ok(response),
        }
    }

    /// The answer to a PATCH of a group.
    async fn patched_group(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
    ) -> Result<Response> {
        if !context.wants_group() {
            return Ok(Response::empty(204));
        }
        let resource = self.whole(context, kind, id, projection).await?;
        Ok(context.resource(200, kind, &resource, projection))
    }

    /// The group afterwards, where it is known.
    async fn change_members(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
        change: MemberChange<'_>,
    ) -> Result<Option<Resource>> {
        let changed =
            self.store.change_members(context.write(kind), id, &context.precondition(), change).await?;
        Ok(changed.map(|mut resource| {
            refer_to_members(context, kind, &mut resource);
            resource
        }))
    }

    async fn update(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
        change: Change<'_>,
    ) -> Result<Response> {
        let mut resource =
            self.store.update(context.write(kind), id, &context.precondition(), change).await?;
        self.with_groups_if_asked(context, kind, &mut resource, projection).await?;
        Ok(context.resource(200, kind, &resource, projection))
    }

    pub(super) async fn delete(
        &self,
        context: &RequestContext<'_>,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Response> {
        self.store.delete(context.write(kind), id, &context.precondition(), &context.groups()).await?;
        Ok(Response::empty(204))
    }
}
