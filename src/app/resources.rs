//! The life of one resource (RFC 7644 s3.3, s3.4.1, s3.5, s3.6).

use http::header;

use super::App;
use super::call::Call;
use crate::event::Response;
use crate::scim::error::Result;
use crate::scim::etag;
use crate::scim::input::{Reader, check_immutable};
use crate::scim::patch::Patch;
use crate::scim::resource::Attributes;
use crate::scim::schema::{Mutability, ResourceType};
use crate::scim::select::Selection;
use crate::store::{Change, Error as StoreError, Unseen};

impl App {
    pub(super) async fn create(&self, call: &Call<'_>, kind: &ResourceType) -> Result<Response> {
        let selection = call.selection(kind)?;
        let attributes = Reader::new(kind, &call.tenant.policy).resource(&call.body(&self.config)?)?;
        let resource = self.store.create(call.write(kind), attributes).await?;
        let location = call.location(kind, &resource.id);
        let response = call.resource(201, kind, &resource, &selection);
        Ok(response.with(header::LOCATION, location))
    }

    pub(super) async fn get(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let found = self.store.get(&call.tenant.name, kind, id).await?;
        let resource = found.ok_or(StoreError::NotFound)?;
        if etag::is_known(call.request.header("if-none-match"), resource.version) {
            return Ok(Response::empty(304).with(header::ETAG, resource.version.to_string()));
        }
        Ok(call.resource(200, kind, &resource, &selection))
    }

    pub(super) async fn replace(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let new = Reader::new(kind, &call.tenant.policy).resource(&call.body(&self.config)?)?;
        let apply = |old: &Attributes| {
            check_immutable(kind, old, &new)?;
            Ok((*old != new).then(|| new.clone()))
        };
        // What is immutable has to be compared with what is there.
        let immutable = kind.places().any(|place| place.attribute.mutability == Mutability::Immutable);
        let unseen = (!immutable).then_some(Unseen::Replace(&new));
        self.update(call, kind, id, &selection, Change { unseen, apply: &apply }).await
    }

    pub(super) async fn patch(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let patch = Patch::parse(&Reader::new(kind, &call.tenant.policy), id, &call.body(&self.config)?)?;
        let apply = |old: &Attributes| patch.apply(old);
        let unseen = patch.as_sets().map(Unseen::Set);
        self.update(call, kind, id, &selection, Change { unseen, apply: &apply }).await
    }

    async fn update(
        &self,
        call: &Call<'_>,
        kind: &ResourceType,
        id: &str,
        selection: &Selection<'_>,
        change: Change<'_>,
    ) -> Result<Response> {
        let resource = self.store.update(call.write(kind), id, &call.precondition(), change).await?;
        Ok(call.resource(200, kind, &resource, selection))
    }

    pub(super) async fn delete(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        self.store.delete(call.write(kind), id, &call.precondition()).await?;
        Ok(Response::empty(204))
    }
}
