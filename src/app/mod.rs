//! One request, from the event to the reply.

mod bulk;
mod context;
mod expand;
mod find;
mod pages;
mod request_log;
mod resources;
mod response;
mod roles;
mod search;
mod sweep;

use std::sync::Arc;

use http::{Method, header};
use jiff::{Timestamp, Unit};
use tokio::time::Instant;
use uuid::Uuid;

use self::context::RequestContext;
use self::request_log::RequestLog;
use crate::auth::rate_limit::Buckets;
use crate::auth::{Auth, Caller};
use crate::config::Config;
use crate::lambda::{Event, Reply, Request, Response};
use crate::route::{Location, Route, base_url};
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::policy::Policy;
use crate::scim::quirks::Leeway;
use crate::scim::registry::Registry;
use crate::scim::registry::discovery::{self, Offered};
use crate::store::{Jitter, Meter, RETRY_AFTER, Scope, Store};

/// What the core never asks the sources for by itself.
#[derive(Clone)]
pub struct Sources {
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    pub jitter: Arc<Jitter>,
}

impl Sources {
    #[expect(clippy::disallowed_methods, reason = "this is where time and chance come in")]
    pub fn system() -> Self {
        Self {
            now: Arc::new(Timestamp::now),
            ids: Arc::new(Uuid::new_v4),
            // 32 of the random bits of a UUID.
            jitter: Arc::new(|| f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)),
        }
    }
}

pub struct App {
    config: Config,
    sources: Sources,
    auth: Auth,
    buckets: Buckets,
    store: Store,
}

impl App {
    pub fn new(config: Config, client: aws_sdk_dynamodb::Client, sources: Sources) -> Self {
        let store =
            Store::new(client, config.table.clone(), Arc::clone(&sources.ids), Arc::clone(&sources.jitter));
        let auth = Auth::new(config.definitions.clone());
        Self { config, sources, auth, buckets: Buckets::default(), store }
    }

    /// While Lambda starts the function, and nobody waits: reads the schemas, and opens a
    /// connection to DynamoDB. If that fails, the first request tells.
    pub async fn warm_up(&self) {
        Registry::new(&Policy::default());
        if let Err(error) = self.store.connect().await {
            tracing::warn!(%error, "no connection yet");
        }
    }

    /// Cannot fail: a failure is an answer too.
    pub async fn handle(&self, event: Event) -> Reply {
        match event.into_request() {
            Some((request, reply)) => reply(self.answer_to(request).await),
            None => Reply::Swept(self.sweep().await),
        }
    }

    async fn answer_to(&self, mut request: Request) -> Response {
        let started = Instant::now();
        let method = request.method.clone();
        // RFC 9110 s9.3.2: all that a GET would say, but for the body.
        if method == Method::HEAD {
            request.method = Method::GET;
        }
        let request = &request;
        let log = RequestLog::default();
        // Boxed: the futures of the SDK are deeper than the compiler likes to nest.
        let deadline = started + self.config.timeout;
        let work = tokio::time::timeout_at(deadline, Box::pin(self.respond(request, started, &log)));
        let audited = async {
            let response = work.await;
            self.keep_audit(&request.request_id, &log).await;
            response
        };
        let (response, reading) = Meter::measure(audited).await;
        let response = response.unwrap_or_else(|_| Err(too_late())).unwrap_or_else(Response::from);
        let tolerances = Some(log.used.names()).filter(|names| !names.is_empty());
        let explained = self.config.explain.then_some(&reading);
        tracing::info!(
            request_id = request.request_id,
            trace_id = request.header("x-amzn-trace-id").next(),
            tenant = log.tenant(),
            %method,
            path = request.path,
            route = log.route(),
            status = response.status,
            // 501 is what a service is told that asks for /Me.
            server_errors = u64::from(response.status >= 500 && response.status != 501),
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            dynamodb_calls = reading.calls,
            retries = reading.retries(),
            conflicts = reading.conflicts,
            throttles = reading.throttles,
            read_units = reading.read_units,
            write_units = reading.write_units,
            tolerances = tolerances.map(|names| names.join(",")),
            plan = explained.and_then(|reading| reading.plan.as_deref()),
            items_read = explained.map(|reading| reading.items),
            "request"
        );
        let response = response.negotiated(request);
        if method == Method::HEAD { response.without_body() } else { response }
    }

