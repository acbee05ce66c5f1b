//! The path of one request, from the event to the reply.
//!
//! * `context`: the parts of an authenticated request.
//! * `resources`: create, get, replace, patch and delete one resource.
//! * `search`: lists and queries.
//! * `expand`: members, groups and references in an answer.
//! * `bulk`: many operations in one request.
//! * `roles`: roles and entitlements that an operator has declared.
//! * `discovery`: the description of the service.
//! * `response`: answers as HTTP.
//! * `request_log`: the notes of a request that outlive it.
//! * `sweep`: cleanup jobs, on a schedule.

mod bulk;
mod context;
mod discovery;
mod expand;
mod request_log;
mod resources;
mod response;
mod roles;
mod search;
mod sweep;

use http::{HeaderName, Method, header};
use jiff::Unit;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use self::context::RequestContext;
use self::request_log::{MAX_TEXT_BYTES, RequestLog, shortened};
use self::response::SCIM_JSON;
use crate::auth::claim::Claim;
use crate::auth::rate_limit::Buckets;
use crate::auth::{Auth, Caller, Denied};
use crate::config::Config;
use crate::cursor::Cursors;
use crate::lambda::{Event, Reply, Request, Response};
use crate::route::{Location, Route, base_url};
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::policy::Policy;
use crate::scim::quirks::Leeway;
use crate::scim::registry::Registry;
use crate::scim::schema::ResourceType;
use crate::sources::Sources;
use crate::store::{Meter, RETRY_AFTER, Reading, Scope, Store, TenantName};

/// Names the attribute of which an answer shows only a part. A header, because a client that
/// does not know it is not disturbed, as it may be by an attribute that no schema has.
const TRUNCATED: HeaderName = HeaderName::from_static("scim-truncated");

pub struct App {
    config: Config,
    sources: Sources,
    auth: Auth,
    buckets: Buckets,
    cursors: Cursors,
    store: Store,
}

impl App {
    pub fn new(config: Config, store: Store, sources: Sources) -> Self {
        let auth = Auth::new(config.definitions.clone());
        Self { config, sources, auth, buckets: Buckets::default(), cursors: Cursors::default(), store }
    }

    /// Parses the schemas and opens a connection to DynamoDB while Lambda starts the
    /// function, before a client waits. If that fails, the first request fails.
    pub async fn warm_up(&self) {
        // For the side effect: the built-in documents are parsed once per process.
        Registry::new(&Policy::default());
        if let Err(error) = self.store.warm_up().await {
            tracing::warn!(%error, "no connection yet");
        }
    }

    /// Handles an event. An error becomes an answer, so this cannot fail.
    pub async fn handle(&self, event: Event) -> Reply {
        match event {
            Event::Schedule => Reply::Swept(self.sweep().await),
            Event::Request(request, reply) => reply(self.answer_to(*request).await),
            Event::Unknown => {
                tracing::warn!("the event is none of those that this function answers");
                unknown_event().into_rest()
            }
        }
    }

    async fn answer_to(&self, mut request: Request) -> Response {
        let started = Instant::now();
        let is_head = request.method == Method::HEAD;
        // RFC 9110 s9.3.2: the answer to a HEAD is that to a GET, without the body.
        if is_head {
            request.method = Method::GET;
        }
        let request = &request;
        let log = RequestLog::default();
        let deadline = started + self.config.timeout;
        // Boxed: the futures of the SDK are deeper than the compiler likes to nest.
        let work = tokio::time::timeout_at(deadline, Box::pin(self.respond(request, started, &log)));
        // After the time limit, not within: changes that were applied before the request ran out
        // of time are recorded too.
        let audited = async {
            let response = work.await;
            self.keep_audit(&request.request_id, &log).await;
            response
        };
        let (response, reading) = Meter::measure(audited).await;
        let response = response.unwrap_or_else(|_| Err(too_late())).unwrap_or_else(Response::from);
        let method = if is_head { &Method::HEAD } else { &request.method };
        let response = response.negotiated(request);
        // After the negotiation, which answers 400 in place of what is too large to be sent.
        self.log(&log, request, method, (&response, started, &reading));
        // After the negotiation, so that the length is that of the body which a GET would get.
        if is_head { response.without_body() } else { response }
    }

