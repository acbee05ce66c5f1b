//! The routes of the endpoint: from method and path to a [`Route`] (RFC 7644 s3.2).

use std::fmt;
use std::sync::Arc;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::config::Config;
use crate::lambda::Request;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::registry::Registry;
use crate::scim::schema::ResourceType;

/// The operation that a request asks for.
#[derive(Debug, PartialEq)]
pub enum Route {
    Create(Arc<ResourceType>),
    List(Arc<ResourceType>),
    /// A list of every type, at the base itself (s3.4.2.1).
    ListAll,
    /// A list with the query in the body (s3.4.3).
    Search(Arc<ResourceType>),
    SearchAll,
    Get(Arc<ResourceType>, String),
    Replace(Arc<ResourceType>, String),
    Patch(Arc<ResourceType>, String),
    Delete(Arc<ResourceType>, String),
    Bulk,
    /// The resource of the user that the token is bound to (s3.11).
    Me,
    /// The methods of an endpoint (RFC 9110 s9.3.7).
    Options {
        allow: &'static str,
    },
    ServiceProviderConfig,
    ResourceTypes,
    ResourceType(String),
    Schemas,
    Schema(String),
}

/// A path, split at the base of the endpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Location {
    /// The path up to the base, as the client wrote it, without a slash at its end.
    pub prefix: String,
    /// The segments after the base, each decoded once.
    pub segments: Vec<String>,
}

impl Location {
    /// Splits a path behind `/scim/v2`, or else behind the stage of the API.
    pub fn parse(path: &str, stage: Option<&str>) -> Self {
        let raw: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let is = |index: usize, name: &str| {
            raw.get(index).is_some_and(|segment| segment.eq_ignore_ascii_case(name))
        };
        // The first occurrence: what follows the base is the client's text.
        let base = (0..raw.len()).find(|&index| is(index, "scim") && is(index + 1, "v2"));
        let depth = match base {
            Some(index) => index + 2,
            // The function is mounted at the root of an API, whose path may begin with a stage.
            None => usize::from(stage.is_some_and(|stage| is(0, stage))),
        };
        let (prefix, rest) = raw.split_at_checked(depth).unwrap_or((&raw, &[]));
        Self {
            prefix: prefix.iter().flat_map(|segment| ["/", segment]).collect(),
            // Split before decoding: an encoded slash is part of a value.
            segments: rest
                .iter()
                .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
                .collect(),
        }
    }

    /// Returns the segment before `/scim/v2`: the tenant, if each has a path of its own.
    pub fn tenant(&self) -> Option<&str> {
        let mut backwards = self.prefix.rsplit('/');
        let is = |segment: Option<&str>, name| segment.is_some_and(|text| text.eq_ignore_ascii_case(name));
        let is_base = is(backwards.next(), "v2") && is(backwards.next(), "scim");
        backwards.next().filter(|_| is_base)
    }
}

impl Route {
    /// Finds the route of a request. A HEAD must be given as a GET.
    pub fn parse(method: &Method, location: &Location, registry: &Registry) -> Result<Self> {
        match Self::find(method, location, registry) {
            // No endpoint has OPTIONS, so each refuses it, and the refusal has the methods.
            Err(Error { kind: ErrorKind::MethodNotAllowed { allow }, .. }) if method == Method::OPTIONS => {
                Ok(Self::Options { allow })
            }
            found => found,
        }
    }

    fn find(method: &Method, location: &Location, registry: &Registry) -> Result<Self> {
        let segments: Vec<&str> = location.segments.iter().map(String::as_str).collect();
        let is = |name: &str, expected: &str| name.eq_ignore_ascii_case(expected);
        match segments.as_slice() {
            [name] if is(name, "ServiceProviderConfig") => only_get(method, Self::ServiceProviderConfig),
            [name] if is(name, "ResourceTypes") => only_get(method, Self::ResourceTypes),
            [name, id] if is(name, "ResourceTypes") => only_get(method, Self::ResourceType((*id).to_owned())),
            [name] if is(name, "Schemas") => only_get(method, Self::Schemas),
            [name, id] if is(name, "Schemas") => only_get(method, Self::Schema((*id).to_owned())),
            [name] if is(name, "Bulk") => only_post(method, Self::Bulk),
            [name] if is(name, "Me") && method == Method::OPTIONS => Err(not_allowed(method, OF_A_RESOURCE)),
            [name] if is(name, "Me") => Ok(Self::Me),
            [] => only_get(method, Self::ListAll),
            [name] if is(name, ".search") => only_post(method, Self::SearchAll),
            [endpoint, name] if is(name, ".search") => match registry.at(endpoint) {
                None => Err(no_such_endpoint(location)),
                Some(kind) => only_post(method, Self::Search(Arc::clone(kind))),
            },
            [endpoint] => match (registry.at(endpoint), method) {
                (None, _) => Err(no_such_endpoint(location)),
                (Some(kind), &Method::GET) => Ok(Self::List(Arc::clone(kind))),
                (Some(kind), _) if kind.is_declared => Err(not_allowed(method, ONLY_READ)),
                (Some(kind), &Method::POST) => Ok(Self::Create(Arc::clone(kind))),
                (Some(_), _) => Err(not_allowed(method, "GET, HEAD, POST, OPTIONS")),
            },
            [endpoint, id] => match registry.at(endpoint) {
                None => Err(no_such_endpoint(location)),
                Some(kind) => Self::of_resource(method, kind, id),
            },
            _ => Err(no_such_endpoint(location)),
        }
    }

