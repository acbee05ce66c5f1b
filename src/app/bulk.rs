//! Bulk requests (RFC 7644 s3.7): each operation is a request of its own, with an answer
//! of its own.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use tokio::time::Instant;

use super::context::RequestContext;
use super::too_late;
use crate::lambda::{Payload, Request, Response};
use crate::route::{Location, Route};
use crate::scim::bulk::bulk_id;
use crate::scim::bulk::schedule::{Schedule, Step};
use crate::scim::bulk::{self, Bulk, Operation, Outcome, SubRequest};
use crate::scim::decode::excerpt;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::patch;
use crate::store::RETRY_AFTER;

/// Operations in progress at the same time.
const AT_ONCE: usize = 32;

/// Shares of the request's time. Operations that begin before the first end before the
/// second; the rest of the time is for the answer.
const BEGIN: f64 = 0.8;
const END: f64 = 0.95;

/// A bulk request in progress.
struct Job<'a> {
    context: &'a RequestContext<'a>,
    bulk: Bulk,
    /// The id that each operation created, by its `bulkId`; `None` if it failed.
    created: HashMap<String, Option<String>>,
    creators: HashSet<String>,
    /// Attributes that are added to a resource of a circle once all of it exists.
    later: HashMap<usize, Value>,
    outcomes: Vec<Option<Outcome>>,
    /// Operations that were sent back to the schedule.
    repeated: HashSet<usize>,
    errors: usize,
}

/// A step that is done.
struct Done {
    step: Step,
    /// The resource that the client named, for the answer to an error.
    location: Option<String>,
    answer: Result<Response>,
}

impl RequestContext<'_> {
    pub(super) async fn bulk(&self) -> Result<Response> {
        let config = &self.app.config;
        let body = self.body_up_to(config.max_bulk_bytes, |bytes, limit| {
            format!("the bulk request has {bytes} bytes, the limit is {limit} (maxPayloadSize): send several requests")
        })?;
        let bulk = Bulk::parse(&body, self.leeway, config.max_bulk_operations)?;
        // The request itself was counted as one.
        self.app.buckets.charge(&self.tenant.name, bulk.operations.len().saturating_sub(1));
        let mut schedule = Schedule::new(&bulk, &self.tenant.registry);
        // With failOnErrors an operation may begin only when the errors of all before it are
        // known.
        let at_once = if bulk.fail_on_errors.is_some() { 1 } else { AT_ONCE };
        let part = |share: f64| self.started + config.timeout.mul_f64(share);
        let (begin, end) = (part(BEGIN), part(END));
        let mut job = Job::new(self, bulk);
        let mut in_progress = FuturesUnordered::new();
        loop {
            // An operation that might not end in time is not begun: interrupted, its write might have
            // been applied, and its answer would be an error.
            while in_progress.len() < at_once
                && !job.has_failed()
                && Instant::now() < begin
                && let Some(step) = schedule.next(in_progress.is_empty())
            {
                in_progress.push(self.carry_out(step, job.prepare(step), end));
            }
            // With nothing in progress, nothing could be begun either: all operations are done, or
            // time or `failOnErrors` ended them. `answers` reports the others.
            let Some(done) = in_progress.next().await else { break };
            job.note(done, &mut schedule);
        }
        drop(in_progress);
        Ok(Response::json(200, &bulk::response(&job.answers())))
    }

    async fn carry_out(&self, step: Step, asked: Result<SubRequest>, end: Instant) -> Done {
        let (asked, route) = match asked.and_then(|asked| Ok((self.operation_route(&asked)?, asked))) {
            Ok((route, asked)) => (asked, route),
            Err(error) => return Done { step, location: None, answer: Err(error) },
        };
        // RFC 7644 s3.7 requires `location` in every answer but that to a failed POST.
        let location = match &route {
            Route::Replace(kind, id) | Route::Patch(kind, id) | Route::Delete(kind, id) => {
                Some(self.location(kind, id))
            }
            _ => None,
        };
        // Boxed, because 32 futures of the store take much memory at once.
        let work = Box::pin(self.operate(route, asked));
        let answer = tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| Err(too_late()));
        Done { step, location, answer }
    }

    async fn operate(&self, route: Route, asked: SubRequest) -> Result<Response> {
        let mut headers = HeaderMap::new();
        if let Some(version) = &asked.version {
            // A text that cannot be a header is not a version that we issued, and neither is an
            // empty tag.
            let version = HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("\"\""));
            headers.insert(header::IF_MATCH, version);
        }
        let request = Request {
            method: method(asked.method),
            path: asked.path,
            stage: None,
            domain: None,
            source_ip: None,
            query: Vec::new(),
            headers,
            body: Payload::Json(asked.data),
            takes_binary: false,
            request_id: self.request.request_id.clone(),
        };
        let context = RequestContext { request: &request, in_bulk: true, ..*self };
        match route {
            Route::Create(kind) => context.create(&kind).await,
            Route::Replace(kind, id) => context.replace(&kind, &id).await,
            Route::Patch(kind, id) => context.patch(&kind, &id).await,
            Route::Delete(kind, id) => context.delete(&kind, &id).await,
            _ => Err(not_an_operation(&request.path)),
        }
    }

    fn operation_route(&self, asked: &SubRequest) -> Result<Route> {
        // No stage: the path of an operation is relative to the base (s3.7).
        let location = Location::parse(&asked.path, None);
        match Route::parse(&method(asked.method), &location, &self.tenant.registry) {
            Ok(route @ (Route::Create(_) | Route::Replace(..) | Route::Patch(..) | Route::Delete(..))) => {
                Ok(route)
            }
            // A POST to `/Bulk` or `.search` has a route too, and so has `/Me` by any method.
            Ok(_) => Err(not_an_operation(&asked.path)),
            // The methods that a request of its own may use are of no help here.
            Err(Error { kind: kind @ ErrorKind::MethodNotAllowed { allow }, .. }) => {
                let methods: Vec<&str> =
                    allow.split(", ").filter(|name| !["GET", "HEAD", "OPTIONS"].contains(name)).collect();
                let remedy = if methods.is_empty() {
                    "it is read-only".to_owned()
                } else {
                    format!("use {}", methods.join(", "))
                };
                let (method, path) = (asked.method, excerpt(&asked.path));
                Err(kind.with(format!("{method} is not allowed at {path} in a bulk request: {remedy}")))
            }
            Err(error) => Err(error),
        }
    }
}

