//! A request that has been let in, and what its parts mean.

use std::sync::Arc;

use http::{HeaderName, Method, header};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

use super::response::media_type;
use crate::auth::Tenant;
use crate::config::Config;
use crate::lambda::{Payload, Request, Response};
use crate::scim::error::{ErrorKind, Result};
use crate::scim::etag::Precondition;
use crate::scim::json;
use crate::scim::policy::PatchAnswer;
use crate::scim::projection::{Projection, render};
use crate::scim::query::{self, Paged};
use crate::scim::quirks::Leeway;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::{AuditTrail, Write};

/// What a segment of a path has as it is (RFC 3986 s2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) struct RequestContext<'a> {
    pub(super) request: &'a Request,
    pub(super) tenant: &'a Tenant,
    /// The id of the user to whom the token is bound.
    pub(super) user: Option<&'a str>,
    pub(super) leeway: Leeway<'a>,
    pub(super) trail: &'a AuditTrail,
    pub(super) base: String,
    pub(super) now: Timestamp,
    pub(super) started: Instant,
    /// Whether it is an operation of a bulk request: nobody sees the resource in
    /// its answer.
    pub(super) in_bulk: bool,
}

impl RequestContext<'_> {
    pub(super) fn write<'a>(&'a self, kind: &'a ResourceType) -> Write<'a> {
        Write {
            tenant: &self.tenant.name,
            kind,
            policy: &self.tenant.policy,
            now: self.now,
            trail: self.trail,
        }
    }

    pub(super) fn precondition(&self) -> Precondition {
        Precondition::parse(self.request.header("if-match"))
    }

    pub(super) fn projection<'k>(&self, kind: &'k ResourceType) -> Result<Projection<'k>> {
        let parameter = |name| self.request.parameter(name);
        Projection::parse(
            kind,
            parameter("attributes").as_deref(),
            parameter("excludedAttributes").as_deref(),
        )
    }

    /// The body as JSON.
    pub(super) fn body(&self, config: &Config) -> Result<Value> {
        self.body_up_to(config.max_body_bytes, |bytes, limit| {
            format!("the body has {bytes} bytes, at most {limit} are allowed")
        })
    }

    /// A request without a content type is taken at its word.
    pub(super) fn body_up_to(
        &self,
        limit: usize,
        too_large: impl FnOnce(usize, usize) -> String,
    ) -> Result<Value> {
        let media_type = self.request.header("content-type").next().map(media_type);
        if let Some(media_type) = media_type
            && !["application/scim+json", "application/json", ""].contains(&media_type.as_str())
        {
            return Err(ErrorKind::UnsupportedMediaType.with(format!(
                "the content type {media_type} is not supported: send application/scim+json"
            )));
        }
        let bytes = match &self.request.body {
            Payload::Bytes(bytes) => bytes,
            Payload::Json(value) => return Ok(value.clone()),
            Payload::NotBase64 => return Err(ErrorKind::InvalidSyntax.with("the body is not valid base64")),
        };
        if bytes.len() > limit {
            return Err(ErrorKind::TooLarge.with(too_large(bytes.len(), limit)));
        }
        json::parse(bytes)
            .map_err(|error| ErrorKind::InvalidSyntax.with(format!("the body is not valid JSON: {error}")))
    }

    pub(super) fn location(&self, kind: &ResourceType, id: &str) -> String {
        // An id of our making is itself; a role may be called anything.
        format!("{}/{}/{}", self.base, kind.endpoint, utf8_percent_encode(id, SEGMENT))
    }

    pub(super) fn resource(
        &self,
        status: u16,
        kind: &ResourceType,
        resource: &Resource,
        projection: &Projection<'_>,
    ) -> Response {
        let etag = resource.version.to_string();
        if self.in_bulk {
            return Response::empty(status).with(header::ETAG, etag);
        }
        // RFC 7240 s4.2: a creation is still told as 201, with its `Location`.
        if self.request.method != Method::GET && self.prefers("return=minimal") {
            return Response::empty(if status == 201 { 201 } else { 204 })
                .with(header::ETAG, etag)
                .with(HeaderName::from_static("preference-applied"), "return=minimal".to_owned());
        }
        let body = render(kind, resource, projection, &self.location(kind, &resource.id));
        Response::json(status, &body).with(header::ETAG, etag)
    }

    /// RFC 7240.
    fn prefers(&self, wanted: &str) -> bool {
        self.request
            .header("prefer")
            .flat_map(|value| value.split([',', ';']))
            .any(|preference| preference.replace([' ', '"'], "").eq_ignore_ascii_case(wanted))
    }

    /// Whether a client wants to see a group that it has changed. Its members would
    /// have to be read for the answer, so that most are told 204.
    pub(super) fn wants_group(&self) -> bool {
        let policy = !self.in_bulk && self.tenant.policy.patch_answer == PatchAnswer::Representation;
        let asked = self.request.parameter("attributes").is_some();
        (policy || asked || self.prefers("return=representation")) && !self.prefers("return=minimal")
    }

    /// The resource that `/Me` stands for (RFC 7644 s3.11).
    pub(super) fn me(&self) -> Result<(&Arc<ResourceType>, &str)> {
        self.tenant.registry.resource_type("User").zip(self.user).ok_or_else(|| {
            ErrorKind::NotImplemented
                .with("/Me is not supported: the token is that of a service, not of a user")
        })
    }

    /// The types whose resources have members.
    pub(super) fn groups(&self) -> Vec<&ResourceType> {
        let kinds = self.tenant.registry.resource_types.iter().map(Arc::as_ref);
        kinds.filter(|kind| kind.members.is_some()).collect()
    }

    pub(super) fn documents(&self, documents: Vec<Value>) -> Result<Response> {
        self.description(&query::response(Paged::Index { total: documents.len(), start_index: 1 }, documents))
    }

    pub(super) fn document<T>(
        &self,
        what: &str,
        name: &str,
        found: Option<&Arc<T>>,
        show: impl Fn(&T, &str) -> Value,
    ) -> Result<Response> {
        match found {
            Some(found) => self.description(&show(found, &self.base)),
            None => Err(ErrorKind::NotFound.with(format!("there is no {what} {name}"))),
        }
    }

    /// RFC 7644 s4: a filter on what describes the service is refused, and all
    /// else that a query can hold is ignored.
    pub(super) fn description(&self, body: &Value) -> Result<Response> {
        if self.request.parameter("filter").is_some() {
            return Err(ErrorKind::Forbidden.with("this endpoint takes no filter: read it whole"));
        }
        Ok(Response::json(200, body))
    }
}
