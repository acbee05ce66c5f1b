//! A network that misbehaves on cue, between the AWS SDK and the emulator.
//!
//! The emulator runs one request after another and never fails. Conflicts, throttling and network
//! faults are therefore made here, below the SDK's HTTP client, so that the SDK's own retries,
//! error parsing and request tokens take part as in production.
//!
//! One [`Faults`] stands for one process, with its own script, log and death. Two Lambda instances
//! that race are two of them over one emulator. A restart after a crash is a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{isolation, permissions, service_limits};

/// A fault of one HTTP request. The SDK decides about a retry.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request never reaches `DynamoDB`. The SDK tries again.
    DropRequest,
    /// `DynamoDB` applies the request and the answer is lost. The SDK tries again, which only a
    /// client request token or a condition makes harmless.
    LoseResponse,
    /// No answer ever comes, until the SDK stops waiting.
    Hang,
    /// A transaction is under way on the item, or on the first item of this
    /// transaction. The SDK does not try again. (`Query` and `Scan` never meet it.)
    Conflict,
    /// The transaction is cancelled for these reasons, one for each item in order,
    /// as in `["ConditionalCheckFailed", "None"]`. The SDK does not try again.
    /// For reasons that carry an `Item`, see [`Fault::Answer`].
    Cancelled(Vec<&'static str>),
    /// The partition is too busy. The SDK tries again.
    Throttle,
    /// `DynamoDB` fails, and the client cannot know that the request was not applied. The SDK tries
    /// again.
    ServerError,
    /// A transaction with the same client request token is under way. The SDK tries again.
    InProgress,
    /// `DynamoDB` answers this status and body.
    Answer(u16, Value),
    /// The process dies before it sends this request: neither this one nor any later
    /// one reaches `DynamoDB`. The dead code sees an error that the SDK does not
    /// retry, so a test need only await it and ignore what it says.
    Die,
}

/// The capacity units that `DynamoDB` reported, for requests that asked for them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Capacity {
    pub(crate) read: f64,
    pub(crate) write: f64,
}

/// An [`HttpClient`] for the SDK's configuration, and the script it plays.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    state: Arc<Mutex<State>>,
    network: SharedHttpClient,
    /// True for a process of the function, whose permissions are those of the template.
    is_function: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The number of requests sent, which is the number of the last one.
    sent: usize,
    /// The requests by their number, without those before [`Faults::forget`].
    log: BTreeMap<usize, Call>,
    rules: Vec<Rule>,
    pauses: Vec<(String, Gate)>,
    dead: bool,
    /// True if a read of items was answered without its units.
    unreported: bool,
}

#[derive(Debug)]
struct Call {
    operation: String,
    request: Value,
    response: Option<Value>,
}

#[derive(Debug)]
struct Rule {
    when: When,
    times: usize,
    fault: Fault,
}

#[derive(Debug)]
enum When {
    Operation(String),
    Number(usize),
}

impl Faults {
    /// Returns a process without faults. It belongs to one test, because its connections belong to
    /// the Tokio runtime that opened them.
    pub(crate) fn new() -> Self {
        let network = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let state = Arc::default();
        Self { state, network, is_function: true }
    }

    /// Returns a process of an operator, who may do more than the function.
    pub(crate) fn of_operator() -> Self {
        Self { is_function: false, ..Self::new() }
    }

    /// Makes the next call of `operation` meet `fault`. Rules are used up in the order they were
    /// made, each by one call. A retry is a call of its own.
    pub(crate) fn inject(&self, operation: &str, fault: Fault) {
        self.inject_times(operation, 1, fault);
    }

    /// Makes the next `times` calls of `operation` meet `fault`. With more than the SDK has
    /// attempts, the code above sees the call fail.
    pub(crate) fn inject_times(&self, operation: &str, times: usize, fault: Fault) {
        let when = When::Operation(operation.to_owned());
        self.state().rules.push(Rule { when, times, fault });
    }

    /// Makes the `n`-th call from now, counted from 1, meet `fault` whatever its operation. With
    /// [`Fault::Die`], the numbers from 1 to one more than the [`Faults::calls`] of an undisturbed
    /// run cover every state that a crash can leave.
    pub(crate) fn on_nth_call(&self, n: usize, fault: Fault) {
        let mut state = self.state();
        let when = When::Number(state.sent + n);
        let times = 1;
        state.rules.push(Rule { when, times, fault });
    }

    /// Holds the next call of `operation` until it is released. Rules are consulted after that, so
    /// one can be made for it while it waits.
    pub(crate) fn pause_before(&self, operation: &str) -> Pause {
        let (arrived, at_gate) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        let gate = Gate { arrived, opened };
        self.state().pauses.push((operation.to_owned(), gate));
        Pause { at_gate, open }
    }

