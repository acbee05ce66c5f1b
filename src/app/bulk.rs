//! Bulk requests (RFC 7644 s3.7): each operation is a request of its own, with an
//! answer of its own.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use tokio::time::Instant;

use super::context::RequestContext;
use super::{App, too_late};
use crate::lambda::{Payload, Request, Response};
use crate::route::{Location, Route};
use crate::scim::bulk::bulk_id;
use crate::scim::bulk::schedule::{Schedule, Step};
use crate::scim::bulk::{self, Asked, Bulk, Operation, Outcome};
use crate::scim::decode::excerpt;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::patch;
use crate::store::RETRY_AFTER;

/// Operations under way at the same time.
const AT_ONCE: usize = 32;

/// Of the time that the request has: what is begun until the first of these may
/// take until the second, and what is left is for the answer.
const BEGIN: f64 = 0.8;
const END: f64 = 0.95;

/// A bulk request while it is carried out.
struct Job<'a> {
    context: &'a RequestContext<'a>,
    bulk: Bulk,
    /// What each operation created, by its `bulkId`; `None` if it failed to.
    created: HashMap<String, Option<String>>,
    creators: HashSet<String>,
    /// What is to be added to a resource of a circle.
    later: HashMap<usize, Value>,
    outcomes: Vec<Option<Outcome>>,
    /// Operations that were sent back to the schedule.
    repeated: HashSet<usize>,
    errors: usize,
}

/// What became of a step.
struct Done {
    step: Step,
    /// What the client named, for the answer to an error.
    location: Option<String>,
    answer: Result<Response>,
}