    /// Authenticates and routes a request, and answers it.
    async fn respond(&self, request: &Request, started: Instant, log: &RequestLog) -> Result<Response> {
        let now = (self.sources.now)();
        let now = now.round(Unit::Millisecond).unwrap_or(now);
        let location = Location::parse(&request.path, request.stage.as_deref());
        let claim = Claim::of(request, &location);
        let Caller { tenant, client, user, scope, is_use_due } =
            self.auth.caller(&self.store, &claim, now).await.map_err(|denied| match denied {
                Denied::Refused(refusal) => {
                    log.refused(refusal, &claim, request);
                    Error::from(refusal)
                }
                Denied::Failed(error) => error,
            })?;
        // Before the limit, so that the log line of a rejected request names the tenant.
        log.authenticated(&tenant.name, &client, now);
        // After authentication: a client without a token must not use up a tenant's limit.
        self.buckets.take(&tenant.name, tenant.policy.rate_limit, now).map_err(too_fast)?;
        let base = base_url(&self.config, request, &location, tenant.name.as_str());
        let context = RequestContext {
            app: self,
            request,
            tenant: &tenant,
            user: user.as_deref(),
            leeway: Leeway::of(&tenant.policy).noted_in(&log.used),
            work: &log.work,
            audit: &log.audit,
            cut: &log.cut,
            base: &base,
            now,
            started,
            of_many: &OnceCell::new(),
            in_bulk: false,
        };
        // Not before the tenant is known: its definitions may add endpoints.
        let route = Route::parse(&request.method, &location, &tenant.registry)?;
        log.routed(&route);
        // By route, not by method: a POST to `.search` only reads.
        if scope == Scope::Read && route.writes(&request.method) {
            return Err(ErrorKind::Forbidden.with("this token is read-only: use a read-write token"));
        }
        let record_use = async {
            if is_use_due && let Err(error) = self.store.record_use(&tenant.name, &client, now).await {
                tracing::warn!(%error, "the use of a token was not recorded");
            }
        };
        // Joined, not spawned: Lambda freezes the process when the answer is out, and a spawned
        // task would not be metered.
        let (response, ()) = tokio::join!(context.dispatch(route), record_use);
        response.map(|response| match log.cut.names() {
            Some(names) => response.with(TRUNCATED, names),
            None => response,
        })
    }

    fn log(
        &self,
        log: &RequestLog,
        request: &Request,
        method: &Method,
        (response, started, reading): (&Response, Instant, &Reading),
    ) {
        let tolerances = Some(log.used.names()).filter(|names| !names.is_empty());
        let ignored = Some(log.used.ignored()).filter(|names| !names.is_empty());
        let explained = self.config.explain.then_some(reading);
        let refused = log.refusal();
        let trace_id = request.header("x-amzn-trace-id").next();
        tracing::info!(
            request_id = request.request_id,
            trace_id = trace_id.map(|id| shortened(id, MAX_TEXT_BYTES)),
            tenant = log.tenant(),
            method = shortened(method.as_str(), MAX_TEXT_BYTES),
            path = shortened(&request.path, MAX_TEXT_BYTES),
            route = log.route(),
            status = response.status,
            // 501 is the answer to a service that asks for /Me.
            server_errors = u64::from(response.status >= 500 && response.status != 501),
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            dynamodb_calls = reading.calls,
            retries = reading.retries(),
            conflicts = reading.conflicts,
            throttles = reading.throttles,
            read_units = reading.read_units,
            write_units = reading.write_units,
            truncated = response.header(&TRUNCATED),
            tolerances = tolerances.map(|names| names.join(",")),
            ignored = ignored.map(|names| names.join(",")),
            plan = explained.and_then(|reading| reading.plan.as_deref()),
            items_read = explained.map(|reading| reading.items),
            refused = refused.map(|refused| refused.reason),
            // A metric, so only of requests that count.
            unauthorized = refused.map(|_| 1),
            claimed_tenant = refused.and_then(|refused| refused.tenant.as_ref()).map(TenantName::as_str),
            key_id = refused.and_then(|refused| refused.key_id.as_deref()),
            source_ip = refused.and_then(|refused| refused.source_ip.as_deref()),
            user_agent = refused.and_then(|refused| refused.user_agent.as_deref()),
            "request"
        );
    }
}

