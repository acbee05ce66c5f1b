//! The context of an authenticated request: the parts of the request by their meaning,
//! and the tenant's directory.

use http::{HeaderName, Method, header};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::App;
use super::request_log::Cut;
use super::response::media_type;
use crate::auth::Tenant;
use crate::lambda::{Body, Payload, Request, Response};
use crate::scim::error::{ErrorKind, Result};
use crate::scim::etag::Precondition;
use crate::scim::json;
use crate::scim::policy::PatchAnswer;
use crate::scim::projection::{Projection, render};
use crate::scim::quirks::Leeway;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::scim::work::Work;
use crate::store::{AuditTrail, Collection, Directory, WriteContext, Writer};

/// The characters that a path segment holds unencoded (RFC 3986 s2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) struct RequestContext<'a> {
    pub(super) app: &'a App,
    pub(super) request: &'a Request,
    pub(super) tenant: &'a Tenant,
    /// The id of the user to whom the token is bound.
    pub(super) user: Option<&'a str>,
    pub(super) leeway: Leeway<'a>,
    pub(super) work: &'a Work,
    pub(super) audit: &'a AuditTrail,
    pub(super) cut: &'a Cut,
    pub(super) base: &'a str,
    pub(super) now: Timestamp,
    pub(super) started: Instant,
    /// The users who have more roles, or entitlements, than are indexed. A request asks for
    /// those of one of the two.
    pub(super) of_many: &'a OnceCell<Vec<Resource>>,
    /// True for an operation of a bulk request, whose answer shows no resource.
    pub(super) in_bulk: bool,
}