impl App {
    pub(super) async fn bulk(&self, context: &RequestContext<'_>) -> Result<Response> {
        let body = context.body_up_to(self.config.max_bulk_bytes, |bytes, limit| {
            format!("the bulk request has {bytes} bytes, which exceeds maxPayloadSize ({limit}): send several requests")
        })?;
        let bulk = Bulk::parse(&body, context.leeway, self.config.max_bulk_operations)?;
        let mut schedule = Schedule::new(&bulk, &context.tenant.registry);
        // To know what is not to be begun takes the errors of all before it.
        let at_once = if bulk.fail_on_errors.is_some() { 1 } else { AT_ONCE };
        let part = |share: f64| context.started + self.config.timeout.mul_f64(share);
        let (begin, end) = (part(BEGIN), part(END));
        let mut job = Job::new(context, bulk);
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < at_once
                && !job.has_failed()
                && Instant::now() < begin
                && let Some(step) = schedule.next(under_way.is_empty())
            {
                under_way.push(self.carry_out(context, step, job.prepare(step), end));
            }
            let Some(done) = under_way.next().await else { break };
            job.note(done, &mut schedule);
        }
        drop(under_way);
        Ok(Response::json(200, &bulk::response(&job.answers())))
    }

    async fn carry_out(
        &self,
        context: &RequestContext<'_>,
        step: Step,
        asked: Result<Asked>,
        end: Instant,
    ) -> Done {
        let (asked, route) = match asked.and_then(|asked| Ok((route(context, &asked)?, asked))) {
            Ok((route, asked)) => (asked, route),
            Err(error) => return Done { step, location: None, answer: Err(error) },
        };
        let location = match &route {
            Route::Replace(kind, id) | Route::Patch(kind, id) | Route::Delete(kind, id) => {
                Some(context.location(kind, id))
            }
            _ => None,
        };
        // Boxed: 32 of the store's futures are no small thing.
        let work = Box::pin(self.operate(context, route, asked));
        let answer = tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| Err(too_late()));
        Done { step, location, answer }
    }

    async fn operate(&self, context: &RequestContext<'_>, route: Route, asked: Asked) -> Result<Response> {
        let mut headers = HeaderMap::new();
        if let Some(version) = &asked.version {
            // A text that is no header is no version that we gave out.
            let version = HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("\"\""));
            headers.insert(header::IF_MATCH, version);
        }
        let request = Request {
            method: method(asked.method),
            path: asked.path,
            stage: None,
            domain: None,
            query: Vec::new(),
            headers,
            body: Payload::Json(asked.data),
            takes_binary: false,
            request_id: context.request.request_id.clone(),
        };
        let context =
            RequestContext { request: &request, base: context.base.clone(), in_bulk: true, ..*context };
        match route {
            Route::Create(kind) => self.create(&context, &kind).await,
            Route::Replace(kind, id) => self.replace(&context, &kind, &id).await,
            Route::Patch(kind, id) => self.patch(&context, &kind, &id).await,
            Route::Delete(kind, id) => self.delete(&context, &kind, &id).await,
            _ => Err(no_operation(&request.path)),
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

    /// The request that a step makes.
    fn prepare(&mut self, step: Step) -> Result<Asked> {
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = step;
        let operation = self.bulk.operations.get(index).ok_or_else(not_begun)?;
        let mut asked = operation.asked.clone()?;
        match step {
            Step::Whole(_) => {}
            Step::Create(_) => {
                let is_open =
                    |bulk_id: &str| self.creators.contains(bulk_id) && !self.created.contains_key(bulk_id);
                let (now, later) = bulk_id::split(&asked.data, &is_open);
                self.later.insert(index, later);
                asked.data = now;
            }
            Step::Link(_) => {
                let bulk_id = operation.bulk_id.as_deref().unwrap_or_default();
                let path = format!("{}/{}", asked.path.trim_end_matches('/'), self.id_of(bulk_id)?);
                let later = self.later.remove(&index).unwrap_or_default();
                asked = Asked { method: bulk::Method::Patch, path, version: None, data: patch::add(&later) };
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
            None => Err(ErrorKind::InvalidValue
                .with(format!("bulkId:{} is the bulkId of no POST in this request", excerpt(bulk_id)))),
        }
    }

    fn note(&mut self, done: Done, schedule: &mut Schedule) {
        let (Step::Whole(index) | Step::Create(index) | Step::Link(index)) = done.step;
        let is_taken = done.answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Uniqueness);
        if is_taken && self.repeated.insert(index) && schedule.again(index) {
            return;
        }
        let Some(operation) = self.bulk.operations.get(index) else { return };
        let Some(outcome) = self.outcomes.get_mut(index) else { return };
        let failed = match (done.answer, done.step) {
            (Ok(answer), Step::Link(_)) => {
                // A group's version is not known after a change of its members.
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
                let location = done.location.or_else(|| named(&self.context.base, operation));
                *outcome = Some(Outcome::failed(&error, location));
                true
            }
        };
        self.errors += usize::from(failed);
        schedule.done(index);
    }

    /// Those that were not begun are told so, unless the client wanted to hear of
    /// no more after its number of errors.
    fn answers(self) -> Vec<Value> {
        let stopped = self.has_failed();
        let base = self.context.base.as_str();
        let answers = self.bulk.operations.iter().zip(self.outcomes).filter_map(|(operation, outcome)| {
            let not_begun = || Outcome::failed(&not_begun(), named(base, operation));
            let outcome = if stopped { outcome } else { outcome.or_else(|| Some(not_begun())) };
            outcome.map(|outcome| operation.answer(outcome))
        });
        answers.collect()
    }
}

/// The resource that an operation names, as it names it.
fn named(base: &str, operation: &Operation) -> Option<String> {
    let asked = operation.asked.as_ref().ok().filter(|_| !operation.creates())?;
    Some(format!("{base}/{}", asked.path.trim_start_matches('/')))
}

fn route(context: &RequestContext<'_>, asked: &Asked) -> Result<Route> {
    let location = Location::parse(&asked.path, None);
    match Route::parse(&method(asked.method), &location, &context.tenant.registry)? {
        route @ (Route::Create(_) | Route::Replace(..) | Route::Patch(..) | Route::Delete(..)) => Ok(route),
        _ => Err(no_operation(&asked.path)),
    }
}

fn method(method: bulk::Method) -> Method {
    match method {
        bulk::Method::Post => Method::POST,
        bulk::Method::Put => Method::PUT,
        bulk::Method::Patch => Method::PATCH,
        bulk::Method::Delete => Method::DELETE,
    }
}

fn no_operation(path: &str) -> Error {
    ErrorKind::InvalidValue
        .with(format!("{} cannot be part of a bulk request: send a request of its own", excerpt(path)))
}

fn not_begun() -> Error {
    ErrorKind::Unavailable { retry_after: RETRY_AFTER }
        .with("the request took so long that this was not begun: send it again")
}

/// It stays: others may name it already.
fn unlinked(error: &Error) -> Error {
    let kind = if error.kind.status() < 429 { ErrorKind::Conflict } else { error.kind };
    kind.with(format!("the resource was created without what names others of this request: {}", error.detail))
}
