//! A bulk request and the answer to it (RFC 7644 s3.7).

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
    /// After so many errors nothing more is begun.
    pub fail_on_errors: Option<usize>,
    pub operations: Vec<Operation>,
}

/// One request within the request.
#[derive(Debug)]
pub struct Operation {
    /// As it was sent: the answer repeats it.
    pub method: Value,
    pub bulk_id: Option<String>,
    /// An operation that cannot be understood fails alone.
    pub asked: Result<Asked>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: Method,
    /// Below the base of the endpoint.
    pub path: String,
    /// What `If-Match` would say.
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

/// What has become of an operation.
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
            .ok_or_else(|| ErrorKind::InvalidSyntax.with("the body has to hold Operations, an array"))?;
        if operations.len() > max_operations {
            return Err(ErrorKind::TooLarge.with(format!(
                "the request has {} operations, which exceeds maxOperations ({max_operations}): send several requests",
                operations.len()
            )));
        }
        let fail_on_errors = match member(body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(limit) => Some(
                limit
                    .as_u64()
                    .and_then(|limit| usize::try_from(limit).ok())
                    .filter(|limit| *limit > 0)
                    .ok_or_else(|| {
                        ErrorKind::InvalidValue.with("failOnErrors has to be an integer from 1")
                    })?,
            ),
        };
        let mut creators = HashMap::new();
        let mut parsed = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let operation = Operation::parse(operation, leeway);
            if let Some(bulk_id) = &operation.bulk_id
                && let Some(first) = creators.insert(bulk_id.clone(), index)
            {
                return Err(ErrorKind::InvalidValue.with(format!(
                    "the bulkId {} is used by the operations {} and {}: give each its own",
                    excerpt(bulk_id),
                    first + 1,
                    index + 1
                )));
            }
            parsed.push(operation);
        }
        Ok(Self { fail_on_errors, operations: parsed })
    }

    /// Who creates what a `bulkId` stands for.
    pub fn creators(&self) -> HashMap<&str, usize> {
        self.operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| operation.creates())
            .filter_map(|(index, operation)| Some((operation.bulk_id.as_deref()?, index)))
            .collect()
    }
}

impl Operation {
    fn parse(operation: &Value, leeway: Leeway<'_>) -> Self {
        let text = |name| member(operation, name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let bulk_id = text("bulkId").map(str::to_owned);
        let asked = || {
            let method =
                text("method").and_then(|method| Method::parse(method, leeway)).ok_or_else(|| {
                    ErrorKind::InvalidSyntax.with("method has to be POST, PUT, PATCH or DELETE")
                })?;
            let path = text("path").ok_or_else(|| {
                ErrorKind::InvalidSyntax
                    .with("path has to name an endpoint, such as /Users, or a resource below one")
            })?;
            let is_named = method != Method::Post || bulk_id.is_some();
            if !is_named && !leeway.tolerates(Tolerance::BulkIdMissing) {
                return Err(ErrorKind::InvalidSyntax.with("a POST needs a bulkId"));
            }
            let data = match (method, member(operation, "data")) {
                (Method::Delete, _) => Value::Null,
                (_, Some(data)) => data.clone(),
                (_, None) => return Err(ErrorKind::InvalidSyntax.with(format!("{method} needs data"))),
            };
            Ok(Asked { method, path: path.to_owned(), version: text("version").map(str::to_owned), data })
        };
        Self { method: member(operation, "method").cloned().unwrap_or_default(), asked: asked(), bulk_id }
    }

    pub fn creates(&self) -> bool {
        self.asked.as_ref().is_ok_and(|asked| asked.method == Method::Post)
    }

    /// As an element of the answer.
    pub fn answer(&self, outcome: Outcome) -> Value {
        let mut answer = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            answer.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("location", outcome.location.map(Value::from));
        put("method", Some(self.method.clone()).filter(|method| !method.is_null()));
        put("bulkId", self.bulk_id.clone().map(Value::from));
        put("version", outcome.version.map(Value::from));
        put("status", Some(outcome.status.to_string().into()));
        put("response", outcome.response);
        Value::Object(answer)
    }
}

impl Asked {
    /// With permanent ids in the place of each `bulkId`.
    pub fn resolved(&self, mut id_of: impl FnMut(&str) -> Result<String>) -> Result<Self> {
        let mut failed = None;
        let mut name = |bulk_id: &str| match id_of(bulk_id) {
            Ok(id) => Some(id),
            Err(error) => {
                failed.get_or_insert(error);
                None
            }
        };
        let path = bulk_id::rewrite_text(&self.path, false, &mut name).unwrap_or_else(|| self.path.clone());
        let data = bulk_id::rewrite(&self.data, &mut name);
        match failed {
            Some(error) => Err(error),
            None => Ok(Self { path, data, ..self.clone() }),
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
