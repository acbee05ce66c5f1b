//! The log of a test.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// Lines of log that several writers share.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A recording of the lines that this thread logs.
pub(crate) struct Recording {
    lines: Lines,
    _other: tracing::Dispatch,
    guard: tracing::subscriber::DefaultGuard,
}

impl Recording {
    /// Begins a recording.
    pub(crate) fn new() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        // With a single subscriber, the first thread that logs decides for all threads
        // whether a line is wanted, and the threads of other tests want none.
        let other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        Self { lines, _other: other, guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Ends the recording and returns its lines.
    pub(crate) fn text(self) -> String {
        drop(self.guard);
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }
}
