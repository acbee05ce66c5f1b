//! The comparisons of a request, counted. A filter of a thousand conditions over a page of
//! long values is a short request and much work, which no time limit interrupts: there is
//! nothing to wait for in between.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scim::error::{Error, ErrorKind};

/// Bytes that the filters and operations of one request may compare: some 0.2 s of a CPU
/// with the patterns that are the hardest to search for.
pub const LIMIT: usize = 64 * 1024 * 1024;

/// Bytes that a comparison counts for in addition to those of its value.
const OVERHEAD: usize = 64;

/// The work that a request has done. All operations of a bulk request share it.
#[derive(Debug, Default)]
pub struct Work(AtomicUsize);

/// The limit was reached, so the comparisons since then have no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Work {
    /// Counts comparisons with a value of so many bytes. After an error no comparison is
    /// worth making.
    pub fn spend(&self, comparisons: usize, bytes: usize) -> Result<(), Exhausted> {
        self.check()?;
        let cost = comparisons.saturating_mul(bytes.saturating_add(OVERHEAD));
        self.0.fetch_add(cost.min(LIMIT + 1), Ordering::Relaxed);
        self.check()
    }

    /// Returns an error if a comparison was left out.
    pub fn check(&self) -> Result<(), Exhausted> {
        if self.spent() > LIMIT { Err(Exhausted) } else { Ok(()) }
    }

    pub fn spent(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Exhausted {
    /// Returns the error of a query.
    pub fn of_query(self) -> Error {
        ErrorKind::TooMany.with(
            "the filter compares too many values: use fewer conditions, or narrow it by eq on an indexed attribute",
        )
    }
}

impl From<Exhausted> for Error {
    /// Converts to the error of a PATCH.
    fn from(_: Exhausted) -> Self {
        ErrorKind::TooLarge.with(
            "the operations compare too many values: send them in several requests, or use shorter filters",
        )
    }
}