impl RequestContext<'_> {
    async fn dispatch(&self, route: Route) -> Result<Response> {
        match route {
            Route::Create(kind) => self.create(&kind).await,
            Route::List(kind) => self.list(&[kind]).await,
            Route::ListAll => self.list(&self.tenant.registry.resource_types).await,
            Route::Search(kind) => self.search(&[kind]).await,
            Route::SearchAll => self.search(&self.tenant.registry.resource_types).await,
            Route::Get(kind, id) => self.located(&kind, &id, self.get(&kind, &id).await).await,
            Route::Replace(kind, id) => {
                self.located(&kind, &id, Box::pin(self.replace(&kind, &id)).await).await
            }
            Route::Patch(kind, id) => self.located(&kind, &id, Box::pin(self.patch(&kind, &id)).await).await,
            Route::Delete(kind, id) => match self.delete(&kind, &id).await {
                Err(error) => Err(self.not_found(&kind, &id, error).await),
                deleted => deleted,
            },
            Route::Me => {
                let (kind, id) = self.me()?;
                let route = Route::of_resource(&self.request.method, kind, id)?;
                // RFC 7644 s3.11 requires the location "in any response", so errors have it, too.
                let response = Box::pin(self.dispatch(route)).await.unwrap_or_else(Response::from);
                if response.header(&header::LOCATION).is_some() {
                    return Ok(response);
                }
                Ok(response.with(header::LOCATION, self.location(kind, id)))
            }
            Route::Options { allow } => Ok(Response::empty(204).with(header::ALLOW, allow.to_owned())),
            Route::Bulk => self.bulk().await,
            Route::ServiceProviderConfig => self.service_provider_config(),
            Route::ResourceTypes => self.resource_types(),
            Route::ResourceType(name) => self.resource_type(&name),
            Route::Schemas => self.schemas(),
            Route::Schema(urn) => self.schema(&urn),
        }
    }

    /// Adds the location of a resource to an answer that is about it, as in the examples of
    /// RFC 7644 s3.4.1 and s3.5.1.
    async fn located(&self, kind: &ResourceType, id: &str, answer: Result<Response>) -> Result<Response> {
        match answer {
            Ok(response) => Ok(response.with(header::LOCATION, self.location(kind, id))),
            Err(error) => Err(self.not_found(kind, id, error).await),
        }
    }

    /// Names the endpoint of a resource that was asked for at the endpoint of another type.
    /// The read costs a failed request only.
    async fn not_found(&self, kind: &ResourceType, id: &str, error: Error) -> Error {
        if error.kind != ErrorKind::NotFound {
            return error;
        }
        let kinds = &self.tenant.registry.resource_types;
        // Without an answer the resource is still not at this endpoint.
        let found = self.directory().type_of(kinds, id).await.unwrap_or_default();
        match found.filter(|found| found.name != kind.name) {
            Some(found) => error.kind.with(format!(
                "the resource is not at /{}, because it is a {}: use /{}/{id}",
                kind.endpoint, found.name, found.endpoint
            )),
            None => error,
        }
    }
}

/// Answers an event of an unknown service. A load balancer shows it to its client.
fn unknown_event() -> Response {
    let error = ErrorKind::NotImplemented.with(
        "the event must be a request of an API Gateway REST API (payload 1.0) or HTTP API (payload 2.0), \
         or a Scheduled Event of EventBridge",
    );
    Response::from(error).typed(SCIM_JSON)
}

fn too_fast(retry_after: u32) -> Error {
    ErrorKind::Busy { retry_after }
        .with("too many requests: send fewer per second, or ask the operator to raise the policy rateLimit")
}

/// Returns the error of a request that ran out of time. A write in progress may have been
/// applied, as after a crash.
fn too_late() -> Error {
    ErrorKind::Unavailable { retry_after: RETRY_AFTER }
        .with("the request took too long: read the resource, or send the request again later")
}
