//! Retries of writes that met another writer. The SDK retries lost connections,
//! server errors and throttling, but not conflicts.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Jitter, Meter};

/// First pause; each further one may be twice as long.
const BASE: Duration = Duration::from_millis(20);
const CAP: Duration = Duration::from_secs(1);
/// API Gateway gives up after 29 s; a client that waits 8 s rather wants to know.
/// Time is the only bound: of 24 writers of one resource the last may lose 23 races.
const BUDGET: Duration = Duration::from_secs(8);

pub(crate) struct Retry<'a> {
    jitter: &'a Jitter,
    tries: u32,
    deadline: Instant,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(jitter: &'a Jitter) -> Self {
        Self { jitter, tries: 0, deadline: Instant::now() + BUDGET }
    }

    /// Waits for a random part of a growing time ("full jitter"); `false` when
    /// it is time to give up.
    pub(crate) async fn pause(&mut self) -> bool {
        self.tries += 1;
        let longest = BASE.saturating_mul(1 << self.tries.min(10)).min(CAP);
        let pause = longest.mul_f64((self.jitter)());
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        Meter::note_retry();
        true
    }
}
