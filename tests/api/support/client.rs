//! A client sends requests as API Gateway would hand them over.

use std::sync::Arc;

use scim_lambda::app::App;
use scim_lambda::lambda::{Event, Reply};
use serde_json::{Value, json};

use crate::support::answer::{Answer, RawAnswer};
use crate::support::builders::encoded;
use crate::support::directory::{Directory, TOKEN};
use crate::support::faults::Faults;
use crate::support::isolation;

const SWEEP: &str = include_str!("../../../events/eventbridge/sweep.json");

/// One Lambda instance: the handler with its own caches and connections, over the
/// same table as its siblings.
#[derive(Clone)]
pub(crate) struct Client {
    app: Arc<App>,
    pub(crate) faults: Faults,
    token: String,
}

impl Client {
    /// Returns a client of an empty directory of its own.
    pub(crate) async fn new() -> Self {
        Directory::new().await.client()
    }

    /// Returns a client of the tenant `demo` whose calls to DynamoDB go through `faults`.
    pub(crate) fn of(app: App, faults: Faults) -> Self {
        Self { app: Arc::new(app), faults, token: TOKEN.to_owned() }
    }

    /// Returns the same instance for another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path).body(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.request("PUT", path).body(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        self.request("PATCH", path).body(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).send().await
    }

    /// Lists the users that match `filter`.
    pub(crate) async fn find(&self, filter: &str) -> Answer {
        let filter = encoded(filter);
        self.get(&format!("/Users?filter={filter}")).await
    }

    /// Begins a request. `path` is relative to the base path and may carry an encoded query.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.request_at(method, "/scim/v2", path)
    }

    /// Begins a request to an endpoint whose base path is `base`.
    pub(crate) fn request_at(&self, method: &str, base: &str, path: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers = json!({
            "authorization": format!("Bearer {}", self.token),
            "content-type": "application/scim+json",
            "host": "example.com",
            "x-forwarded-proto": "https",
        });
        Request {
            client: self.clone(),
            event: json!({
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": format!("{base}{path}"),
                "rawQueryString": query,
                "headers": headers,
                "requestContext": { "stage": "$default", "http": { "method": method } },
                "isBase64Encoded": false,
            }),
        }
    }

    /// Runs the scheduled sweep, and returns the result of the invocation.
    pub(crate) async fn sweep(&self) -> Value {
        match self.app.handle(serde_json::from_str(SWEEP).unwrap()).await {
            Reply::Swept(swept) => serde_json::to_value(swept).unwrap(),
            Reply::Rest(_) | Reply::Http(_) => panic!("a schedule was taken for a request"),
        }
    }

    /// Returns false if this `DynamoDB` does not report the read units of the first request.
    pub(crate) async fn reports_units(&self) -> bool {
        // A token that is not cached is read by `BatchGetItem`.
        self.get("/ServiceProviderConfig").await;
        self.faults.reports_read_units()
    }

    /// Sends an event of API Gateway.
    pub(crate) async fn send(&self, event: Value) -> Answer {
        Answer::from(self.reply_to(event).await)
    }

    /// Sends any event, and returns the result of the invocation.
    pub(crate) async fn invoke(&self, event: Value) -> Value {
        serde_json::to_value(self.reply_to(event).await).unwrap()
    }

    async fn reply_to(&self, event: Value) -> Reply {
        let parsed: Event = serde_json::from_value(event.clone()).unwrap();
        isolation::watch(&event, self.app.handle(parsed)).await
    }

    /// Creates a user with this body.
    pub(crate) async fn create(&self, user: &str) -> Answer {
        let answer = self.post("/Users", user).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer
    }
}

/// A request that is not sent yet: an event of API Gateway and the client that sends it.
pub(crate) struct Request {
    client: Client,
    event: Value,
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.event["headers"][name] = value.into();
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.event["headers"].as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn if_match(self, value: &str) -> Self {
        self.header("if-match", value)
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.event["body"] = body.into();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        self.client.send(self.event).await
    }

    /// Sends the request and returns the answer as it goes over the wire, compressed or not.
    pub(crate) async fn send_raw(self) -> RawAnswer {
        RawAnswer::from(self.client.reply_to(self.event).await)
    }
}
