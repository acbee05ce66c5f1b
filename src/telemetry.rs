//! One JSON line for each event on stdout, which Lambda hands to CloudWatch. The line of
//! a request, and that of a sweep, carry metrics in CloudWatch's embedded metric format:
//! `_aws` says which members of the line are metrics, and by what they are grouped.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

const NAMESPACE: &str = "ScimLambda";

/// Those of a request, with CloudWatch's names of their units.
const OF_A_REQUEST: [(&str, &str); 8] = [
    ("duration_ms", "Milliseconds"),
    ("server_errors", "Count"),
    ("dynamodb_calls", "Count"),
    ("retries", "Count"),
    ("conflicts", "Count"),
    ("throttles", "Count"),
    ("read_units", "Count"),
    ("write_units", "Count"),
];

const OF_A_SWEEP: [(&str, &str); 2] = [("left", "Count"), ("oldest_job_seconds", "Seconds")];

pub fn init(level: &str, function: Option<String>, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) {
    tracing_subscriber::fmt()
        .event_format(Lines { function: function.unwrap_or_else(|| "local".to_owned()), clock })
        .with_env_filter(EnvFilter::new(level))
        .init();
}

struct Lines {
    /// Name of the function, by which its metrics are told from those of others.
    function: String,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = (self.clock)();
        let mut line = Line(Map::new());
        line.set("timestamp", format!("{now:.3}"));
        line.set("level", event.metadata().level().as_str());
        event.record(&mut line);
        let Line(mut line) = line;
        let metrics = match line.get("message").and_then(Value::as_str) {
            Some("request") => Some(metrics(&OF_A_REQUEST, &["route"], now)),
            Some("sweep") => Some(metrics(&OF_A_SWEEP, &[], now)),
            _ => None,
        };
        if let Some(metrics) = metrics {
            line.insert("function".to_owned(), self.function.as_str().into());
            line.insert("_aws".to_owned(), metrics);
        }
        writeln!(out, "{}", Value::Object(line))
    }
}

/// By function, and by function and these.
fn metrics(metrics: &[(&str, &str)], by: &[&str], now: Timestamp) -> Value {
    let metrics: Vec<Value> =
        metrics.iter().map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
    let mut dimensions = vec![vec!["function"]];
    if !by.is_empty() {
        dimensions.push([&["function"], by].concat());
    }
    json!({
        "Timestamp": now.as_millisecond(),
        "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics }],
    })
}

/// The members of a line.
struct Line(Map<String, Value>);

impl Line {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }
}