    /// Returns true if a request with this method may change the directory.
    pub fn writes(&self, method: &Method) -> bool {
        match self {
            Self::Create(_) | Self::Replace(..) | Self::Patch(..) | Self::Delete(..) | Self::Bulk => true,
            Self::Me => *method != Method::GET,
            _ => false,
        }
    }

    pub fn of_resource(method: &Method, kind: &Arc<ResourceType>, id: &str) -> Result<Self> {
        let (kind, id) = (Arc::clone(kind), id.to_owned());
        match *method {
            Method::GET => Ok(Self::Get(kind, id)),
            _ if kind.is_declared => Err(not_allowed(method, ONLY_READ)),
            Method::PUT => Ok(Self::Replace(kind, id)),
            Method::PATCH => Ok(Self::Patch(kind, id)),
            Method::DELETE => Ok(Self::Delete(kind, id)),
            _ => Err(not_allowed(method, OF_A_RESOURCE)),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without ids: metrics are grouped by this text, and each id would be a group.
        match self {
            Self::Create(kind) => write!(f, "POST /{}", kind.endpoint),
            Self::List(kind) => write!(f, "GET /{}", kind.endpoint),
            Self::ListAll => f.write_str("GET /"),
            Self::Search(kind) => write!(f, "POST /{}/.search", kind.endpoint),
            Self::SearchAll => f.write_str("POST /.search"),
            Self::Get(kind, _) => write!(f, "GET /{}/{{id}}", kind.endpoint),
            Self::Replace(kind, _) => write!(f, "PUT /{}/{{id}}", kind.endpoint),
            Self::Patch(kind, _) => write!(f, "PATCH /{}/{{id}}", kind.endpoint),
            Self::Delete(kind, _) => write!(f, "DELETE /{}/{{id}}", kind.endpoint),
            Self::Bulk => f.write_str("POST /Bulk"),
            Self::Me => f.write_str("/Me"),
            Self::Options { .. } => f.write_str("OPTIONS"),
            Self::ServiceProviderConfig => f.write_str("GET /ServiceProviderConfig"),
            Self::ResourceTypes | Self::ResourceType(_) => f.write_str("GET /ResourceTypes"),
            Self::Schemas | Self::Schema(_) => f.write_str("GET /Schemas"),
        }
    }
}

const OF_A_RESOURCE: &str = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
const ONLY_READ: &str = "GET, HEAD, OPTIONS";

fn only_get(method: &Method, route: Route) -> Result<Route> {
    if method == Method::GET { Ok(route) } else { Err(not_allowed(method, ONLY_READ)) }
}

fn only_post(method: &Method, route: Route) -> Result<Route> {
    if method == Method::POST { Ok(route) } else { Err(not_allowed(method, "POST, OPTIONS")) }
}

fn not_allowed(method: &Method, allow: &'static str) -> Error {
    ErrorKind::MethodNotAllowed { allow }.with(format!("{method} is not allowed here: use {allow}"))
}

fn no_such_endpoint(location: &Location) -> Error {
    ErrorKind::NotFound.with(format!(
        "endpoint /{} not found: check the base URL, which ends in {}",
        location.segments.join("/"),
        if location.prefix.is_empty() { "/scim/v2" } else { &location.prefix }
    ))
}

/// Returns the URL under which the client sees the base of the endpoint.
pub fn base_url(config: &Config, request: &Request, location: &Location, tenant: &str) -> String {
    if let Some(base) = &config.base_url {
        return base.trim_end_matches('/').replace("{tenant}", tenant);
    }
    let first = |name| {
        let value = request.header(name).next()?.split(',').next()?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    // Any client can send forwarded headers, unless a proxy in front of the API sets them.
    let forwarded = |name| first(name).filter(|_| config.forwarded_headers);
    // `Host` without a proxy is for requests that no API Gateway has received.
    let host = [forwarded("x-forwarded-host"), forwarded("host"), request.domain.clone(), first("host")]
        .into_iter()
        .flatten()
        // Only a valid host may become part of a link.
        .find(|host| host.parse::<http::uri::Authority>().is_ok() && !host.contains('@'))
        .unwrap_or_else(|| "localhost".to_owned());
    let scheme = forwarded("x-forwarded-proto").filter(|scheme| scheme == "http");
    format!("{}://{host}{}", scheme.as_deref().unwrap_or("https"), location.prefix)
}