impl<'a> Job<'a> {
    fn new(context: &'a RequestContext<'a>, bulk: Bulk) -> Self {
        let operations = bulk.operations.len();
        Self {
            context,
            creators: bulk.creators().into_keys().map(str::to_owned).collect(),
            bulk,
            created: HashMap::new(),
            later: HashMap::new(),
            outcomes: vec![None; operations],
            repeated: HashSet::new(),
            errors: 0,
        }
    }

    fn has_failed(&self) -> bool {
        self.bulk.fail_on_errors.is_some_and(|limit| self.errors >= limit)
    }

    /// Makes the request of a step.
    fn prepare(&mut self, step: Step) -> Result<SubRequest> {
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = step;
        let operation = self.bulk.operations.get(index).ok_or_else(not_begun)?;
        let mut asked = operation.request.clone()?;
        match step {
            Step::Whole(_) => {}
            Step::Create(_) => {
                // A resource that failed is not open: the reference to it fails now, with an error that
                // names its `bulkId`, instead of being added later.
                let is_open =
                    |bulk_id: &str| self.creators.contains(bulk_id) && !self.created.contains_key(bulk_id);
                let (now, later) = bulk_id::split(std::mem::take(&mut asked.data), &is_open);
                self.later.insert(index, later);
                asked.data = now;
            }
            Step::Link(_) => {
                let bulk_id = operation.bulk_id.as_deref().unwrap_or_default();
                let path = format!("{}/{}", asked.path.trim_end_matches('/'), self.id_of(bulk_id)?);
                let later = self.later.remove(&index).unwrap_or_default();
                asked =
                    SubRequest { method: bulk::Method::Patch, path, version: None, data: patch::add(&later) };
            }
        }
        asked.resolved(|bulk_id| self.id_of(bulk_id))
    }

    fn id_of(&self, bulk_id: &str) -> Result<String> {
        match self.created.get(bulk_id) {
            Some(Some(id)) => Ok(id.clone()),
            Some(None) => Err(ErrorKind::Conflict.with(format!(
                "bulkId:{} was not created: see the error of its operation",
                excerpt(bulk_id)
            ))),
            None => Err(ErrorKind::InvalidValue.with(format!(
                "bulkId:{} does not match the bulkId of a POST in this request",
                excerpt(bulk_id)
            ))),
        }
    }

