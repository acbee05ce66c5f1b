//! A directory of its own for each test, and clients of it. A client is one
//! Lambda instance: the handler with its own caches and connections, over the
//! same table as its siblings.

use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::app::{App, Sources};
use scim_lambda::auth::jwt::Oauth;
use scim_lambda::config::Config;
use scim_lambda::cursor::CursorKey;
use scim_lambda::lambda::{Event, Reply};
use scim_lambda::local;
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{Store, TenantName, TenantRecord, TokenRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::faults::Faults;
use crate::support::isolation;

/// The token that the files of `events/` carry.
pub(crate) const TOKEN: &str =
    "scim_demo_events_0000000000000000000000000000000000000000000000000000000000000000";

pub(crate) const SARAH: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"00u987zyx654wvu321","active":true,
    "userName":"sarah.jones@example.com","name":{"givenName":"Sarah","familyName":"Jones"},
    "emails":[{"value":"sarah.jones@example.com","type":"work"}]}"#;

pub(crate) const DEACTIVATE: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations":[{"op":"replace","path":"active","value":false}]}"#;

/// An id that a test chooses.
pub(crate) type NextId = Arc<Mutex<Option<Uuid>>>;

const SWEEP: &str = include_str!("../../../events/eventbridge/sweep.json");

pub(crate) struct Directory {
    endpoint: String,
    /// Behind the endpoint, unless that is one of `SCIM_TEST_DYNAMODB`.
    pub(crate) emulator: Option<dynoxide::Database>,
    table: String,
    sources: Sources,
    /// Since the start, as the sources counts them.
    seconds: Arc<AtomicU64>,
}

impl Directory {
    /// In an emulator of its own, or in a table of its own at the endpoint in
    /// `SCIM_TEST_DYNAMODB`. Ids count up from 1 and every request is a second
    /// later than the one before, so that answers can be compared to the letter.
    pub(crate) async fn new() -> Self {
        Self::with_ids(numbers()).await
    }

    /// A resource gets the id that is in `next` when it is created, if there is one.
    pub(crate) async fn with_next_id(next: &NextId) -> Self {
        let next = Arc::clone(next);
        let others = numbers();
        Self::with_ids(move || next.lock().unwrap().take().unwrap_or_else(&others)).await
    }

    /// Ids spread over their whole range, as those of production do.
    pub(crate) async fn spread() -> Self {
        let count = AtomicU64::new(1);
        Self::with_ids(move || {
            let n = count.fetch_add(1, Ordering::Relaxed);
            // An odd multiplier makes a permutation of the 64-bit numbers.
            Uuid::from_u64_pair(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n)
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "the environment says where to test, not what")]
    async fn with_ids(ids: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        let (endpoint, emulator) = if let Ok(endpoint) = std::env::var("SCIM_TEST_DYNAMODB") {
            (endpoint, None)
        } else {
            let emulator = dynoxide::Database::memory().unwrap();
            (local::emulate(emulator.clone(), local::LOOPBACK).await.unwrap(), Some(emulator))
        };
        let seconds = Arc::new(AtomicU64::new(0));
        let throws = AtomicU32::new(1);
        let clock = Arc::clone(&seconds);
        let sources = Sources {
            now: Arc::new(move || after(clock.fetch_add(1, Ordering::Relaxed))),
            ids: Arc::new(ids),
            jitter: Arc::new(move || f64::from(throws.fetch_add(1, Ordering::Relaxed)) * 0.618_034 % 1.0),
        };
        let table = format!("scim-test-{}", unique_name());
        let directory = Self { endpoint, emulator, table, sources, seconds };
        let client = aws_sdk_dynamodb::Client::from_conf(local::client_config(&directory.endpoint).build());
        local::create_table(&client, &directory.table).await.unwrap();
        directory.add_tenant("demo", Policy::default()).await;
        directory
    }

    /// Lets a second pass.
    pub(crate) fn tick(&self) {
        (self.sources.now)();
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The next request is at the time of the last.
    pub(crate) fn stop_the_clock(&self) {
        self.seconds.fetch_sub(1, Ordering::Relaxed);
    }

    /// What the next request takes for the time.
    pub(crate) fn now(&self) -> Timestamp {
        after(self.seconds.load(Ordering::Relaxed))
    }

    /// With a token like [`TOKEN`], of this tenant.
    pub(crate) async fn add_tenant(&self, name: &str, policy: Policy) {
        let store = self.store();
        let tenant = TenantName::parse(name).unwrap();
        let created = (self.sources.now)();
        assert!(
            store
                .create_tenant(&tenant, &TenantRecord { policy, ..TenantRecord::new(created) })
                .await
                .unwrap()
        );
        let token = TokenRecord { used: Some(created), ..TokenRecord::new(&"0".repeat(64), created) };
        assert!(store.create_token(&tenant, "events", &token).await.unwrap());
    }

    /// A client whose token is bound to the user of this id.
    pub(crate) async fn client_of(&self, user: &str) -> Client {
        let now = self.now();
        let new = TokenRecord::new(&"1".repeat(64), now);
        let token = TokenRecord { user: Some(user.to_owned()), used: Some(now), ..new };
        let tenant = TenantName::parse("demo").unwrap();
        assert!(self.store().create_token(&tenant, "me", &token).await.unwrap());
        self.client().with_token(&format!("scim_demo_me_{}", "1".repeat(64)))
    }

    pub(crate) async fn set_oauth(&self, name: &str, oauth: &Oauth) {
        self.store().set_oauth(&TenantName::parse(name).unwrap(), Some(oauth)).await.unwrap();
    }

    pub(crate) async fn set_policy(&self, name: &str, policy: Policy) {
        self.store().set_policy(&TenantName::parse(name).unwrap(), &policy).await.unwrap();
    }

    pub(crate) async fn set_definitions(&self, name: &str, text: &str) -> Result<(), String> {
        let set = self.store().set_definitions(&TenantName::parse(name).unwrap(), text).await;
        set.map_err(|error| error.to_string())
    }

    fn store(&self) -> Store {
        // The ids of the directory are for its resources.
        static IDS: AtomicU64 = AtomicU64::new(0);
        let ids = Arc::new(|| Uuid::from_u64_pair(0, IDS.fetch_add(1, Ordering::Relaxed)));
        Store::new(self.dynamodb(), &self.table, ids, Arc::clone(&self.sources.jitter))
    }

    /// The table, past the handler.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(local::client_config(&self.endpoint).build())
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(&self.table);
        config.cursor_key = CursorKey::parse(&"5c".repeat(32));
        self.client_with(config)
    }

    pub(crate) fn client_with(&self, config: Config) -> Client {
        // A busy machine is no DynamoDB that does not answer.
        let patient = local::client_config(&self.endpoint).timeout_config(TimeoutConfig::disabled());
        self.connect(config, patient)
    }

    /// With the time limits of production.
    pub(crate) fn impatient_client(&self) -> Client {
        self.connect(Config::new(&self.table), local::client_config(&self.endpoint))
    }

    fn connect(&self, config: Config, dynamodb: aws_sdk_dynamodb::config::Builder) -> Client {
        let faults = Faults::new();
        let dynamodb = dynamodb
            .http_client(faults.clone())
            // The same number of attempts as on AWS, sooner one after the other.
            .retry_config(
                RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1)),
            )
            // What the SDK pays for retries comes out of one purse per process.
            .retry_partition(RetryPartition::new(unique_name()))
            .build();
        let app = App::new(config, aws_sdk_dynamodb::Client::from_conf(dynamodb), self.sources.clone());
        Client { app: Arc::new(app), faults, token: TOKEN.to_owned() }
    }
}

