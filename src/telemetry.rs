//! One JSON line per request on stdout, which Lambda hands to CloudWatch.

use tracing_subscriber::EnvFilter;

/// `SCIM_LOG` sets the level, in the syntax of `tracing-subscriber`: `info`,
/// `scim_lambda=debug`.
pub fn init(level: Option<&str>) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_env_filter(EnvFilter::new(level.unwrap_or("info")))
        .init();
}
