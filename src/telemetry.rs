//! One JSON line per request on stdout, which Lambda hands to CloudWatch.

use tracing_subscriber::EnvFilter;

pub fn init(level: &str) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_env_filter(EnvFilter::new(level))
        .init();
}
