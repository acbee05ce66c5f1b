//! The sources of time and randomness. Nothing else asks the system for them, so that
//! tests decide what they return.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

/// Returns a random id.
pub type Ids = dyn Fn() -> Uuid + Send + Sync;

/// Returns a random number from 0 to 1.
pub type Jitter = dyn Fn() -> f64 + Send + Sync;

/// Returns the present time.
pub type Now = dyn Fn() -> Timestamp + Send + Sync;

#[derive(Clone)]
pub struct Sources {
    pub now: Arc<Now>,
    pub ids: Arc<Ids>,
    pub jitter: Arc<Jitter>,
}

impl Sources {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn system() -> Self {
        Self {
            now: Arc::new(Timestamp::now),
            ids: Arc::new(Uuid::new_v4),
            // 32 of the random bits of a UUID.
            jitter: Arc::new(|| f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)),
        }
    }
}