    /// Returns the operations called, attempts included, in the order they were sent.
    pub(crate) fn calls(&self) -> Vec<String> {
        let state = self.state();
        state.log.values().map(|c| c.operation.clone()).collect()
    }

    /// Returns the same calls with their JSON bodies.
    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        let pair = |c: &Call| (c.operation.clone(), c.request.clone());
        self.state().log.values().map(pair).collect()
    }

    /// Returns the answers of `DynamoDB` in the order of the requests, with lost ones and without
    /// injected ones.
    pub(crate) fn responses(&self) -> Vec<(String, Value)> {
        let pair = |c: &Call| Some((c.operation.clone(), c.response.clone()?));
        self.state().log.values().filter_map(pair).collect()
    }

    /// Returns the sum over [`Faults::responses`]. A transaction that is repeated with its client
    /// request token is charged as a read.
    pub(crate) fn capacity(&self) -> Capacity {
        let mut sum = Capacity::default();
        for (operation, response) in self.responses() {
            let reads = matches!(
                operation.as_str(),
                "GetItem" | "BatchGetItem" | "TransactGetItems" | "Query" | "Scan"
            );
            let entries = match response.get("ConsumedCapacity") {
                Some(Value::Array(entries)) => entries.as_slice(),
                Some(entry) => std::slice::from_ref(entry),
                None => continue,
            };
            for entry in entries {
                let units = entry.get("CapacityUnits").and_then(Value::as_f64);
                if reads || entry.get("ReadCapacityUnits").is_some() {
                    sum.read += units.unwrap_or_default();
                } else {
                    sum.write += units.unwrap_or_default();
                }
            }
        }
        sum
    }

    /// Returns false, and says so, if this `DynamoDB` has answered a `BatchGetItem` without its read
    /// units. What a test then asserts about units cannot be compared.
    pub(crate) fn reports_read_units(&self) -> bool {
        let reports = !self.state().unreported;
        if !reports {
            eprintln!("units not compared: this DynamoDB reports none for BatchGetItem");
        }
        reports
    }

    /// Returns the number of rules and pauses that no call has met. A test that ends with any left
    /// may have tested nothing.
    pub(crate) fn unmet(&self) -> usize {
        let state = self.state();
        let rules = state.rules.iter().filter(|rule| rule.times > 0);
        rules.count() + state.pauses.len()
    }

    /// Empties the log, so that it shows the calls of the next request only.
    pub(crate) fn forget(&self) {
        self.state().log.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(
        self,
        network: SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();

        if self.is_function {
            permissions::record(&operation, &body);
        }
        isolation::assert_own(&operation, &body);
        service_limits::assert_request(&operation, &body);
        let (number, gate) = self.state().sent(&operation, &body);
        if let Some(gate) = gate {
            gate.wait().await;
        }
        let fault = self.state().fault(number, &operation);
        match fault {
            None => self.deliver(number, &network, request).await,
            Some(Fault::DropRequest) => Err(lost("the request was dropped")),
            Some(Fault::LoseResponse) => {
                self.deliver(number, &network, request).await?;
                Err(lost("the response was lost"))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Die) => Err(ConnectorError::user("the process is dead".into())),
            Some(fault) => fault.answer(&body),
        }
    }

    /// Forwards the request and logs the answer.
    async fn deliver(
        &self,
        number: usize,
        network: &SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let mut response = network.call(request).await?;
        let body = ByteStream::new(response.take_body()).collect().await;
        let body = body.map_err(|e| ConnectorError::io(e.into()))?.into_bytes();
        let answer = serde_json::from_slice(&body).ok();
        self.state().answered(number, answer);
        *response.body_mut() = SdkBody::from(body);
        Ok(response)
    }
}

impl State {
    /// Numbers and logs a call, which a dead process does not make, and finds its pause.
    fn sent(&mut self, operation: &str, request: &Value) -> (usize, Option<Gate>) {
        if self.dead {
            return (self.sent, None);
        }
        self.sent += 1;
        let call = Call { operation: operation.to_owned(), request: request.clone(), response: None };
        self.log.insert(self.sent, call);
        let pause = self.pauses.iter().position(|(o, _)| o == operation);
        (self.sent, pause.map(|i| self.pauses.remove(i).1))
    }

    fn answered(&mut self, number: usize, answer: Option<Value>) {
        let Some(call) = self.log.get_mut(&number) else { return };
        if let Some(answer) = &answer {
            service_limits::assert_answer(&call.operation, answer);
            let found = answer["Responses"].as_object().into_iter().flatten();
            let found = found.filter_map(|(_, items)| items.as_array()).map(Vec::len).sum::<usize>();
            let units = answer["ConsumedCapacity"][0]["CapacityUnits"].as_f64().unwrap_or_default();
            self.unreported |= call.operation == "BatchGetItem" && found > 0 && units == 0.0;
        }
        call.response = answer;
    }

