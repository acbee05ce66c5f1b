//! The log. The function writes one line of JSON for each event to stdout, which Lambda
//! passes to CloudWatch. The lines of a request and of a sweep carry metrics in CloudWatch's
//! embedded metric format: `_aws` lists the members that are metrics, and their dimensions.
//! The commands write to stderr: the same lines, or short ones for a terminal.

use std::sync::Arc;
use std::{fmt, io};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

const NAMESPACE: &str = "ScimLambda";

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The metrics of a request, with CloudWatch's names of their units.
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

/// The metric of a request that is answered 401, by its reason.
const OF_A_REFUSAL: [(&str, &str); 1] = [("unauthorized", "Count")];

const OF_A_SWEEP: [(&str, &str); 3] =
    [("left", "Count"), ("sweep_errors", "Count"), ("oldest_job_seconds", "Seconds")];

/// Starts the log of the function, whose name is a dimension of its metrics.
pub fn init(level: &str, function: Option<String>, clock: Clock) {
    let lines = Lines { function: function.unwrap_or_else(|| LOCAL.to_owned()), clock };
    let log = tracing_subscriber::fmt::layer().event_format(lines);
    tracing_subscriber::registry().with(EnvFilter::new(level)).with(FilterFn::new(is_safe)).with(log).init();
}

/// Starts the log of a command.
pub fn init_command(level: &str, format: Format, clock: Clock) {
    // On stderr, because stdout is the output of the command.
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let filters = tracing_subscriber::registry().with(EnvFilter::new(level)).with(FilterFn::new(is_safe));
    match format {
        Format::Json => {
            filters.with(log.event_format(Lines { function: LOCAL.to_owned(), clock })).init();
        }
        Format::Short => filters.with(log.event_format(Short)).init(),
    }
}

/// Returns false for the details of other crates, whatever level the operator sets: the runtime
/// of Lambda and the HTTP clients log whole events, with tokens and bodies, at `trace`.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().split("::").next() == Some("scim_lambda");
    is_ours || *metadata.level() <= Level::INFO
}

/// The format of the log of a command.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// The lines of the function.
    Json,
    /// A few words for each event.
    Short,
}

const LOCAL: &str = "local";

struct Lines {
    function: String,
    clock: Clock,
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
            // By route but not by tenant: CloudWatch bills each combination of dimensions as a
            // metric of its own.
            Some("request") => {
                let of_a_refusal = line.get("refused").map(|_| directive(&line, &OF_A_REFUSAL, &["refused"]));
                Some([Some(directive(&line, &OF_A_REQUEST, &["route"])), of_a_refusal])
            }
            Some("sweep") => Some([Some(directive(&line, &OF_A_SWEEP, &[])), None]),
            _ => None,
        };
        if let Some(directives) = metrics {
            let directives: Vec<Value> = directives.into_iter().flatten().collect();
            let metrics = json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": directives });
            // A dimension is read from a member of the line, so only these lines need it.
            line.insert("function".to_owned(), self.function.as_str().into());
            line.insert("_aws".to_owned(), metrics);
        }
        writeln!(out, "{}", Value::Object(line))
    }
}

/// Returns a member of `_aws`: metrics by function, and by function and `by`.
fn directive(line: &Map<String, Value>, metrics: &[(&str, &str)], by: &[&str]) -> Value {
    // A partial sweep has no age of the oldest job.
    let known = metrics.iter().filter(|(name, _)| line.contains_key(*name));
    let metrics: Vec<Value> = known.map(|(name, unit)| json!({ "Name": name, "Unit": unit })).collect();
    // CloudWatch does not add up metrics across dimensions: each grouping must be listed.
    let mut dimensions = vec![vec!["function"]];
    if !by.is_empty() {
        dimensions.push([&["function"], by].concat());
    }
    json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics })
}

struct Short;

impl<S, N> FormatEvent<S, N> for Short
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line(Map::new());
        event.record(&mut line);
        match line.text().as_deref() {
            Some(text) => writeln!(out, "{}{text}", prefix(*event.metadata().level())),
            None => Ok(()),
        }
    }
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR ",
        Level::WARN => "WARN ",
        _ => "",
    }
}

/// The members of a line.
struct Line(Map<String, Value>);

impl Line {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Returns the event in a few words; `None` for a sweep that had nothing to do.
    fn text(&self) -> Option<String> {
        let member = |name: &str| self.0.get(name).map(plain).unwrap_or_default();
        match self.0.get("message").and_then(Value::as_str) {
            Some("request") => Some(format!(
                "{} {} {} {} ms, {}",
                member("method"),
                member("path"),
                member("status"),
                member("duration_ms"),
                counted(&member("dynamodb_calls"), "call"),
            )),
            // `cargo local` sweeps every minute, and these lines would hide the requests.
            Some("sweep") if member("done") == "0" => None,
            Some("sweep") => {
                let done = counted(&member("done"), "cleanup job");
                Some(format!("sweep {done} done, {} left", member("left")))
            }
            _ => {
                let rest = self.0.iter().filter(|(name, _)| !UNSHOWN.contains(&name.as_str()));
                let rest = rest.map(|(name, value)| format!(" {name}={}", plain(value)));
                Some(member("message") + &rest.collect::<String>())
            }
        }
    }
}

/// Members that are not listed in a short line.
const UNSHOWN: [&str; 3] = ["message", "request_id", "time"];

/// Returns a string without quotes, unless it would break the line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(char::is_control) => text.clone(),
        // As JSON, which escapes line breaks: one event must stay one line.
        other => other.to_string(),
    }
}

fn counted(number: &str, noun: &str) -> String {
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Line;

    fn short(line: Value) -> Option<String> {
        let Value::Object(members) = line else { panic!("{line}") };
        Line(members).text()
    }

    #[test]
    fn a_short_line_has_what_a_terminal_needs() {
        for (line, expected) in [
            (
                json!({ "message": "request", "request_id": "", "method": "GET", "path": "/scim/v2/Users",
                        "route": "GET /Users", "status": 200, "duration_ms": 5, "dynamodb_calls": 2 }),
                "GET /scim/v2/Users 200 5 ms, 2 calls",
            ),
            (
                json!({ "message": "request", "method": "POST", "path": "/scim/v2/Users", "status": 201,
                        "duration_ms": 12, "dynamodb_calls": 1 }),
                "POST /scim/v2/Users 201 12 ms, 1 call",
            ),
            (
                json!({ "message": "audit", "time": "2026-01-31T09:00:00Z", "tenant": "demo", "client": "k1",
                        "request_id": "", "action": "create", "id": "7", "version_after": 1 }),
                "audit tenant=demo client=k1 action=create id=7 version_after=1",
            ),
            (
                json!({ "message": "sweep", "tenants": 1, "done": 1, "left": 2 }),
                "sweep 1 cleanup job done, 2 left",
            ),
            (
                json!({ "message": "no connection yet", "error": "first\nsecond" }),
                r#"no connection yet error="first\nsecond""#,
            ),
        ] {
            assert_eq!(short(line).as_deref(), Some(expected));
        }
        assert_eq!(short(json!({ "message": "sweep", "tenants": 1, "done": 0, "left": 2 })), None);
    }
}
