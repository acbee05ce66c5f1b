//! The environment, read once at cold start.

use crate::cursor::CursorKey;

/// A body above this is refused with 413. Lambda takes 6 MB of event, in which
/// a body can be base64 and the JSON around it escaped.
pub const DEFAULT_MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Config {
    /// `SCIM_TABLE`: the DynamoDB table.
    pub table: String,
    /// `SCIM_BASE_URL`: the base of every `meta.location`, for endpoints behind
    /// a proxy that does not say which host it answers for.
    pub base_url: Option<String>,
    /// `SCIM_MAX_BODY_BYTES`
    pub max_body_bytes: usize,
    /// `SCIM_CURSOR_KEY`: 64 hexadecimal digits, the same in every instance.
    /// Without it there is no cursor pagination.
    pub cursor_key: Option<CursorKey>,
}

impl Config {
    pub fn new(table: impl Into<String>) -> Self {
        Self { table: table.into(), base_url: None, max_body_bytes: DEFAULT_MAX_BODY_BYTES, cursor_key: None }
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
        if let Some(key) = get("SCIM_CURSOR_KEY") {
            let key = CursorKey::parse(&key).ok_or("SCIM_CURSOR_KEY has to be 64 hexadecimal digits")?;
            config.cursor_key = Some(key);
        }
        Ok(config)
    }
}
