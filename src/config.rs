//! The configuration: environment variables, read once at cold start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Uri;

use crate::scim::policy::Policy;
use crate::scim::registry::Registry;
use crate::scim::registry::custom::{Definitions, Unsound};
use crate::store::{MAX_REQUEST_TIME, check_type_names};

/// The bytes of a body, beyond which it is refused with 413. Lambda accepts an event of
/// 6 MB, in which a body is base64 or escaped JSON.
pub const DEFAULT_MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The time for a request. API Gateway waits 29 s, and its answer then has no details.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25);

/// The longest time of a sweep: Lambda stops a function after 15 minutes.
const MAX_SWEEP_TIME: Duration = Duration::from_mins(14);

pub const DEFAULT_MAX_BULK_OPERATIONS: usize = 1_000;

/// The bytes of a bulk request, the value in the example of RFC 7644 s3.7.4.
pub const DEFAULT_MAX_BULK_BYTES: usize = 1024 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `SCIM_TABLE`: the DynamoDB table.
    pub table: String,
    /// `SCIM_BASE_URL`: the base of every `meta.location`, for endpoints behind a proxy
    /// that does not send the host that clients use.
    pub base_url: Option<String>,
    /// `SCIM_FORWARDED_HEADERS`: `1` builds links from `X-Forwarded-Host`, or else `Host`, and
    /// `X-Forwarded-Proto`, for endpoints behind a proxy that sets them.
    pub forwarded_headers: bool,
    /// `SCIM_MAX_BODY_BYTES`
    pub max_body_bytes: usize,
    /// `SCIM_MAX_BULK_OPERATIONS`: RFC 7643 s5, `bulk.maxOperations`.
    pub max_bulk_operations: usize,
    /// `SCIM_MAX_BULK_BYTES`: RFC 7643 s5, `bulk.maxPayloadSize`.
    pub max_bulk_bytes: usize,
    /// `SCIM_TIMEOUT_SECONDS`: the time for a request, less than the timeout of the
    /// function and the 29 s of API Gateway, so that the client gets an answer.
    pub timeout: Duration,
    /// `SCIM_SWEEP_SECONDS`: the time for a sweep, less than the timeout of the function that
    /// the schedule calls.
    pub sweep_time: Duration,
    /// `SCIM_DEFINITIONS`: a JSON file, or a folder of them, with schemas and resource
    /// types for every tenant.
    pub definitions: Definitions,
    /// `SCIM_AUDIT_DAYS`: the days for which the table keeps a copy of the audit log; no
    /// copy if 0 or not set.
    pub audit_days: Option<u16>,
    /// `SCIM_LOG`: the level of the log, in the syntax of `tracing-subscriber`:
    /// `info`, `scim_lambda=debug`.
    pub log: String,
    /// `SCIM_EXPLAIN`: `1` adds to the log line of a request its query plan, the items
    /// read and the capacity units consumed.
    pub explain: bool,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or `AWS_ENDPOINT_URL`: another DynamoDB than that of
    /// the region.
    pub dynamodb_endpoint: Option<String>,
}

impl Config {
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            base_url: None,
            forwarded_headers: false,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_bulk_operations: DEFAULT_MAX_BULK_OPERATIONS,
            max_bulk_bytes: DEFAULT_MAX_BULK_BYTES,
            timeout: DEFAULT_TIMEOUT,
            sweep_time: DEFAULT_TIMEOUT,
            log: "info".to_owned(),
            explain: false,
            definitions: Definitions::default(),
            audit_days: None,
            dynamodb_endpoint: None,
        }
    }

    /// Reads the environment, whose variables `get` looks up.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        // Empty means not set: a CloudFormation template cannot omit a variable.
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let url = |name| get(name).map(|value| absolute_url(name, value)).transpose();
        let mut config = Self::new(get("SCIM_TABLE").ok_or("SCIM_TABLE must name the DynamoDB table")?);
        config.base_url = url("SCIM_BASE_URL")?;
        for (name, limit) in [
            ("SCIM_MAX_BODY_BYTES", &mut config.max_body_bytes),
            ("SCIM_MAX_BULK_OPERATIONS", &mut config.max_bulk_operations),
            ("SCIM_MAX_BULK_BYTES", &mut config.max_bulk_bytes),
        ] {
            if let Some(text) = get(name) {
                *limit = text.parse().map_err(|_| format!("{name} must be a number, not {text}"))?;
            }
        }
        for (name, time, most) in [
            ("SCIM_TIMEOUT_SECONDS", &mut config.timeout, MAX_REQUEST_TIME),
            ("SCIM_SWEEP_SECONDS", &mut config.sweep_time, MAX_SWEEP_TIME),
        ] {
            if let Some(seconds) = get(name) {
                *time = seconds
                    .parse()
                    .ok()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    // Zero would refuse every request.
                    .filter(|time| !time.is_zero() && *time <= most)
                    .ok_or_else(|| {
                        format!(
                            "{name} must be a number above 0 and at most {}, not {seconds}",
                            most.as_secs()
                        )
                    })?;
            }
        }
        let switch = |name: &str| match get(name).as_deref() {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(format!("{name} must be 0 or 1, not {other}")),
        };
        config.explain = switch("SCIM_EXPLAIN")?;
        config.forwarded_headers = switch("SCIM_FORWARDED_HEADERS")?;
        if let Some(text) = get("SCIM_AUDIT_DAYS") {
            let days: u16 =
                text.parse().map_err(|_| format!("SCIM_AUDIT_DAYS must be a number of days, not {text}"))?;
            config.audit_days = Some(days).filter(|days| *days > 0);
        }
        if let Some(path) = get("SCIM_DEFINITIONS") {
            config.definitions =
                read_definitions(Path::new(&path)).map_err(|error| format!("SCIM_DEFINITIONS: {error}"))?;
        }
        if let Some(log) = get("SCIM_LOG") {
            config.log = log;
        }
        config.dynamodb_endpoint = dynamodb_endpoint(get)?;
        Ok(config)
    }
}

