//! The directory in DynamoDB: the only place that names `aws_sdk_dynamodb`.
//!
//! There is no unconditional write of a resource here, and no read before a
//! write where the condition of the write can tell what a read would: a failed
//! condition returns the old item.

#[cfg(feature = "cli")]
mod admin;
mod audit;
mod cleanup;
mod dynamo;
mod error;
mod group;
pub mod query;
mod resource;
mod table;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use uuid::Uuid;

#[cfg(feature = "cli")]
pub use self::admin::check::{Expected, Finding};
pub use self::audit::Audited;
pub use self::cleanup::Swept;
pub use self::dynamo::meter::{Meter, Reading};
pub use self::error::{Error, RETRY_AFTER};
pub use self::group::change::MemberChange;
pub use self::group::groups_of::DirectGroup;
pub use self::resource::{Apply, Change, MAX_INDEX_ROWS, Unseen, Write};
pub use self::table::audit_trail::{Action, AuditTrail, Changed};
pub use self::table::keys::TenantName;
pub(crate) use self::table::keys::hex;
pub use self::table::resource_item::MAX_RESOURCE_BYTES;
pub use self::tenants::{Scope, TenantRecord, TokenRecord};
pub(crate) use self::tenants::{USE_INTERVAL, sha256};

/// A number from 0 to 1.
pub type Jitter = dyn Fn() -> f64 + Send + Sync;

#[derive(Clone)]
pub struct Store {
    client: Client,
    table: String,
    ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    jitter: Arc<Jitter>,
}

impl Store {
    pub fn new(
        client: Client,
        table: impl Into<String>,
        ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
        jitter: Arc<Jitter>,
    ) -> Self {
        Self { client, table: table.into(), ids, jitter }
    }
}

/// The settings of the DynamoDB client. API Gateway waits 29 s at most, and a
/// request makes up to four calls one after the other. Retries are those of the
/// standard mode: the adaptive one would let a throttled tenant slow the others.
pub fn client_config(shared: &SdkConfig) -> Builder {
    Builder::from(shared)
        .interceptor(dynamo::meter::Metering)
        .retry_config(
            RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(25)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_millis(800))
                .operation_attempt_timeout(Duration::from_secs(2))
                .operation_timeout(Duration::from_secs(6))
                .build(),
        )
}