fn after(seconds: u64) -> Timestamp {
    let start: Timestamp = "2026-01-31T09:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(i64::try_from(seconds).unwrap())
}

fn numbers() -> impl Fn() -> Uuid + Send + Sync {
    let next = AtomicU64::new(1);
    move || Uuid::from_u64_pair(0x4000, 0x8000_0000_0000_0000 | next.fetch_add(1, Ordering::Relaxed))
}

#[expect(clippy::disallowed_methods, reason = "tables of one endpoint outlive the tests that made them")]
fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", std::process::id(), now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone)]
pub(crate) struct Client {
    app: Arc<App>,
    pub(crate) faults: Faults,
    token: String,
}

impl Client {
    /// A directory with nothing in it, and a client of it.
    pub(crate) async fn new() -> Self {
        Directory::new().await.client()
    }

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

    /// The users whom a filter finds.
    pub(crate) async fn find(&self, filter: &str) -> Answer {
        let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.get(&format!("/Users?filter={filter}")).await
    }

    /// `path` is below the base and may carry an encoded query.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.request_at(method, "/scim/v2", path)
    }

    /// At an endpoint that is mounted there.
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

    /// Does the jobs that are due, as the schedule has it, and returns what Lambda
    /// would.
    pub(crate) async fn sweep(&self) -> Value {
        match self.app.handle(serde_json::from_str(SWEEP).unwrap()).await {
            Reply::Swept(swept) => serde_json::to_value(swept).unwrap(),
            Reply::Rest(_) | Reply::Http(_) => panic!("a schedule was taken for a request"),
        }
    }

    /// Sends what was made for another client.
    pub(crate) async fn replay(&self, request: Request) -> Answer {
        self.send(request.event).await
    }

    /// A whole event, as API Gateway would send it.
    pub(crate) async fn send(&self, event: Value) -> Answer {
        Answer::from(self.reply_to(event).await)
    }

    async fn reply_to(&self, event: Value) -> Reply {
        let parsed: Event = serde_json::from_value(event.clone()).unwrap();
        isolation::watch(&event, self.app.handle(parsed)).await
    }
}

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

    /// The answer as it goes over the wire, packed or not.
    pub(crate) async fn send_raw(self) -> RawAnswer {
        RawAnswer::from(self.client.reply_to(self.event).await)
    }
}

#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a client sees. Its text is `<status> <ETag or -> <body>`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self}"))
    }

    /// One attribute of each resource of a list, between blanks.
    pub(crate) fn list(&self, attribute: &str) -> String {
        let resources = self.body["Resources"].as_array().unwrap_or_else(|| panic!("no list: {self}"));
        let values: Vec<&str> = resources.iter().map(|one| one[attribute].as_str().unwrap_or("-")).collect();
        values.join(" ")
    }

    /// The path of the resource that was answered.
    pub(crate) fn path(&self) -> String {
        let kind = self.body["meta"]["resourceType"].as_str().unwrap_or("User");
        format!("/{kind}s/{}", self.id())
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl From<Reply> for RawAnswer {
    fn from(reply: Reply) -> Self {
        let (status, headers, body) = match reply {
            Reply::Swept(_) => panic!("a request was taken for a schedule"),
            Reply::Rest(reply) => (reply.status_code, reply.headers, reply.body),
            Reply::Http(reply) => (reply.status_code, reply.headers, reply.body),
        };
        let bytes = body.map(|body| body.to_vec()).unwrap_or_default();
        Self { status: u16::try_from(status).unwrap(), headers, bytes }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let RawAnswer { status, headers, mut bytes } = RawAnswer::from(reply);
        if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
            bytes = unpacked;
        }
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Self { status, headers, body }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.header("etag").unwrap_or("-"))?;
        if self.body.is_null() { Ok(()) } else { write!(f, " {}", self.body) }
    }
}