/// Returns the URL of a DynamoDB other than that of the region.
pub fn dynamodb_endpoint(get: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    // Not left to the SDK: it takes an empty variable for a URL, and panics at its first
    // request.
    for name in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"] {
        if let Some(value) = get(name).filter(|value| !value.is_empty()) {
            return absolute_url(name, value).map(Some);
        }
    }
    Ok(None)
}

/// Reads the definitions of a file, or of all the `.json` files of a folder. The error
/// names the file.
pub fn read_definitions(path: &Path) -> Result<Definitions, String> {
    let text = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        files = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        // In the order of names: one file may extend a resource type of an earlier one.
        files.sort();
    }
    let mut definitions = Definitions::default();
    for file in files {
        let error = |error: Unsound| format!("{}: {error}", file.display());
        definitions = definitions.and(Definitions::parse(&text(&file)?).map_err(error)?);
        // After each file rather than at the end, so that the error names the file.
        check_type_names(&definitions).map_err(error)?;
        Registry::with(&Policy::default(), &definitions).map_err(error)?;
    }
    Ok(definitions)
}

pub fn absolute_url(name: &str, value: String) -> Result<String, String> {
    let is_absolute = value.parse::<Uri>().is_ok_and(|url| {
        url.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme))
            && url.host().is_some_and(|host| !host.is_empty())
    });
    if is_absolute {
        Ok(value)
    } else {
        Err(format!("{name} must be a URL with http:// or https://, not {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|name| {
            let (_, value) = variables.iter().find(|(variable, _)| *variable == name)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let empty = [
            ("SCIM_TABLE", "users"),
            ("SCIM_BASE_URL", ""),
            ("SCIM_MAX_BODY_BYTES", ""),
            ("SCIM_AUDIT_DAYS", ""),
            ("SCIM_LOG", ""),
            ("SCIM_EXPLAIN", ""),
            ("AWS_ENDPOINT_URL_DYNAMODB", ""),
            ("AWS_ENDPOINT_URL", ""),
        ];
        assert_eq!(read(&empty), Ok(Config::new("users")));
        assert_eq!(read(&[("SCIM_TABLE", "")]), Err("SCIM_TABLE must name the DynamoDB table".to_owned()));
    }

    #[test]
    fn the_endpoint_of_dynamodb_comes_before_the_endpoint_of_all_services() {
        let endpoint = |dynamodb| {
            let all = ("AWS_ENDPOINT_URL", "http://all.example");
            let config = read(&[("SCIM_TABLE", "users"), ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb), all]);
            config.unwrap().dynamodb_endpoint
        };
        assert_eq!(endpoint("http://127.0.0.1:8000").as_deref(), Some("http://127.0.0.1:8000"));
        assert_eq!(endpoint("").as_deref(), Some("http://all.example"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let refused = |name, value| read(&[("SCIM_TABLE", "users"), (name, value)]).unwrap_err();
        assert_eq!(refused("SCIM_MAX_BODY_BYTES", "4 MB"), "SCIM_MAX_BODY_BYTES must be a number, not 4 MB");
        // A staged change has a lease of 30 s from the beginning of its request.
        for (name, most) in [("SCIM_TIMEOUT_SECONDS", "28"), ("SCIM_SWEEP_SECONDS", "840")] {
            for value in ["0", "-1", "soon", "NaN", "840.1", "1e9"] {
                let expected = format!("{name} must be a number above 0 and at most {most}, not {value}");
                assert_eq!(refused(name, value), expected);
            }
            assert!(read(&[("SCIM_TABLE", "users"), (name, most)]).is_ok());
        }
        for (name, value) in [
            ("SCIM_BASE_URL", "/scim/v2"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000"),
            ("AWS_ENDPOINT_URL", "ftp://example.com"),
        ] {
            let expected = format!("{name} must be a URL with http:// or https://, not {value}");
            assert_eq!(refused(name, value), expected);
        }
    }
}
