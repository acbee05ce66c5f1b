//! Pauses of a call that met another writer, or a partition without capacity. The SDK
//! retries lost connections and server errors, throttling for some 100 ms, and no conflicts.

use std::sync::Arc;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use crate::sources::Jitter;
use crate::store::dynamo::meter::Meter;
use crate::store::error::{Error, is_contention};
use crate::store::limits::{FIRST_PAUSE, LONGEST_PAUSE, RETRY_BUDGET};

/// The retries of one logical write, or of one read.
pub(crate) struct Retry {
    jitter: Arc<Jitter>,
    tries: u32,
    deadline: Instant,
}

impl Retry {
    pub(crate) fn new(jitter: Arc<Jitter>) -> Self {
        Self { jitter, tries: 0, deadline: Instant::now() + RETRY_BUDGET }
    }

    /// Returns the retries of another call.
    pub(crate) fn renewed(&self) -> Self {
        Self::new(Arc::clone(&self.jitter))
    }

    /// Sends a call until it is answered, as long as waiting can help.
    pub(crate) async fn until_answered<T, E, F>(
        &mut self,
        operation: &'static str,
        send: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        loop {
            match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause_after(operation, &error).await?,
            }
        }
    }

    /// Waits before a call is sent again, if that can help. Every other error is returned.
    pub(crate) async fn pause_after<E>(
        &mut self,
        operation: &'static str,
        error: &SdkError<E>,
    ) -> Result<(), Error>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        match error.code() {
            Some(code) if is_contention(code) => self.pause(operation).await,
            _ => Err(Error::sdk(operation, error)),
        }
    }

    /// Waits a random part of a growing time ("full jitter"), so that writers which
    /// collided once do not collide again. Fails with `Busy` when the budget is spent.
    pub(crate) async fn pause(&mut self, operation: &'static str) -> Result<(), Error> {
        self.tries += 1;
        // Four doublings exceed the longest pause. Without a bound the shift would overflow.
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
