//! The life of one resource (RFC 7644 s3.3, s3.4.1, s3.5, s3.6).

use http::header;

use super::App;
use super::call::Call;
use super::members::refer_to_members;
use crate::lambda::Response;
use crate::scim::error::Result;
use crate::scim::etag;
use crate::scim::input::{Reader, check_immutable};
use crate::scim::members::{self, MemberChanges, Touched};
use crate::scim::patch::Patch;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::{Mutability, ResourceType};
use crate::scim::select::Selection;
use crate::store::{Apply, Change, Error as StoreError, MemberChange, Unseen};

impl App {
    pub(super) async fn create(&self, call: &Call<'_>, kind: &ResourceType) -> Result<Response> {
        let selection = call.selection(kind)?;
        let mut attributes = Reader::new(kind, call.leeway).resource(&call.body(&self.config)?)?;
        let members = members::take(kind, &mut attributes)?;
        call.check_assigned(kind, None, &attributes)?;
        let mut resource = self.store.create(call.write(kind), attributes, members).await?;
        refer_to_members(call, kind, &mut resource);
        let location = call.location(kind, &resource.id);
        let response = call.resource(201, kind, &resource, &selection);
        Ok(response.with(header::LOCATION, location))
    }

    pub(super) async fn get(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        if kind.is_declared {
            return self.get_declared(call, kind, id, &selection).await;
        }
        // A version that is known is told from the resource alone.
        if call.request.header("if-none-match").next().is_some() {
            let found = self.store.get(&call.tenant.name, kind, id).await?.ok_or(StoreError::NotFound)?;
            if etag::is_known(call.request.header("if-none-match"), found.version) {
                return Ok(Response::empty(304).with(header::ETAG, found.version.to_string()));
            }
        }
        let resource = self.whole(call, kind, id, &selection).await?;
        Ok(call.resource(200, kind, &resource, &selection))
    }

    pub(super) async fn replace(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let mut new = Reader::new(kind, call.leeway).resource(&call.body(&self.config)?)?;
        let members = members::take(kind, &mut new)?;
        let apply = |old: &Attributes| {
            check_immutable(kind, old, &new)?;
            call.check_assigned(kind, Some(old), &new)?;
            Ok((*old != new).then(|| new.clone()))
        };
        if kind.members.is_some() {
            let touched = Touched::Named(MemberChanges::only(members));
            let change = MemberChange { apply: Some(&apply), touched: &touched };
            let resource = match self.change_members(call, kind, id, change).await? {
                Some(resource) => resource,
                None if call.in_bulk => return Ok(Response::empty(200)),
                None => self.whole(call, kind, id, &selection).await?,
            };
            return Ok(call.resource(200, kind, &resource, &selection));
        }
        // What is immutable has to be compared with what is there, and what can no longer
        // be assigned.
        let immutable = kind.places().any(|place| place.attribute.mutability == Mutability::Immutable);
        let compared = immutable || call.check_assigned(kind, None, &new).is_err();
        let unseen = (!compared).then_some(Unseen::Replace(&new));
        self.update(call, kind, id, &selection, Change { unseen, apply: &apply }).await
    }

    pub(super) async fn patch(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let patch = Patch::parse(&Reader::new(kind, call.leeway), id, &call.body(&self.config)?)?;
        let apply = |old: &Attributes| {
            let after = patch.apply(old)?;
            if let Some(after) = &after {
                call.check_assigned(kind, Some(old), after)?;
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
            self.change_members(call, kind, id, MemberChange { apply, touched }).await?;
            return self.patched_group(call, kind, id, &selection).await;
        }
        let unseen = patch.as_sets().map(Unseen::Set);
        let response = self.update(call, kind, id, &selection, Change { unseen, apply }).await?;
        match kind.members {
            Some(_) => self.patched_group(call, kind, id, &selection).await,
            None => Ok(response),
        }
    }

    /// The answer to a PATCH of a group.
    async fn patched_group(
        &self,
        call: &Call<'_>,
        kind: &ResourceType,
        id: &str,
        selection: &Selection<'_>,
    ) -> Result<Response> {
        if !call.wants_group() {
            return Ok(Response::empty(204));
        }
        let resource = self.whole(call, kind, id, selection).await?;
        Ok(call.resource(200, kind, &resource, selection))
    }

    /// The group afterwards, where it is known.
    async fn change_members(
        &self,
        call: &Call<'_>,
        kind: &ResourceType,
        id: &str,
        change: MemberChange<'_>,
    ) -> Result<Option<Resource>> {
        let changed = self.store.change_members(call.write(kind), id, &call.precondition(), change).await?;
        Ok(changed.map(|mut resource| {
            refer_to_members(call, kind, &mut resource);
            resource
        }))
    }

    async fn update(
        &self,
        call: &Call<'_>,
        kind: &ResourceType,
        id: &str,
        selection: &Selection<'_>,
        change: Change<'_>,
    ) -> Result<Response> {
        let mut resource = self.store.update(call.write(kind), id, &call.precondition(), change).await?;
        self.with_groups_if_asked(call, kind, &mut resource, selection).await?;
        Ok(call.resource(200, kind, &resource, selection))
    }

    pub(super) async fn delete(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        self.store.delete(call.write(kind), id, &call.precondition(), &call.groups()).await?;
        Ok(Response::empty(204))
    }
}
