//! One request, from the event to the reply.

use std::sync::Arc;

use http::{HeaderName, Method, header};
use jiff::{Timestamp, Unit};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::{Auth, Tenant};
use crate::config::Config;
use crate::event::{Event, Payload, Reply, Request, Response};
use crate::route::{Location, Route, base_url};
use crate::scim::discovery;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::etag::{self, Precondition};
use crate::scim::input::{Reader, check_immutable};
use crate::scim::list::{self, Query};
use crate::scim::matches::Matcher;
use crate::scim::patch::Patch;
use crate::scim::plan::Plan;
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::{Mutability, ResourceType};
use crate::scim::select::{Selection, render};
use crate::store::{Change, Dice, Store, Unseen, Write};

/// What the core never asks the world for by itself.
#[derive(Clone)]
pub struct World {
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    pub dice: Arc<Dice>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "this is where time and chance come in")]
    pub fn real() -> Self {
        Self {
            now: Arc::new(Timestamp::now),
            ids: Arc::new(Uuid::new_v4),
            // 32 of the random bits of a UUID.
            dice: Arc::new(|| f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)),
        }
    }
}

pub struct App {
    config: Config,
    world: World,
    auth: Auth,
    store: Store,
}

/// A request that has been let in.
struct Call<'a> {
    request: &'a Request,
    tenant: &'a Tenant,
    base: String,
    now: Timestamp,
}

impl App {
    pub fn new(config: Config, client: aws_sdk_dynamodb::Client, world: World) -> Self {
        let store = Store::new(client, config.table.clone(), Arc::clone(&world.ids), Arc::clone(&world.dice));
        Self { config, world, auth: Auth::default(), store }
    }

    /// Cannot fail: a failure is an answer too.
    pub async fn handle(&self, event: Event) -> Reply {
        let started = Instant::now();
        let reply = event.replier();
        let request = event.into_request();
        // Boxed: the futures of the SDK are deeper than the compiler likes to nest.
        let response = match Box::pin(self.respond(&request)).await {
            Ok(response) => response,
            Err(error) => Response::from(error),
        };
        tracing::info!(
            request_id = request.request_id,
            method = %request.method,
            path = request.path,
            status = response.status,
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
        reply(response.negotiated(&request))
    }

    async fn respond(&self, request: &Request) -> Result<Response> {
        let now = (self.world.now)();
        let now = now.round(Unit::Millisecond).unwrap_or(now);
        let location = Location::parse(&request.path, request.stage.as_deref());
        let base = base_url(self.config.base_url.as_deref(), request, &location);
        let tenant = self.auth.tenant(&self.store, request, now).await?;
        let route = Route::parse(&request.method, &location, &tenant.catalogue)?;
        let call = Call { request, tenant: &tenant, base, now };
        match route {
            Route::Create(kind) => self.create(&call, &kind).await,
            Route::List(kind) => self.list(&call, &kind).await,
            Route::Get(kind, id) => self.get(&call, &kind, &id).await,
            Route::Replace(kind, id) => self.replace(&call, &kind, &id).await,
            Route::Patch(kind, id) => self.patch(&call, &kind, &id).await,
            Route::Delete(kind, id) => self.delete(&call, &kind, &id).await,
            Route::ServiceProviderConfig => {
                Ok(Response::json(200, &discovery::service_provider_config(&call.base)))
            }
            Route::ResourceTypes => call.documents(&discovery::resource_types(&tenant.catalogue, &call.base)),
            Route::ResourceType(name) => {
                call.document("resource type", &name, tenant.catalogue.resource_type(&name), |kind, base| {
                    discovery::resource_type(kind, base)
                })
            }
            Route::Schemas => call.documents(&discovery::schemas(&tenant.catalogue, &call.base)),
            Route::Schema(urn) => {
                call.document("schema", &urn, tenant.catalogue.schema(&urn), |schema, base| {
                    discovery::schema(schema, base)
                })
            }
        }
    }

    async fn create(&self, call: &Call<'_>, kind: &ResourceType) -> Result<Response> {
        let selection = call.selection(kind)?;
        let attributes = Reader::new(kind, &call.tenant.policy).resource(&call.body(&self.config)?)?;
        let resource = self.store.create(call.write(kind), attributes).await?;
        let location = call.location(kind, &resource.id);
        let response = call.resource(201, kind, &resource, &selection);
        Ok(response.with(header::LOCATION, location))
    }

    async fn get(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        let selection = call.selection(kind)?;
        let found = self.store.get(&call.tenant.name, kind, id).await?;
        let resource = found.ok_or(crate::store::Error::NotFound)?;
        if etag::is_known(call.request.header("if-none-match"), resource.version) {
            return Ok(Response::empty(304).with(header::ETAG, resource.version.to_string()));
        }
        Ok(call.resource(200, kind, &resource, &selection))
    }

    async fn replace(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
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

    async fn patch(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
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

    async fn delete(&self, call: &Call<'_>, kind: &ResourceType, id: &str) -> Result<Response> {
        self.store.delete(call.write(kind), id, &call.precondition()).await?;
        Ok(Response::empty(204))
    }

    async fn list(&self, call: &Call<'_>, kind: &ResourceType) -> Result<Response> {
        let selection = call.selection(kind)?;
        let parameter = |name| call.request.parameter(name);
        let query = Query::parse(
            parameter("filter").as_deref(),
            parameter("startIndex").as_deref(),
            parameter("count").as_deref(),
        )?;
        let tenant = &call.tenant.name;
        let (total, page) = match &query.filter {
            None => self.store.page(tenant, kind, query.start_index - 1, query.count).await?,
            Some(filter) => {
                let matcher = Matcher::new(filter, kind)?;
                let keep = |resource: &Resource| matcher.matches(resource);
                let found = match Plan::of(filter, kind) {
                    Plan::Id(id) => {
                        self.store.get(tenant, kind, id).await?.into_iter().filter(keep).collect()
                    }
                    Plan::Unique(path, value) => {
                        self.store.owner(tenant, kind, path, value).await?.into_iter().filter(keep).collect()
                    }
                    Plan::LookUp(path, value) => {
                        let mut found = self.store.look_up(tenant, kind, path, value).await?;
                        found.retain(keep);
                        found
                    }
                    Plan::Scan => self.store.scan(tenant, kind, keep).await?,
                };
                (found.len(), found.into_iter().skip(query.start_index - 1).take(query.count).collect())
            }
        };
        let resources: Vec<Value> = page
            .iter()
            .map(|resource| render(kind, resource, &selection, &call.location(kind, &resource.id)))
            .collect();
        Ok(Response::json(200, &list::response(total, query.start_index, &resources)))
    }
}

impl Call<'_> {
    fn write<'a>(&'a self, kind: &'a ResourceType) -> Write<'a> {
        Write { tenant: &self.tenant.name, kind, now: self.now }
    }

    fn precondition(&self) -> Precondition {
        Precondition::parse(self.request.header("if-match"))
    }

    fn selection<'k>(&self, kind: &'k ResourceType) -> Result<Selection<'k>> {
        let parameter = |name| self.request.parameter(name);
        Selection::parse(kind, parameter("attributes").as_deref(), parameter("excludedAttributes").as_deref())
    }

