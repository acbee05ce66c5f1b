//! The life of one resource (RFC 7644 s3.3, s3.4.1, s3.5, s3.6).

use http::header;

use super::context::RequestContext;
use crate::lambda::Response;
use crate::scim::decode::{Reader, keep_immutable};
use crate::scim::error::Result;
use crate::scim::etag::{self, Etag, Precondition};
use crate::scim::member::{self, MemberChanges, Touched};
use crate::scim::patch::Patch;
use crate::scim::policy::UnknownManagers;
use crate::scim::projection::Projection;
use crate::scim::reference::{self, referred};
use crate::scim::registry::roles::AssignableKind;
use crate::scim::resource::{Attributes, Resource, assigned};
use crate::scim::schema::{Mutability, Reference, ResourceType};
use crate::scim::user_name;
use crate::store::{Apply, Blind, Change, ChangedGroup, Error as StoreError, MemberChange, VersionAfter};

impl RequestContext<'_> {
    pub(super) async fn create(&self, kind: &ResourceType) -> Result<Response> {
        // First: an invalid `attributes` must fail before anything is written.
        let projection = self.projection(kind)?;
        let mut attributes = Reader::new(kind, self.leeway).new_resource(&self.body()?)?;
        let projection = projection.after_write(assigned(kind, &attributes));
        let members = member::take(kind, &mut attributes)?;
        self.check_user(kind, None, &attributes)?;
        let missing = self.missing(referred(kind, &attributes)).await?;
        reference::check(kind, &missing, None, &attributes)?;
        let resource = Box::pin(self.writer(kind).create(attributes, members)).await?;
        let location = self.location(kind, &resource.id);
        Ok(self.written(201, kind, resource, &projection).await.with(header::LOCATION, location))
    }

    /// Answers with a resource that was written.
    async fn written(
        &self,
        status: u16,
        kind: &ResourceType,
        mut resource: Resource,
        projection: &Projection<'_>,
    ) -> Response {
        match self.read_names(&[(kind, projection, &resource)]).await {
            Ok(names) => {
                self.add_references(kind, &mut resource, projection, &names);
                self.resource(status, kind, &resource, projection)
            }
            Err(error) => {
                tracing::warn!(%error, "the names in an answer were not read");
                unread(status).with(header::ETAG, resource.etag().to_string())
            }
        }
    }

    /// Returns those of the ids that no resource has, if the policy refuses them. A resource
    /// that is deleted between this read and the write is one that is deleted after it.
    async fn missing(&self, referred: Vec<(&Reference, &str)>) -> Result<Vec<String>> {
        if self.tenant.policy.unknown_managers == UnknownManagers::Accept || referred.is_empty() {
            return Ok(Vec::new());
        }
        let of_types = |(reference, id): &(&'_ Reference, &'_ str)| {
            reference.types.iter().map(|kind| (kind.clone(), (*id).to_owned())).collect::<Vec<_>>()
        };
        let wanted: Vec<(String, String)> = referred.iter().flat_map(of_types).collect();
        let wanted: Vec<(&str, &str)> =
            wanted.iter().map(|(kind, id)| (kind.as_str(), id.as_str())).collect();
        let names = Box::pin(self.directory().current_names(&wanted)).await?;
        let is_missing = |(reference, id): &(&Reference, &str)| {
            reference.types.iter().all(|kind| names.get(kind, id).is_none())
        };
        Ok(referred.into_iter().filter(is_missing).map(|(_, id)| id.to_owned()).collect())
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
        if self.request.header("if-none-match").next().is_some() && !self.shows_derived(kind, &projection) {
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
        let reader = Reader::new(kind, self.leeway);
        let mut new = reader.resource(&self.body()?)?;
        let projection = projection.after_write(assigned(kind, &new));
        let members = member::take(kind, &mut new)?;
        let missing = self.missing(referred(kind, &new)).await?;
        let apply = |old: &Attributes| {
            let mut after = new.clone();
            reader.keep_active(old, &mut after);
            keep_immutable(kind, old, &mut after)?;
            reference::check(kind, &missing, Some(old), &after)?;
            self.check_user(kind, Some(old), &after)?;
            Ok((*old != after).then_some(after))
        };
        // Never blind: the present members decide which of them a PUT removes.
        if kind.members.is_some() {
            let touched = Touched::Named(MemberChanges::only(members));
            let change = MemberChange { apply: Some(&apply), touched: &touched };
            let resource = match self.change_members(kind, id, change).await? {
                ChangedGroup::Known(group) => return Ok(self.written(200, kind, *group, &projection).await),
                // An answer in bulk shows no members, so they are not read for it.
                ChangedGroup::Unread(version) if self.in_bulk => {
                    return Ok(self.with_version(Response::empty(200), kind, id, version).await);
                }
                ChangedGroup::Unread(_) => self.get_expanded(kind, id, &projection).await?,
            };
            return Ok(self.resource(200, kind, &resource, &projection));
        }
        // Immutable attributes, values that only a user who has them may have, and an `active`
        // that is kept depend on the present ones, so that a write needs a read.
        let has_immutable = kind.places().any(|place| place.attribute.mutability == Mutability::Immutable);
        let is_compared = has_immutable
            || reader.omits_active(&new)
            || !missing.is_empty()
            || self.check_user(kind, None, &new).is_err();
        let blind = (!is_compared).then_some(Blind::Replace(&new));
        self.update(kind, id, &projection, Change { blind, apply: &apply }).await
    }

    pub(super) async fn patch(&self, kind: &ResourceType, id: &str) -> Result<Response> {
        let projection = self.projection(kind)?;
        let patch = Patch::parse(&Reader::new(kind, self.leeway), id, &self.body()?)?;
        let missing = self.missing(patch.referred().collect()).await?;
        let projection = projection.after_write(patch.assigned());
        let apply = |old: &Attributes| {
            let after = patch.apply(old, self.work)?;
            if let Some(after) = &after {
                reference::check(kind, &missing, Some(old), after)?;
                self.check_user(kind, Some(old), after)?;
            }
            Ok(after)
        };
        let apply_without_members = |old: &Attributes| patch.apply_without_members(old, self.work);
        let touched = patch.member_changes();
        // `Named` members are no part of the attributes that `apply` is given.
        let apply: Apply<'_> = match touched {
            Touched::Nothing | Touched::Any(_) => &apply,
            Touched::Named(_) => &apply_without_members,
        };
        if *touched != Touched::Nothing {
            // Without `apply`, one member can be added or removed without a read of the group.
            let changes_more = matches!(touched, Touched::Any(_)) || !patch.is_about_members_alone();
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
        Ok(self.writer(kind).change_members(id, &self.precondition()?, change).await?)
    }

    async fn update(
        &self,
        kind: &ResourceType,
        id: &str,
        projection: &Projection<'_>,
        change: Change<'_>,
    ) -> Result<Response> {
        let precondition = self.precondition()?;
        let write = Box::pin(async {
            let written = self.writer(kind).update(id, &precondition, change).await?;
            let names = self.read_names(&[(kind, projection, &written)]).await;
            Ok((written, names))
        });
        let (written, groups) = self.beside_groups(kind, id, projection, write).await;
        let (mut resource, names) = written?;
        let (Ok(names), Ok(groups)) = (names, groups) else {
            tracing::warn!("the groups or names in an answer were not read");
            return Ok(unread(200).with(header::ETAG, resource.etag().to_string()));
        };
        self.add_groups(kind, &mut resource, &groups);
        self.add_references(kind, &mut resource, projection, &names);
        Ok(self.resource(200, kind, &resource, projection))
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