    async fn respond(&self, request: &Request, started: Instant, log: &RequestLog) -> Result<Response> {
        let now = (self.sources.now)();
        let now = now.round(Unit::Millisecond).unwrap_or(now);
        let location = Location::parse(&request.path, request.stage.as_deref());
        let Caller { tenant, client, user, scope, is_noteworthy } =
            self.auth.caller(&self.store, request, &location, now).await?;
        log.let_in(&tenant.name, &client, now);
        self.buckets.take(&tenant.name, tenant.policy.rate_limit, now).map_err(too_fast)?;
        let base = base_url(self.config.base_url.as_deref(), request, &location, tenant.name.as_str());
        let context = RequestContext {
            request,
            tenant: &tenant,
            user: user.as_deref(),
            leeway: Leeway::of(&tenant.policy).noted_in(&log.used),
            trail: &log.trail,
            base,
            now,
            started,
            in_bulk: false,
        };
        let route = Route::parse(&request.method, &location, &tenant.registry)?;
        log.routed(&route);
        if scope == Scope::Read && route.writes(&request.method) {
            return Err(ErrorKind::Forbidden
                .with("the token only reads: use one that the operator has made for reading and writing"));
        }
        let note = async {
            if is_noteworthy && let Err(error) = self.store.note_use(&tenant.name, &client, now).await {
                tracing::warn!(%error, "the use of a token was not noted");
            }
        };
        let (response, ()) = tokio::join!(self.follow(&context, route), note);
        response
    }

    async fn follow(&self, context: &RequestContext<'_>, route: Route) -> Result<Response> {
        let registry = &context.tenant.registry;
        match route {
            Route::Create(kind) => self.create(context, &kind).await,
            Route::List(kind) => self.list(context, &[kind]).await,
            Route::ListAll => self.list(context, &registry.resource_types).await,
            Route::Search(kind) => self.search(context, &[kind]).await,
            Route::SearchAll => self.search(context, &registry.resource_types).await,
            Route::Get(kind, id) => self.get(context, &kind, &id).await,
            Route::Replace(kind, id) => self.replace(context, &kind, &id).await,
            Route::Patch(kind, id) => self.patch(context, &kind, &id).await,
            Route::Delete(kind, id) => self.delete(context, &kind, &id).await,
            Route::Me => {
                let (kind, id) = context.me()?;
                let route = Route::of_resource(&context.request.method, kind, id)?;
                let response = Box::pin(self.follow(context, route)).await.unwrap_or_else(Response::from);
                Ok(response.with(header::LOCATION, context.location(kind, id)))
            }
            Route::Options { allow } => Ok(Response::empty(204).with(header::ALLOW, allow.to_owned())),
            Route::Bulk => self.bulk(context).await,
            Route::ServiceProviderConfig => {
                let offered = Offered {
                    cursor: self.config.cursor_key.is_some(),
                    page_size: context.tenant.policy.page_size,
                    max_bulk_operations: self.config.max_bulk_operations,
                    max_bulk_bytes: self.config.max_bulk_bytes,
                };
                context.description(&discovery::service_provider_config(&context.base, registry, &offered))
            }
            Route::ResourceTypes => context.documents(discovery::resource_types(registry, &context.base)),
            Route::ResourceType(name) => {
                context.document("resource type", &name, registry.resource_type(&name), |kind, base| {
                    discovery::resource_type(kind, base)
                })
            }
            Route::Schemas => context.documents(discovery::schemas(registry, &context.base)),
            Route::Schema(urn) => context.document("schema", &urn, registry.schema(&urn), |schema, base| {
                discovery::schema(schema, base)
            }),
        }
    }
}

fn too_fast(retry_after: u32) -> Error {
    ErrorKind::Busy { retry_after }
        .with("too many requests: send fewer a second, or let the operator raise the policy rateLimit")
}

/// What is cut off is what a crash would cut off: it happened or it did not, and
/// the client is told to look.
fn too_late() -> Error {
    ErrorKind::Unavailable { retry_after: RETRY_AFTER }
        .with("the directory took too long: read the resource, or send the request again later")
}
