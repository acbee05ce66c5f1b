//! Bulk requests (RFC 7644 s3.7). In reading order:
//!
//! - this file: [`Bulk`], a request that was read, and the answer to it;
//! - [`bulk_id`]: references to resources that the request itself creates;
//! - [`schedule`]: the order in which the operations may be carried out.

pub mod bulk_id;
pub mod schedule;

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::scim::decode::excerpt;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::message::{self, member};
use crate::scim::quirks::{Leeway, Tolerance};

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

#[derive(Debug)]
pub struct Bulk {
    /// The number of errors after which no further operation is begun.
    pub fail_on_errors: Option<usize>,
    pub operations: Vec<Operation>,
}

/// An element of `Operations`.
#[derive(Debug)]
pub struct Operation {
    /// The method as it was sent, which the answer repeats.
    pub method: Value,
    pub bulk_id: Option<String>,
    /// The request that the operation makes. One that cannot be read fails alone.
    pub request: Result<SubRequest>,
}

/// A request within the bulk request.
#[derive(Clone, Debug, PartialEq)]
pub struct SubRequest {
    pub method: Method,
    /// The path below the base of the endpoint.
    pub path: String,
    /// The value in the place of an `If-Match` header.
    pub version: Option<String>,
    pub data: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

/// The result of an operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub status: u16,
    pub location: Option<String>,
    pub version: Option<String>,
    /// The body of an error.
    pub response: Option<Value>,
}

impl Bulk {
    pub fn parse(body: &Value, leeway: Leeway<'_>, max_operations: usize) -> Result<Self> {
        message::check_schema(body, REQUEST, leeway)?;
        let operations = member(body, "Operations")
            .and_then(Value::as_array)
            .ok_or_else(|| ErrorKind::InvalidSyntax.with("the body must contain Operations, an array"))?;
        // Before any of them is read: s3.7.4 makes it an error of the request as a whole.
        if operations.len() > max_operations {
            return Err(ErrorKind::TooLarge.with(format!(
                "the request has {} operations, the limit is {max_operations} (maxOperations): send several requests",
                operations.len()
            )));
        }
        let bulk = Self {
            fail_on_errors: fail_on_errors(body)?,
            operations: operations.iter().map(|operation| Operation::parse(operation, leeway)).collect(),
        };
        bulk.check_bulk_ids()?;
        Ok(bulk)
    }

    fn check_bulk_ids(&self) -> Result<()> {
        let mut creators = HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            // Of any method: a client that reuses an id cannot tell the two answers apart.
            if let Some(bulk_id) = operation.bulk_id.as_deref()
                && let Some(first) = creators.insert(bulk_id, index)
            {
                return Err(ErrorKind::InvalidValue.with(format!(
                    "the bulkId {} cannot be used twice, by the operations {} and {}: give each its own",
                    excerpt(bulk_id),
                    first + 1,
                    index + 1
                )));
            }
        }
        Ok(())
    }

    /// Returns by `bulkId` the operation that creates the resource it stands for.
    pub fn creators(&self) -> HashMap<&str, usize> {
        self.operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| operation.creates())
            .filter_map(|(index, operation)| Some((operation.bulk_id.as_deref()?, index)))
            .collect()
    }
}

fn fail_on_errors(body: &Value) -> Result<Option<usize>> {
    let limit = match member(body, "failOnErrors") {
        None | Some(Value::Null) => return Ok(None),
        Some(limit) => limit.as_u64().and_then(|limit| usize::try_from(limit).ok()),
    };
    // 0 is no limit that s3.7 knows, and would begin nothing.
    match limit.filter(|limit| *limit > 0) {
        None => Err(ErrorKind::InvalidValue.with("failOnErrors must be an integer of at least 1")),
        limit => Ok(limit),
    }
}

impl Operation {
    fn parse(operation: &Value, leeway: Leeway<'_>) -> Self {
        let text = |name| member(operation, name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let bulk_id = text("bulkId").map(str::to_owned);
        let request = || {
            let method = text("method")
                .and_then(|method| Method::parse(method, leeway))
                .ok_or_else(|| ErrorKind::InvalidSyntax.with("method must be POST, PUT, PATCH or DELETE"))?;
            let path = text("path").ok_or_else(|| {
                ErrorKind::InvalidSyntax
                    .with("path must name an endpoint, such as /Users, or a resource below one")
            })?;
            let is_named = method != Method::Post || bulk_id.is_some();
            if !is_named && !leeway.tolerates(Tolerance::BulkIdMissing) {
                return Err(ErrorKind::InvalidSyntax.with("a POST must have a bulkId"));
            }
            let data = match (method, member(operation, "data")) {
                (Method::Delete, _) => Value::Null,
                (_, Some(data)) => data.clone(),
                (_, None) => return Err(ErrorKind::InvalidSyntax.with(format!("{method} must have data"))),
            };
            let version = match member(operation, "version") {
                // RFC 7643 s2.5: null is the same as no value.
                None | Some(Value::Null) => None,
                Some(Value::String(version)) if !version.trim().is_empty() => Some(version.clone()),
                // Ignored, it would make the operation unconditional.
                Some(_) => {
                    return Err(ErrorKind::InvalidValue.with(
                        "version must be a string that is not empty: send the version of the resource, \
                         such as W/\"1\", or omit it",
                    ));
                }
            };
            Ok(SubRequest { method, path: path.to_owned(), version, data })
        };
        Self { method: member(operation, "method").cloned().unwrap_or_default(), request: request(), bulk_id }
    }

    pub fn creates(&self) -> bool {
        self.request.as_ref().is_ok_and(|request| request.method == Method::Post)
    }

    /// Returns the element of the answer for this operation.
    pub fn answer(&self, outcome: Outcome) -> Value {
        let mut answer = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            answer.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("location", outcome.location.map(Value::from));
        put("method", Some(&self.method).filter(|method| !method.is_null()).cloned());
        put("bulkId", self.bulk_id.as_deref().map(Value::from));
        put("version", outcome.version.map(Value::from));
        // A string, as in the examples of s3.7. The `{"code": ...}` of one of them is an erratum.
        put("status", Some(outcome.status.to_string().into()));
        put("response", outcome.response);
        Value::Object(answer)
    }
}

impl SubRequest {
    /// Replaces each `bulkId` by the permanent id of its resource.
    pub fn resolved(self, mut id_of: impl FnMut(&str) -> Result<String>) -> Result<Self> {
        let mut failed = None;
        let mut name = |bulk_id: &str| match id_of(bulk_id) {
            Ok(id) => Some(id),
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        };
        let path = bulk_id::rewrite_text(&self.path, false, &mut name).unwrap_or(self.path);
        let data = bulk_id::rewrite(self.data, &mut name);
        match failed {
            Some(error) => Err(error),
            None => Ok(Self { path, data, ..self }),
        }
    }
}

impl Outcome {
    pub fn failed(error: &Error, location: Option<String>) -> Self {
        Self { status: error.kind.status(), location, version: None, response: Some(error.body()) }
    }
}

impl Method {
    fn parse(text: &str, leeway: Leeway<'_>) -> Option<Self> {
        let all = [Self::Post, Self::Put, Self::Patch, Self::Delete];
        let method = all.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text))?;
        (method.as_str() == text || leeway.tolerates(Tolerance::MethodInAnyCase)).then_some(method)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub fn response(operations: &[Value]) -> Value {
    json!({ "schemas": [RESPONSE], "Operations": operations })
}