    fn note(&mut self, done: Done, schedule: &mut Schedule) {
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = done.step;
        // An earlier operation that is still in progress may release the value. Repeated once,
        // after all of those: a second conflict is not a matter of order.
        let is_taken = done.answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Uniqueness);
        if is_taken && self.repeated.insert(index) && schedule.requeue(index) {
            return;
        }
        let Some(operation) = self.bulk.operations.get(index) else { return };
        let Some(outcome) = self.outcomes.get_mut(index) else { return };
        let failed = match (done.answer, done.step) {
            (Ok(answer), Step::Link(_)) => {
                let version = answer.header(&header::ETAG);
                *outcome =
                    outcome.take().map(|outcome| Outcome { status: 201, version, response: None, ..outcome });
                false
            }
            (Err(error), Step::Link(_)) => {
                let error = unlinked(&error);
                *outcome = outcome.take().map(|outcome| Outcome::failed(&error, outcome.location));
                true
            }
            (Ok(answer), step) => {
                let location = answer.header(&header::LOCATION).or(done.location);
                if operation.creates()
                    && let Some(bulk_id) = &operation.bulk_id
                {
                    let id = location.as_ref().and_then(|location| location.rsplit('/').next());
                    self.created.insert(bulk_id.clone(), id.map(str::to_owned));
                }
                *outcome = Some(if matches!(step, Step::Create(_)) {
                    // The answer if no time is left for the link. The result of the link replaces it.
                    Outcome::failed(&unlinked(&not_begun()), location)
                } else {
                    Outcome {
                        status: answer.status,
                        location,
                        version: answer.header(&header::ETAG),
                        response: None,
                    }
                });
                if matches!(step, Step::Create(_)) {
                    return schedule.created(index);
                }
                false
            }
            (Err(error), _) => {
                if operation.creates()
                    && let Some(bulk_id) = &operation.bulk_id
                {
                    self.created.insert(bulk_id.clone(), None);
                }
                let location = done.location.or_else(|| named(self.context.base, operation));
                *outcome = Some(Outcome::failed(&error, location));
                true
            }
        };
        self.errors += usize::from(failed);
        schedule.done(index);
    }

    /// Returns the answers. An operation that was not begun is an error, unless the client
    /// asked to stop after its number of errors.
    fn answers(self) -> Vec<Value> {
        let stopped = self.has_failed();
        let base = self.context.base;
        let answers = self.bulk.operations.iter().zip(self.outcomes).filter_map(|(operation, outcome)| {
            let not_begun = || Outcome::failed(&not_begun(), named(base, operation));
            let outcome = if stopped { outcome } else { outcome.or_else(|| Some(not_begun())) };
            outcome.map(|outcome| operation.answer(outcome))
        });
        answers.collect()
    }
}

/// Returns the location of the resource that an operation names.
fn named(base: &str, operation: &Operation) -> Option<String> {
    let asked = operation.request.as_ref().ok().filter(|_| !operation.creates())?;
    Some(format!("{base}/{}", asked.path.trim_start_matches('/')))
}

fn method(method: bulk::Method) -> Method {
    match method {
        bulk::Method::Post => Method::POST,
        bulk::Method::Put => Method::PUT,
        bulk::Method::Patch => Method::PATCH,
        bulk::Method::Delete => Method::DELETE,
    }
}

fn not_an_operation(path: &str) -> Error {
    ErrorKind::InvalidValue
        .with(format!("{} is not available in a bulk request: send a separate request", excerpt(path)))
}

fn not_begun() -> Error {
    ErrorKind::Unavailable { retry_after: RETRY_AFTER }
        .with("the request took too long to begin this operation: send it again")
}

/// The error of a resource that was created and not linked. It stays, because other
/// resources may refer to it already.
fn unlinked(error: &Error) -> Error {
    // A 400 or 404 would say that nothing was created. From 429 on the request is not
    // the cause, and the status must say so.
    let kind = if error.kind.status() < 429 { ErrorKind::Conflict } else { error.kind };
    kind.with(format!(
        "the resource was created, but its references to other resources of this request were not added: {}",
        error.detail
    ))
}