impl<'a> RequestContext<'a> {
    pub(super) fn directory(&self) -> Directory<'a> {
        self.app.store.directory(&self.tenant.name)
    }

    pub(super) fn collection<'b>(&self, kind: &'b ResourceType) -> Collection<'b>
    where
        'a: 'b,
    {
        self.directory().collection(kind)
    }

    pub(super) fn writer<'b>(&self, kind: &'b ResourceType) -> Writer<'b>
    where
        'a: 'b,
    {
        let context = WriteContext { policy: &self.tenant.policy, now: self.now, audit: self.audit };
        self.collection(kind).writer(context)
    }

    /// Returns the condition that the client sets on a write.
    pub(super) fn precondition(&self) -> Result<Precondition> {
        Precondition::parse(self.tags("if-match"), self.tags("if-none-match"))
    }

    /// Returns the condition that the client sets on a read; `If-None-Match` asks for a 304
    /// there (RFC 9110 s13.1.2).
    pub(super) fn precondition_of_read(&self) -> Result<Precondition> {
        Precondition::parse(self.tags("if-match"), [])
    }

    fn tags(&self, name: &str) -> impl Iterator<Item = &str> {
        // RFC 9110 s8.8.3 allows any byte above 0x7F in a tag, but not in ours. Skipped, it would
        // turn a conditional request into an unconditional one.
        self.request.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("\"\""))
    }

    pub(super) fn projection<'k>(&self, kind: &'k ResourceType) -> Result<Projection<'k>> {
        let parameter = |name| self.request.parameter(name);
        Projection::parse(
            kind,
            (parameter("attributes").as_deref(), parameter("excludedAttributes").as_deref()),
            self.leeway,
        )
    }

    /// Parses the body as JSON.
    pub(super) fn body(&self) -> Result<Value> {
        self.body_up_to(self.app.config.max_body_bytes, |bytes, limit| {
            format!("the body has {bytes} bytes, the limit is {limit}")
        })
    }

    pub(super) fn body_up_to(
        &self,
        limit: usize,
        too_large: impl FnOnce(usize, usize) -> String,
    ) -> Result<Value> {
        // Scripts omit the content type, and there is only one that makes sense.
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
            // Not measured: the body of the bulk request was, and this is a part of it.
            Payload::Json(value) => return Ok(value.clone()),
            Payload::Unreadable(reason) => return Err(ErrorKind::InvalidSyntax.with(*reason)),
        };
        if bytes.len() > limit {
            return Err(ErrorKind::TooLarge.with(too_large(bytes.len(), limit)));
        }
        if bytes.trim_ascii().is_empty() {
            return Err(ErrorKind::InvalidSyntax.with("the body is empty: send a JSON object"));
        }
        // RFC 8259 s8.1: JSON must not begin with one.
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(ErrorKind::InvalidSyntax
                .with("the body begins with a byte order mark: send UTF-8 without one"));
        }
        json::parse(bytes).map_err(|error| match error {
            json::Error::Syntax(error) => {
                ErrorKind::InvalidSyntax.with(format!("the body is not valid JSON: {error}"))
            }
            json::Error::TooManyValues => {
                ErrorKind::TooLarge.with(format!("the body has {error}: send several requests"))
            }
        })
    }

    pub(super) fn location(&self, kind: &ResourceType, id: &str) -> String {
        // Our own ids need no encoding, but a role may have any name.
        format!("{}/{}/{}", self.base, kind.endpoint, utf8_percent_encode(id, SEGMENT))
    }

    /// Renders the answer that shows a resource.
    pub(super) fn resource(
        &self,
        status: u16,
        kind: &ResourceType,
        resource: &Resource,
        projection: &Projection<'_>,
    ) -> Response {
        let empty = |status: u16| Response::empty(status).with(header::ETAG, resource.etag().to_string());
        // RFC 7644 s3.7 requires a body for errors only. A thousand resources could exceed the
        // 6 MB of a Lambda answer.
        if self.in_bulk {
            return empty(status);
        }
        // RFC 7240 s4.2: a creation remains 201, with its `Location`.
        if self.is_minimal() {
            return empty(if status == 201 { 201 } else { 204 })
                .with(HeaderName::from_static("preference-applied"), "return=minimal".to_owned());
        }
        let location = self.location(kind, &resource.id);
        let body = render(kind, resource, projection, &location);
        Response { body: Body::Text(body.to_string()), ..empty(status) }
            // RFC 9110 s8.7: what a GET of this URL shows.
            .with(header::CONTENT_LOCATION, location)
    }

    /// Returns true if the answer shows a resource. Nothing is read to be shown in any other.
    pub(super) fn shows_resource(&self) -> bool {
        !self.in_bulk && !self.is_minimal()
    }

    fn is_minimal(&self) -> bool {
        self.request.method != Method::GET && self.prefers("return=minimal") && !self.asks_for_attributes()
    }

    /// Returns true if the client names the attributes of the answer. A PATCH is answered 200
    /// then (RFC 7644 s3.5.2), whatever it prefers.
    fn asks_for_attributes(&self) -> bool {
        self.request.parameters("attributes").any(|names| !names.trim().is_empty())
    }

    /// Returns true if the client sent this preference (RFC 7240).
    fn prefers(&self, wanted: &str) -> bool {
        self.request
            .header("prefer")
            .flat_map(|value| value.split([',', ';']))
            // `return = "minimal"` is the same preference (RFC 7240 s2).
            .any(|preference| preference.replace([' ', '"'], "").eq_ignore_ascii_case(wanted))
    }

    /// Returns true if the answer to a PATCH shows the group. That requires a read of all of
    /// its members, so most clients are answered 204.
    pub(super) fn shows_patched_group(&self) -> bool {
        let policy = !self.in_bulk && self.tenant.policy.patch_answer == PatchAnswer::Representation;
        let wanted = policy || self.prefers("return=representation");
        self.asks_for_attributes() || wanted && !self.prefers("return=minimal")
    }

    /// Returns the resource that `/Me` stands for (RFC 7644 s3.11).
    pub(super) fn me(&self) -> Result<(&'a Arc<ResourceType>, &'a str)> {
        self.tenant.registry.resource_type("User").zip(self.user).ok_or_else(|| {
            ErrorKind::NotImplemented.with("/Me is not available: this token is not bound to a user")
        })
    }

    /// Returns the types whose resources have members.
    pub(super) fn groups(&self) -> Vec<&'a ResourceType> {
        let kinds = self.tenant.registry.resource_types.iter().map(Arc::as_ref);
        kinds.filter(|kind| kind.members.is_some()).collect()
    }
}