    /// The body as JSON. A request without a content type is taken at its word.
    fn body(&self, config: &Config) -> Result<Value> {
        let media_type = self.request.header("content-type").next().map(media_type);
        if let Some(media_type) = media_type
            && !["application/scim+json", "application/json", ""].contains(&media_type.as_str())
        {
            return Err(ErrorKind::UnsupportedMediaType.with(format!(
                "the content type {media_type} is not supported: send application/scim+json"
            )));
        }
        let Payload::Bytes(bytes) = &self.request.body else {
            return Err(ErrorKind::InvalidSyntax.with("the body is not valid base64"));
        };
        if bytes.len() > config.max_body_bytes {
            return Err(ErrorKind::TooLarge.with(format!(
                "the body has {} bytes, at most {} are allowed",
                bytes.len(),
                config.max_body_bytes
            )));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| ErrorKind::InvalidSyntax.with(format!("the body is not valid JSON: {error}")))
    }

    fn location(&self, kind: &ResourceType, id: &str) -> String {
        format!("{}/{}/{id}", self.base, kind.endpoint)
    }

    fn resource(
        &self,
        status: u16,
        kind: &ResourceType,
        resource: &Resource,
        selection: &Selection<'_>,
    ) -> Response {
        let etag = resource.version.to_string();
        if self.request.method != Method::GET && self.wants_minimal() {
            return Response::empty(if status == 201 { 201 } else { 204 })
                .with(header::ETAG, etag)
                .with(HeaderName::from_static("preference-applied"), "return=minimal".to_owned());
        }
        let body = render(kind, resource, selection, &self.location(kind, &resource.id));
        Response::json(status, &body).with(header::ETAG, etag)
    }

    /// RFC 7240 s4.2: a creation is still told as 201, with its `Location`.
    fn wants_minimal(&self) -> bool {
        self.request
            .header("prefer")
            .flat_map(|value| value.split([',', ';']))
            .any(|preference| preference.replace([' ', '"'], "").eq_ignore_ascii_case("return=minimal"))
    }

    /// RFC 7644 s4: a filter on what describes the service is refused.
    fn documents(&self, documents: &[Value]) -> Result<Response> {
        if self.request.parameter("filter").is_some() {
            return Err(ErrorKind::Forbidden.with("this endpoint takes no filter: read it whole"));
        }
        Ok(Response::json(200, &list::response(documents.len(), 1, documents)))
    }

    fn document<T>(
        &self,
        what: &str,
        name: &str,
        found: Option<&Arc<T>>,
        show: impl Fn(&T, &str) -> Value,
    ) -> Result<Response> {
        match found {
            Some(found) => Ok(Response::json(200, &show(found, &self.base))),
            None => Err(ErrorKind::NotFound.with(format!("there is no {what} {name}"))),
        }
    }
}

const SCIM_JSON: &str = "application/scim+json";

impl Response {
    fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    fn json(status: u16, body: &Value) -> Self {
        Self { body: Some(body.to_string()), ..Self::empty(status) }
    }

    fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// RFC 7644 s3.1: scim+json, or json for a client that takes only that.
    fn negotiated(self, request: &Request) -> Self {
        if self.body.is_none() {
            return self;
        }
        let accepted: Vec<String> =
            request.header("accept").flat_map(|value| value.split(',')).map(media_type).collect();
        let takes = |wanted: &str| accepted.iter().any(|accepted| accepted == wanted);
        let plain = takes("application/json") && ![SCIM_JSON, "*/*", "application/*"].into_iter().any(takes);
        let media_type = if plain { "application/json" } else { SCIM_JSON };
        self.with(header::CONTENT_TYPE, media_type.to_owned())
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        let response = Self::json(error.kind.status(), &error.body());
        match error.kind {
            ErrorKind::Unauthorized => response.with(header::WWW_AUTHENTICATE, "Bearer".to_owned()),
            ErrorKind::MethodNotAllowed { allow } => response.with(header::ALLOW, allow.to_owned()),
            ErrorKind::Busy { retry_after } | ErrorKind::Unavailable { retry_after } => {
                response.with(header::RETRY_AFTER, retry_after.to_string())
            }
            _ => response,
        }
    }
}

/// Without parameters, in lower case.
fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
