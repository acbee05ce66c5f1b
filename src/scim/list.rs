//! A query and its `ListResponse` (RFC 7644 s3.4.2).

use serde_json::{Value, json};

use super::error::{ErrorKind, Result};
use super::filter::Filter;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// Resources in one answer, whatever `count` asks for: some 200 kB of users,
/// far below the 6 MB that Lambda lets pass.
pub const MAX_RESULTS: usize = 100;

/// Index pagination (s3.4.2.4) over what a filter leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub filter: Option<Filter>,
    /// Of the first resource, from 1.
    pub start_index: usize,
    pub count: usize,
}

impl Query {
    pub fn parse(filter: Option<&str>, start_index: Option<&str>, count: Option<&str>) -> Result<Self> {
        let filter = filter
            .map(|text| {
                text.parse::<Filter>()
                    .map_err(|error| ErrorKind::InvalidFilter.with(format!("filter: {error}")))
            })
            .transpose()?;
        Ok(Self {
            filter,
            start_index: number("startIndex", start_index)?.unwrap_or(1).max(1),
            count: number("count", count)?.unwrap_or(MAX_RESULTS).min(MAX_RESULTS),
        })
    }
}

/// s3.4.2.4: a negative `count` is 0, a `startIndex` below 1 is 1.
fn number(name: &str, text: Option<&str>) -> Result<Option<usize>> {
    let Some(text) = text else {
        return Ok(None);
    };
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| ErrorKind::InvalidValue.with(format!("{name} has to be an integer")))?;
    Ok(Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX)))
}

pub fn response(total: usize, start_index: usize, resources: &[Value]) -> Value {
    json!({
        "schemas": [SCHEMA],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}
