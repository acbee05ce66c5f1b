//! The service about itself (RFC 7644 s4).

use std::sync::Arc;

use serde_json::Value;

use super::context::RequestContext;
use crate::lambda::Response;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::query::{self, Paged};
use crate::scim::registry::discovery::{self, Offered};

impl RequestContext<'_> {
    pub(super) fn service_provider_config(&self) -> Result<Response> {
        let config = &self.app.config;
        let offered = Offered {
            issuer: self.tenant.issuer(),
            page_size: self.tenant.policy.page_size,
            max_bulk_operations: config.max_bulk_operations,
            max_bulk_bytes: config.max_bulk_bytes,
        };
        self.description(&discovery::service_provider_config(self.base, &self.tenant.registry, &offered))
    }

    pub(super) fn resource_types(&self) -> Result<Response> {
        self.documents(discovery::resource_types(&self.tenant.registry, self.base))
    }

    pub(super) fn resource_type(&self, name: &str) -> Result<Response> {
        let found = self.tenant.registry.resource_type(name);
        self.document(("resource type", name), found, |kind| discovery::resource_type(kind, self.base))
    }

    pub(super) fn schemas(&self) -> Result<Response> {
        self.documents(discovery::schemas(&self.tenant.registry, self.base))
    }

    pub(super) fn schema(&self, urn: &str) -> Result<Response> {
        let found = self.tenant.registry.schema(urn);
        self.document(("schema", urn), found, |schema| discovery::schema(schema, self.base))
    }

    fn documents(&self, documents: Vec<Value>) -> Result<Response> {
        self.description(&query::response(Paged::Index { total: documents.len(), start_index: 1 }, documents))
    }

    fn document<T>(
        &self,
        (what, name): (&str, &str),
        found: Option<&Arc<T>>,
        show: impl Fn(&T) -> Value,
    ) -> Result<Response> {
        match found {
            Some(found) => self.description(&show(found)),
            None => Err(ErrorKind::NotFound.with(format!("{what} {name} does not exist"))),
        }
    }

    fn description(&self, body: &Value) -> Result<Response> {
        // RFC 7644 s4: a filter must be refused here, and other parameters are ignored.
        if self.request.parameter("filter").is_some() {
            return Err(ErrorKind::Forbidden.with("filter is not supported on this endpoint"));
        }
        Ok(Response::json(200, body))
    }
}
