//! Queries (RFC 7644 s3.4.2, s3.4.3; RFC 9865) and the `ListResponse`.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::scim::attr_path::AttrPath;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::filter::Filter;
use crate::scim::message;
use crate::scim::policy::PageSize;
use crate::scim::quirks::Leeway;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// The time that a client may take from one page to the next by cursor.
pub const CURSOR_TIMEOUT: SignedDuration = SignedDuration::from_mins(60);

/// The parameters of a query, from the URL of a GET or the body of a POST to `.search`.
/// Lists of attributes are names separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    pub filter: Option<String>,
    pub attributes: Option<String>,
    pub excluded_attributes: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub filter: Option<Filter>,
    pub sort: Option<SortBy>,
    pub page: Page,
    pub count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortBy {
    pub path: AttrPath,
    pub descending: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The position of the first resource, from 1 (s3.4.2.4).
    Index(usize),
    /// The cursor of the page, or `None` for the first page (RFC 9865).
    Cursor(Option<String>),
}

/// A page before or after a position in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side<T> {
    After(T),
    Before(T),
}

impl Parameters {
    /// Reads the parameters of a URL. `all` looks up the values of one.
    pub fn of_url(all: impl Fn(&str) -> Vec<String>) -> Result<Self> {
        let list = |name| Some(all(name)).filter(|values| !values.is_empty()).map(|values| values.join(","));
        let one = |name| {
            let mut values = all(name);
            if values.len() > 1 {
                let times = values.len();
                return Err(
                    ErrorKind::InvalidValue.with(format!("{name} is given {times} times: send it once"))
                );
            }
            Ok(values.pop())
        };
        Ok(Self {
            filter: one("filter")?,
            attributes: list("attributes"),
            excluded_attributes: list("excludedAttributes"),
            sort_by: one("sortBy")?,
            sort_order: one("sortOrder")?,
            start_index: one("startIndex")?,
            count: one("count")?,
            cursor: one("cursor")?,
        })
    }

    /// Reads a `SearchRequest` (s3.4.3).
    pub fn of_body(body: &Value, leeway: Leeway<'_>) -> Result<Self> {
        let Value::Object(members) = body else {
            return Err(ErrorKind::InvalidSyntax.with("the body must be a JSON object"));
        };
        message::check_schema(body, REQUEST, leeway)?;
        let mut parameters = Self::default();
        for (name, value) in members {
            let slot = match name.to_ascii_lowercase().as_str() {
                "filter" => &mut parameters.filter,
                "attributes" => &mut parameters.attributes,
                "excludedattributes" => &mut parameters.excluded_attributes,
                "sortby" => &mut parameters.sort_by,
                "sortorder" => &mut parameters.sort_order,
                "startindex" => &mut parameters.start_index,
                "count" => &mut parameters.count,
                "cursor" => &mut parameters.cursor,
                _ => continue,
            };
            *slot = text(name, value)?;
        }
        Ok(parameters)
    }

    /// Returns a text that is equal for all pages of a query, and differs for other
    /// resources, another order or other attributes.
    pub fn fingerprint(&self) -> String {
        json!([self.filter, self.attributes, self.excluded_attributes, self.sort_by, self.sort_order])
            .to_string()
    }

    pub fn query(&self, sizes: PageSize, leeway: Leeway<'_>) -> Result<Query> {
        let filter = self.filter.as_deref().map(|text| {
            Filter::parse(text, leeway)
                .map_err(|error| ErrorKind::InvalidFilter.with(format!("filter: {error}")))
        });
        // RFC 9865 s2.1 has an error of its own for a page by cursor.
        let kind = if self.cursor.is_some() { ErrorKind::InvalidCount } else { ErrorKind::InvalidValue };
        let count = number("count", self.count.as_deref(), kind)?;
        Ok(Query {
            filter: filter.transpose()?,
            sort: self.sort()?,
            page: self.page()?,
            // s3.4.2.4 allows fewer results than requested, so a large count is no error.
            count: count.unwrap_or(sizes.default()).min(sizes.max()),
        })
    }

    fn sort(&self) -> Result<Option<SortBy>> {
        let descending = match self.sort_order.as_deref() {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => {
                return Err(ErrorKind::InvalidValue.with("sortOrder must be ascending or descending"));
            }
        };
        // `sortOrder` without `sortBy` orders nothing. It is still checked above.
        let Some(name) = self.sort_by.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        match name.parse() {
            Ok(path) => Ok(Some(SortBy { path, descending })),
            Err(error) => Err(ErrorKind::InvalidValue.with(format!("sortBy: {error}"))),
        }
    }

    fn page(&self) -> Result<Page> {
        match (&self.cursor, &self.start_index) {
            (Some(_), Some(_)) => {
                Err(ErrorKind::InvalidValue
                    .with("startIndex and cursor cannot be combined: send one of them"))
            }
            // RFC 9865 s2: an empty `cursor` asks for the first page of cursor pagination.
            (Some(cursor), None) => {
                Ok(Page::Cursor(Some(cursor.clone()).filter(|cursor| !cursor.is_empty())))
            }
            (None, start) => Ok(Page::Index(
                number("startIndex", start.as_deref(), ErrorKind::InvalidValue)?.unwrap_or(1).max(1),
            )),
        }
    }
}

/// Returns a parameter of a body in the form that it has in a URL.
fn text(name: &str, value: &Value) -> Result<Option<String>> {
    let wrong = || ErrorKind::InvalidSyntax.with(format!("{name} has the wrong type"));
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(names) => {
            let names =
                names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<Vec<_>>>()?;
            Ok(Some(names.join(",")))
        }
        Value::Bool(_) | Value::Object(_) => Err(wrong()),
    }
}

fn number(name: &str, text: Option<&str>, kind: ErrorKind) -> Result<Option<usize>> {
    let Some(text) = text.map(str::trim) else {
        return Ok(None);
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(kind.with(format!("{name} must be an integer")));
    }
    // s3.4.2.4: a negative `count` means 0. A `startIndex` below 1 becomes 1 in `page`.
    if text.starts_with('-') {
        return Ok(Some(0));
    }
    // Beyond every number of resources, whatever its length.
    Ok(Some(digits.parse().unwrap_or(usize::MAX)))
}

/// The part of a `ListResponse` that depends on the kind of pagination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paged {
    Index {
        total: usize,
        start_index: usize,
    },
    /// The total is `None` if only a scan could find it.
    Cursor {
        total: Option<usize>,
        previous: Option<String>,
        next: Option<String>,
    },
}

pub fn response(paged: Paged, resources: Vec<Value>) -> Value {
    let mut body = Map::new();
    body.insert("schemas".to_owned(), json!([SCHEMA]));
    match paged {
        Paged::Index { total, start_index } => {
            body.insert("totalResults".to_owned(), total.into());
            body.insert("startIndex".to_owned(), start_index.into());
            body.insert("itemsPerPage".to_owned(), resources.len().into());
        }
        Paged::Cursor { total, previous, next } => {
            body.extend(total.map(|total| ("totalResults".to_owned(), total.into())));
            body.insert("itemsPerPage".to_owned(), resources.len().into());
            body.extend(previous.map(|previous| ("previousCursor".to_owned(), previous.into())));
            body.extend(next.map(|next| ("nextCursor".to_owned(), next.into())));
        }
    }
    body.insert("Resources".to_owned(), Value::Array(resources));
    Value::Object(body)
}
