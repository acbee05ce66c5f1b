//! The directory in DynamoDB: the only place that names `aws_sdk_dynamodb`.
//!
//! There is no unconditional write of a resource here, and no read before a
//! write where the condition of the write can tell what a read would: a failed
//! condition returns the old item.

mod actions;
mod audit;
mod batch;
mod belongings;
mod changes;
#[cfg(feature = "cli")]
mod check;
mod complete;
mod enrol;
#[cfg(feature = "cli")]
mod erase;
mod error;
#[cfg(feature = "cli")]
mod everything;
mod few_members;
#[cfg(feature = "cli")]
mod inventory;
mod item;
mod jobs;
mod keys;
mod listing;
mod member_actions;
mod member_changes;
mod members;
mod membership;
mod meter;
mod nesting;
mod resources;
mod retry;
mod roster;
mod search;
mod staged;
mod tenants;
mod trail;
mod transaction;
#[cfg(feature = "cli")]
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use uuid::Uuid;

pub use audit::Audited;
pub use belongings::Belonging;
#[cfg(feature = "cli")]
pub use check::{Expected, Finding};
pub use error::{Error, RETRY_AFTER};
pub use item::MAX_RESOURCE_BYTES;
pub use jobs::Swept;
pub use keys::TenantName;
pub(crate) use keys::hex;
pub use member_changes::MemberChange;
pub use meter::{Meter, Reading};
pub use resources::{Apply, Change, MAX_INDEX_ROWS, Unseen, Write};
pub use tenants::{Scope, TenantRecord, TokenRecord};
pub(crate) use tenants::{USE_INTERVAL, sha256};
pub use trail::{Action, Changed, Trail};

/// A number from 0 to 1.
pub type Dice = dyn Fn() -> f64 + Send + Sync;

#[derive(Clone)]
pub struct Store {
    client: Client,
    table: String,
    ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
    dice: Arc<Dice>,
}

impl Store {
    pub fn new(
        client: Client,
        table: impl Into<String>,
        ids: Arc<dyn Fn() -> Uuid + Send + Sync>,
        dice: Arc<Dice>,
    ) -> Self {
        Self { client, table: table.into(), ids, dice }
    }
}

/// The settings of the DynamoDB client. API Gateway waits 29 s at most, and a
/// request makes up to four calls one after the other. Retries are those of the
/// standard mode: the adaptive one would let a throttled tenant slow the others.
pub fn client_config(shared: &SdkConfig) -> Builder {
    Builder::from(shared)
        .interceptor(meter::Metering)
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