    fn fault(&mut self, number: usize, operation: &str) -> Option<Fault> {
        if self.dead {
            return Some(Fault::Die);
        }
        let rule = self.rules.iter_mut().find(|rule| {
            rule.times > 0
                && match &rule.when {
                    When::Operation(wanted) => wanted == operation,
                    When::Number(wanted) => *wanted == number,
                }
        })?;
        rule.times -= 1;
        let fault = rule.fault.clone();
        self.dead = matches!(fault, Fault::Die);
        Some(fault)
    }
}

impl Fault {
    /// Returns the answer in the words of `DynamoDB`.
    fn answer(&self, request: &Value) -> Result<HttpResponse, ConnectorError> {
        let items = request.get("TransactItems").and_then(Value::as_array);
        match (self, items) {
            (Self::Answer(status, body), _) => respond(*status, body),
            (Self::Cancelled(codes), _) => cancelled(codes),
            (Self::Conflict, Some(items)) => {
                let others = items.iter().skip(1).map(|_| "None");
                let codes = std::iter::once("TransactionConflict").chain(others);
                cancelled(&codes.collect::<Vec<_>>())
            }
            (Self::Conflict, None) => respond(400, &error("TransactionConflictException", CONFLICT)),
            (Self::Throttle, _) => {
                let message = "The level of configured provisioned throughput for the table was exceeded";
                respond(400, &error("ProvisionedThroughputExceededException", message))
            }
            (Self::InProgress, _) => {
                let message = "The transaction with the given request token is in progress";
                respond(400, &error("TransactionInProgressException", message))
            }
            _ => respond(500, &error("InternalServerError", "Internal server error")),
        }
    }
}

const CONFLICT: &str = "Transaction is ongoing for the item";

fn cancelled(codes: &[&str]) -> Result<HttpResponse, ConnectorError> {
    let reason = |code: &&str| match *code {
        "None" => json!({ "Code": code }),
        "ConditionalCheckFailed" => {
            json!({ "Code": code, "Message": "The conditional request failed" })
        }
        "TransactionConflict" => json!({ "Code": code, "Message": CONFLICT }),
        _ => json!({ "Code": code, "Message": code }),
    };
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let reasons: Value = codes.iter().map(reason).collect();
    let kind = kind("TransactionCanceledException");
    let body = json!({ "__type": kind, "message": message, "CancellationReasons": reasons });
    respond(400, &body)
}

fn error(name: &str, message: &str) -> Value {
    json!({ "__type": kind(name), "message": message })
}

fn kind(name: &str) -> String {
    format!("com.amazonaws.dynamodb.v20120810#{name}")
}

fn respond(status: u16, body: &Value) -> Result<HttpResponse, ConnectorError> {
    // DynamoDB also sends x-amz-crc32 and a request id, but the SDK checks neither.
    http::Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(SdkBody::from(body.to_string()))
        .map_err(BoxError::from)
        .and_then(|response| HttpResponse::try_from(response).map_err(BoxError::from))
        .map_err(ConnectorError::user)
}

fn lost(what: &str) -> ConnectorError {
    ConnectorError::io(what.into())
}

impl HttpClient for Faults {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Wire {
            faults: self.clone(),
            network: self.network.http_connector(settings, components),
        })
    }
}

/// The SDK's own connector, with the script in front of it.
#[derive(Debug)]
struct Wire {
    faults: Faults,
    network: SharedHttpConnector,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.faults.clone().carry(self.network.clone(), request))
    }
}

/// A call that is held. Dropping this releases it, so that a failed test does not hang.
#[derive(Debug)]
pub(crate) struct Pause {
    at_gate: oneshot::Receiver<()>,
    open: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Gate {
    arrived: oneshot::Sender<()>,
    opened: oneshot::Receiver<()>,
}

impl Pause {
    /// Waits until the call is held. The test then acts after everything that the task of the call
    /// did before, and before the call itself.
    pub(crate) async fn arrived(&mut self) {
        let arrived = tokio::time::timeout(Duration::from_secs(10), &mut self.at_gate).await;
        assert!(matches!(arrived, Ok(Ok(()))), "the call to hold never came");
    }

    pub(crate) fn release(self) {
        drop(self.open);
    }
}

impl Gate {
    async fn wait(self) {
        // An error says that the test dropped its end, which also releases the call.
        let _ = self.arrived.send(());
        let _ = self.opened.await;
    }
}
