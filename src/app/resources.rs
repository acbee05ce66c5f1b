//! The life of one resource (RFC 7644 s3.3, s3.4.1, s3.5, s3.6).

use http::header;

use super::context::RequestContext;
use super::expand::shows_derived;
use crate::lambda::Response;
use crate::scim::decode::{Reader, check_immutable};
use crate::scim::error::Result;
use crate::scim::etag::{self, Etag, Precondition};
use crate::scim::member::{self, MemberChanges, Touched};
use crate::scim::patch::Patch;
use crate::scim::projection::Projection;
use crate::scim::registry::roles::AssignableKind;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::{Mutability, ResourceType};
use crate::scim::user_name;
use crate::store::{Apply, Blind, Change, ChangedGroup, Error as StoreError, MemberChange, VersionAfter};

impl RequestContext<'_> {
    pub(super) async fn create(&self, kind: &ResourceType) -> Result<Response> {
        // First: an invalid `attributes` must fail before anything is written.
        let projection = self.projection(kind)?;
        let mut attributes = Reader::new(kind, self.leeway).resource(&self.body()?)?;
        let members = member::take(kind, &mut attributes)?;
        self.check_user(kind, None, &attributes)?;
        let mut resource = Box::pin(self.writer(kind).create(attributes, members)).await?;
        self.add_member_refs(kind, &mut resource);
        let location = self.location(kind, &resource.id);
        Ok(self.resource(201, kind, &resource, &projection).with(header::LOCATION, location))
    }

    pub(super) async fn get(&self, kind: &ResourceType, id: &str) -> Result<Response> {
        let projection = self.projection(kind)?;
        let precondition = self.precondition_of_read()?;
        if kind.is_declared {
            let declared = self.get_declared(kind, id, &projection).await?;
            // It has no version that `If-Match` could name.
            let holds = precondition == Precondition::Exists;
            return if holds { Ok(declared) } else { Err(StoreError::VersionMismatch.into()) };
        }
        let check = |found: &Resource| {
            // RFC 9110 s13.2.2: `If-Match` is evaluated before `If-None-Match`.
            if !precondition.holds(found.version) {
                return Err(StoreError::VersionMismatch);
            }
            let is_known = etag::is_known(self.request.header("if-none-match"), found.etag());
            Ok(is_known.then(|| {
                Response::empty(304)
                    .with(header::ETAG, found.etag().to_string())
                    .with(header::CONTENT_LOCATION, self.location(kind, id))
            }))
        };
        // Where the version covers all that is shown, members are not read for a 304.
        if self.request.header("if-none-match").next().is_some() && !shows_derived(kind, &projection) {
            let found = self.collection(kind).get(id).await?.ok_or(StoreError::NotFound)?;
            if let Some(not_modified) = check(&found)? {
                return Ok(not_modified);
            }
        }
        let resource = self.get_expanded(kind, id, &projection).await?;
        let shown = || self.resource(200, kind, &resource, &projection);
        Ok(check(&resource)?.unwrap_or_else(shown))
    }

    pub(super) async fn replace(&self, kind: &ResourceType, id: &str) -> Result<Response> {
        let projection = self.projection(kind)?;
        let mut new = Reader::new(kind, self.leeway).resource(&self.body()?)?;
        let members = member::take(kind, &mut new)?;
        let apply = |old: &Attributes| {
            check_immutable(kind, old, &new)?;
            self.check_user(kind, Some(old), &new)?;
            Ok((*old != new).then(|| new.clone()))
        };
        // Never blind: the present members decide which of them a PUT removes.
        if kind.members.is_some() {
            let touched = Touched::Named(MemberChanges::only(members));
            let change = MemberChange { apply: Some(&apply), touched: &touched };
            let resource = match self.change_members(kind, id, change).await? {
                ChangedGroup::Known(resource) => *resource,
                // An answer in bulk shows no members, so they are not read for it.
                ChangedGroup::Unread(version) if self.in_bulk => {
                    return Ok(self.with_version(Response::empty(200), kind, id, version).await);
                }
                ChangedGroup::Unread(_) => self.get_expanded(kind, id, &projection).await?,
            };
            return Ok(self.resource(200, kind, &resource, &projection));
        }
        // Immutable attributes, and values that only a user who has them may have, must be
        // compared with the present ones, so that a write without a read is out of the question.
        let has_immutable = kind.places().any(|place| place.attribute.mutability == Mutability::Immutable);
        let is_compared = has_immutable || self.check_user(kind, None, &new).is_err();
        let blind = (!is_compared).then_some(Blind::Replace(&new));
        self.update(kind, id, &projection, Change { blind, apply: &apply }).await
    }

    pub(super) async fn patch(&self, kind: &ResourceType, id: &str) -> Result<Response> {
        let projection = self.projection(kind)?;
        let patch = Patch::parse(&Reader::new(kind, self.leeway), id, &self.body()?)?;
        let apply = |old: &Attributes| {
            let after = patch.apply(old, self.work)?;
            if let Some(after) = &after {
                self.check_user(kind, Some(old), after)?;
            }
            Ok(after)
        };
        let apply_without_members = |old: &Attributes| patch.apply_without_members(old, self.work);
        let touched = patch.member_changes();
        // `Named` members are no part of the attributes that `apply` is given.
        let apply: Apply<'_> = match touched {
            Touched::Nothing | Touched::Any => &apply,
            Touched::Named(_) => &apply_without_members,
        };
        if *touched != Touched::Nothing {
            // Without `apply`, one member can be added or removed without a read of the group.
            let changes_more = *touched == Touched::Any || !patch.is_about_members_alone();
            let change = MemberChange { apply: changes_more.then_some(apply), touched };
            let version = match self.change_members(kind, id, change).await? {
                ChangedGroup::Known(group) => VersionAfter::Known(group.version),
                ChangedGroup::Unread(version) => version,
            };
            return self.patched_group(kind, id, &projection, version).await;
        }
        let change = Change { blind: patch.as_sets().map(Blind::Set), apply };
        if kind.members.is_some() {
            let group = self.writer(kind).update(id, &self.precondition()?, change).await?;
            return self.patched_group(kind, id, &projection, VersionAfter::Known(group.version)).await;
        }
        self.update(kind, id, &projection, change).await
    }

    /// Answers a PATCH of a group.
    async fn patched_group(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
        version: VersionAfter,
    ) -> Result<Response> {
        if !self.shows_patched_group() {
            return Ok(self.with_version(Response::empty(204), kind, id, version).await);
        }
        let resource = self.get_expanded(kind, id, projection).await?;
        Ok(self.resource(200, kind, &resource, projection))
    }

    /// Adds the version of a group to the answer to a change of it. The change is applied, so
    /// an answer without a version is better than an error.
    async fn with_version(
        &self,
        response: Response,
        kind: &ResourceType,
        id: &str,
        version: VersionAfter,
    ) -> Response {
        match self.collection(kind).version_after(id, version).await {
            Ok(Some(version)) => response.with(header::ETAG, Etag { version, derived: None }.to_string()),
            Ok(None) => response,
            Err(error) => {
                tracing::warn!(%error, "the version of a changed group was not read");
                response
            }
        }
    }

    async fn change_members(
        &self,
        kind: &ResourceType,
        id: &str,
        change: MemberChange<'_>,
    ) -> Result<ChangedGroup> {
        let mut changed = self.writer(kind).change_members(id, &self.precondition()?, change).await?;
        if let ChangedGroup::Known(resource) = &mut changed {
            self.add_member_refs(kind, resource);
        }
        Ok(changed)
    }

    async fn update(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
        change: Change<'_>,
    ) -> Result<Response> {
        let precondition = self.precondition()?;
        let write = self.writer(kind).update(id, &precondition, change);
        let (written, groups) = self.beside_groups(kind, id, projection, write).await;
        let mut resource = written?;
        match groups {
            Ok(groups) => {
                self.add_groups(kind, &mut resource, &groups);
                Ok(self.resource(200, kind, &resource, projection))
            }
            Err(_) => Ok(unread(200).with(header::ETAG, resource.etag().to_string())),
        }
    }

    pub(super) async fn delete(&self, kind: &ResourceType, id: &str) -> Result<Response> {
        self.writer(kind).delete(id, &self.precondition()?, &self.groups()).await?;
        Ok(Response::empty(204))
    }

    /// Refuses values of a user that the policy of the tenant does not accept, unless the
    /// user has them already.
    fn check_user(&self, kind: &ResourceType, before: Option<&Attributes>, after: &Attributes) -> Result<()> {
        if kind.name != "User" {
            return Ok(());
        }
        let policy = &self.tenant.policy;
        user_name::check(policy.user_name_characters, before, after)?;
        for assigned in [AssignableKind::Role, AssignableKind::Entitlement] {
            if let Some(assignables) = self.tenant.registry.assignables(assigned) {
                assignables.check(policy.unknown_roles, before, after)?;
            }
        }
        Ok(())
    }
}

/// Makes the answer to a write that was applied, although what the answer would show could
/// not be read. The store has logged why.
fn unread(status: u16) -> Response {
    Response::empty(if status == 201 { 201 } else { 204 })
}
