//! The environment, read once at cold start.

/// A body above this is refused with 413. Lambda takes 6 MB of event, in which
/// a body can be base64 and the JSON around it escaped.
pub const DEFAULT_MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `SCIM_TABLE`: the DynamoDB table.
    pub table: String,
    /// `SCIM_BASE_URL`: the base of every `meta.location`, for endpoints behind
    /// a proxy that does not say which host it answers for.
    pub base_url: Option<String>,
    /// `SCIM_MAX_BODY_BYTES`
    pub max_body_bytes: usize,
}

impl Config {
    pub fn new(table: impl Into<String>) -> Self {
        Self { table: table.into(), base_url: None, max_body_bytes: DEFAULT_MAX_BODY_BYTES }
    }

    /// `get` looks a variable up. An empty one counts as not set: a template
    /// cannot leave a variable out.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name| get(name).filter(|value| !value.is_empty());
        let mut config = Self::new(get("SCIM_TABLE").ok_or("SCIM_TABLE has to name the DynamoDB table")?);
        config.base_url = get("SCIM_BASE_URL");
        if let Some(limit) = get("SCIM_MAX_BODY_BYTES") {
            config.max_body_bytes =
                limit.parse().map_err(|_| format!("SCIM_MAX_BODY_BYTES has to be a number, not {limit}"))?;
        }
        Ok(config)
    }
}
