//! Pauses of a write that met another writer. The SDK retries lost connections,
//! server errors and throttling, but not conflicts.

use tokio::time::Instant;

use crate::sources::Jitter;
use crate::store::dynamo::meter::Meter;
use crate::store::error::Error;
use crate::store::limits::{FIRST_PAUSE, LONGEST_PAUSE, RETRY_BUDGET};

/// The retries of one logical write.
pub(crate) struct Retry<'a> {
    jitter: &'a Jitter,
    tries: u32,
    deadline: Instant,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(jitter: &'a Jitter) -> Self {
        Self { jitter, tries: 0, deadline: Instant::now() + RETRY_BUDGET }
    }

    /// Waits a random part of a growing time ("full jitter"), so that writers which
    /// collided once do not collide again. Fails with `Busy` when the budget is spent.
    pub(crate) async fn pause(&mut self, operation: &'static str) -> Result<(), Error> {
        self.tries += 1;
        // Ten doublings exceed the longest pause. Without a bound the shift would overflow.
        let longest = FIRST_PAUSE.saturating_mul(1 << self.tries.min(10)).min(LONGEST_PAUSE);
        let pause = longest.mul_f64((self.jitter)());
        if Instant::now() + pause >= self.deadline {
            return Err(Error::Busy { operation });
        }
        tokio::time::sleep(pause).await;
        Meter::note_retry();
        Ok(())
    }
}
