//! The directory of a test: a table, a clock, and ids that count up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use jiff::{SignedDuration, Timestamp};
use scim_lambda::app::App;
use scim_lambda::config::Config;
use scim_lambda::local;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::sources::Sources;
use scim_lambda::store::{self, Created, Oauth, Store, TenantName, TenantRecord, TokenRecord};
use uuid::Uuid;

use crate::support::client::Client;
use crate::support::faults::Faults;

/// The token in the files of `events/`.
pub(crate) const TOKEN: &str =
    "scim_demo_events_0000000000000000000000000000000000000000000000000000000000000000";

/// The id of the next resource, where a test chooses it.
pub(crate) type NextId = Arc<Mutex<Option<Uuid>>>;

/// A directory with its own table, clock and ids. Each test has at least one.
pub(crate) struct Directory {
    endpoint: String,
    /// The emulator behind the endpoint, unless `SCIM_TEST_DYNAMODB` names another.
    pub(crate) emulator: Option<dynoxide::Database>,
    table: String,
    sources: Sources,
    /// Seconds since the start, as the clock of `sources` counts them.
    seconds: Arc<AtomicU64>,
}

impl Directory {
    /// Creates a directory in its own emulator, or in its own table at the endpoint in
    /// `SCIM_TEST_DYNAMODB`. Ids count up from 1 and every request is a second later than
    /// the one before, so that answers can be compared to the letter.
    pub(crate) async fn new() -> Self {
        Self::with_ids(numbers()).await
    }

    /// Creates a directory where a new resource takes the id in `next`, if there is one.
    pub(crate) async fn with_next_id(next: &NextId) -> Self {
        let next = Arc::clone(next);
        let others = numbers();
        Self::with_ids(move || next.lock().unwrap().take().unwrap_or_else(&others)).await
    }

    /// Creates a directory whose ids spread over their whole range, as in production.
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
        directory.store().create_table().await.unwrap();
        directory.add_tenant("demo", Policy::default()).await;
        directory
    }

    /// Moves the clock on by a second.
    pub(crate) fn tick(&self) {
        (self.sources.now)();
    }

    /// Moves the clock on.
    pub(crate) fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Moves the clock back by a second, so that the next request has the time of the last.
    pub(crate) fn stop_the_clock(&self) {
        self.seconds.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the time of the next request.
    pub(crate) fn now(&self) -> Timestamp {
        after(self.seconds.load(Ordering::Relaxed))
    }

    /// Creates a tenant with a token that differs from [`TOKEN`] in the name of the tenant.
    pub(crate) async fn add_tenant(&self, name: &str, policy: Policy) {
        let store = self.store();
        let tenant = TenantName::parse(name).unwrap();
        let created = (self.sources.now)();
        let record = TenantRecord { policy, ..TenantRecord::new(created) };
        assert_eq!(store.create_tenant(&tenant, &record).await.unwrap(), Created::Created);
        let token = TokenRecord { used: Some(created), ..TokenRecord::new(&"0".repeat(64), created) };
        assert_eq!(store.create_token(&tenant, "events", &token).await.unwrap(), Created::Created);
    }

    /// Returns a client whose token is bound to the user with this id.
    pub(crate) async fn client_of(&self, user: &str) -> Client {
        let now = self.now();
        let new = TokenRecord::new(&"1".repeat(64), now);
        let token = TokenRecord { user: Some(user.to_owned()), used: Some(now), ..new };
        let tenant = TenantName::parse("demo").unwrap();
        assert_eq!(self.store().create_token(&tenant, "me", &token).await.unwrap(), Created::Created);
        self.client().with_token(&format!("scim_demo_me_{}", "1".repeat(64)))
    }

    pub(crate) async fn set_oauth(&self, name: &str, oauth: &Oauth) {
        self.store().set_oauth(&TenantName::parse(name).unwrap(), Some(oauth)).await.unwrap();
    }

    pub(crate) async fn set_policy(&self, name: &str, policy: Policy) {
        self.store().set_policy(&TenantName::parse(name).unwrap(), &policy).await.unwrap();
    }

    pub(crate) async fn set_definitions(&self, name: &str, text: &str) -> Result<(), String> {
        let (store, tenant) = (self.store(), TenantName::parse(name).unwrap());
        let record = store.tenant(&tenant).await.unwrap().unwrap();
        let own = Some(text.to_owned());
        store::registry(&Definitions::default(), &record.policy, own.as_deref())
            .map_err(|error| error.to_string())?;
        let next = TenantRecord { definitions: own, ..record.clone() };
        store.change_rules(&tenant, &record, &next).await.unwrap();
        Ok(())
    }

    pub(crate) fn store(&self) -> Store {
        // The ids of the directory are for its resources.
        static IDS: AtomicU64 = AtomicU64::new(0);
        let ids = Arc::new(|| Uuid::from_u64_pair(0, IDS.fetch_add(1, Ordering::Relaxed)));
        Store::new(self.dynamodb(), &self.table, &Sources { ids, ..self.sources.clone() })
    }

    /// Returns a client of DynamoDB, for access to the table without the handler.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(store::local_config(&self.endpoint).build())
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Returns a client with the default configuration.
    pub(crate) fn client(&self) -> Client {
        self.client_with(Config::new(&self.table))
    }

    /// Returns a client with this configuration and without time limits for calls.
    pub(crate) fn client_with(&self, config: Config) -> Client {
        // On a busy machine the emulator is slow, and that must not look like an outage.
        let patient = store::local_config(&self.endpoint).timeout_config(TimeoutConfig::disabled());
        self.connect(config, patient)
    }

    /// Returns a client whose clock differs from that of the directory.
    pub(crate) fn skewed_client(&self, seconds: i64) -> Client {
        let patient = store::local_config(&self.endpoint).timeout_config(TimeoutConfig::disabled());
        let clock = Arc::clone(&self.sources.now);
        let now = Arc::new(move || clock() + SignedDuration::from_secs(seconds));
        self.connect_with(Config::new(&self.table), patient, Sources { now, ..self.sources.clone() })
    }

    /// Returns a client with the time limits of production.
    pub(crate) fn impatient_client(&self) -> Client {
        self.connect(Config::new(&self.table), store::local_config(&self.endpoint))
    }

    fn connect(&self, config: Config, dynamodb: aws_sdk_dynamodb::config::Builder) -> Client {
        self.connect_with(config, dynamodb, self.sources.clone())
    }

    fn connect_with(
        &self,
        config: Config,
        dynamodb: aws_sdk_dynamodb::config::Builder,
        sources: Sources,
    ) -> Client {
        let (store, faults) = self.store_with(Faults::new(), dynamodb, &sources);
        Client::of(App::new(config, store, sources), faults)
    }

    /// Returns the store of an operator, and the network that its calls go through.
    pub(crate) fn watched_store(&self) -> (Store, Faults) {
        let patient = store::local_config(&self.endpoint).timeout_config(TimeoutConfig::disabled());
        self.store_with(Faults::of_operator(), patient, &self.sources)
    }

    fn store_with(
        &self,
        faults: Faults,
        dynamodb: aws_sdk_dynamodb::config::Builder,
        sources: &Sources,
    ) -> (Store, Faults) {
        let dynamodb = dynamodb
            .http_client(faults.clone())
            // As many attempts as on AWS, with less time between them.
            .retry_config(
                RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1)),
            )
            // Clients of one partition share a budget of retries, and tests run side by side.
            .retry_partition(RetryPartition::new(unique_name()))
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(dynamodb);
        (Store::new(client, &self.table, sources), faults)
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
