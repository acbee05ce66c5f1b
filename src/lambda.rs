//! The events of the function: API Gateway's REST API (payload 1.0) and HTTP API (payload
//! 2.0), and the schedule of cleanup jobs.
//!
//! `lambda_http` has a conversion of its own, which panics on a path, query,
//! `Host` or body that is not well formed. All of these come from clients, and
//! a panic ends the sandbox, so an event is taken apart here instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayProxyResponse, ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
};
use serde::{Deserialize, Serialize};

use crate::store::Swept;

/// An event of any kind. The order matters: an event that is no schedule, and no REST event
/// because it lacks `httpMethod`, is parsed as an HTTP event.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    Schedule(Schedule),
    Rest(Box<ApiGatewayProxyRequest>),
    Http(Box<ApiGatewayV2httpRequest>),
}

/// An event that `EventBridge` sends by a rule or by its scheduler. Its other members do
/// not matter.
#[derive(Debug, Deserialize)]
pub struct Schedule {
    #[serde(rename = "detail-type")]
    _detail_type: Scheduled,
}

#[derive(Debug, Deserialize)]
enum Scheduled {
    #[serde(rename = "Scheduled Event")]
    Event,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    Swept(Swept),
    Rest(ApiGatewayProxyResponse),
    Http(ApiGatewayV2httpResponse),
}

/// The content of both kinds of event, and all that the rest of the program sees.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// The path that the client sent, with the stage and percent-encoding.
    pub path: String,
    pub stage: Option<String>,
    /// The host that API Gateway answered for.
    pub domain: Option<String>,
    /// The parameters in the order given, decoded once.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Payload,
    /// True if an answer may be binary. A REST API sends binary as base64 text unless its
    /// binary media types are configured; it can compress by itself
    /// (`MinimumCompressionSize`).
    pub takes_binary: bool,
    /// The id that API Gateway assigned, to find the request in its access log.
    pub request_id: String,
}

#[derive(Debug)]
pub enum Payload {
    Bytes(Vec<u8>),
    /// A parsed part of another body: an operation of a bulk request.
    Json(serde_json::Value),
    /// A body that the event declares as base64 but that is not.
    NotBase64,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    None,
    Text(String),
    Binary(Vec<u8>),
}

/// A function that converts an answer to the form that API Gateway expects.
pub type Replier = fn(Response) -> Reply;

impl Event {
    /// Returns the request and the converter of its answer, or `None` for an event without a
    /// waiting client.
    pub fn into_request(self) -> Option<(Request, Replier)> {
        match self {
            Self::Schedule(_) => None,
            Self::Rest(event) => Some((Request::from_rest(*event), Response::into_rest)),
            Self::Http(event) => Some((Request::from_http(*event), Response::into_http)),
        }
    }
}

impl Request {
    /// Returns the values of a parameter, joined by commas if it is repeated.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .query
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        // Joined: repeated lists of attributes add up, and a repeated filter is a syntax error
        // instead of being ignored in part.
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Returns every value of a header that is visible ASCII.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    fn from_rest(event: ApiGatewayProxyRequest) -> Self {
        let context = event.request_context;
        // The map of single values has only the last of a repeated name.
        let query = if event.multi_value_query_string_parameters.is_empty() {
            event.query_string_parameters
        } else {
            event.multi_value_query_string_parameters
        };
        let headers =
            if event.multi_value_headers.is_empty() { event.headers } else { event.multi_value_headers };
        Self {
            method: event.http_method,
            // The path of the context carries the stage or the base path of a
            // custom domain, as the client's URL does; `path` does not. SAM CLI has the
            // route of the template there instead.
            path: context
                .path
                .filter(|path| Some(path) != event.resource.as_ref())
                .or(event.path)
                .unwrap_or_default(),
            stage: context.stage,
            domain: context.domain_name,
            // API Gateway has decoded these. Decoded again, a `+` in a value would be a space.
            query: query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers,
            body: payload(event.body, event.is_base64_encoded),
            takes_binary: false,
            request_id: context.request_id.unwrap_or_default(),
        }
    }

    fn from_http(event: ApiGatewayV2httpRequest) -> Self {
        let context = event.request_context;
        // `queryStringParameters` joins repeated names with commas, which cannot be
        // distinguished from commas in values.
        let query = event.raw_query_string.unwrap_or_default();
        Self {
            method: context.http.method,
            path: event.raw_path.or(context.http.path).unwrap_or_default(),
            stage: context.stage,
            domain: context.domain_name,
            // As a form: Entra ID sends spaces as `+`.
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: event.headers,
            body: payload(event.body, event.is_base64_encoded),
            takes_binary: true,
            request_id: context.request_id.unwrap_or_default(),
        }
    }
}

fn payload(body: Option<String>, is_base64: bool) -> Payload {
    let body = body.unwrap_or_default();
    if !is_base64 {
        return Payload::Bytes(body.into_bytes());
    }
    STANDARD.decode(body).map_or(Payload::NotBase64, Payload::Bytes)
}

impl Response {
    pub fn header(&self, name: &HeaderName) -> Option<String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn header_map(&self) -> HeaderMap {
        // A value that HTTP cannot carry is dropped: the change may have been applied already,
        // so the answer must not fail.
        self.headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_str(value).ok()?)))
            .collect()
    }

    fn into_rest(self) -> Reply {
        let mut reply = ApiGatewayProxyResponse::default();
        reply.status_code = self.status.into();
        reply.headers = self.header_map();
        (reply.body, reply.is_base64_encoded) = self.body.into_event();
        Reply::Rest(reply)
    }

    fn into_http(self) -> Reply {
        let mut reply = ApiGatewayV2httpResponse::default();
        reply.status_code = self.status.into();
        reply.headers = self.header_map();
        (reply.body, reply.is_base64_encoded) = self.body.into_event();
        Reply::Http(reply)
    }
}

impl Body {
    /// Returns the bytes that the body takes in the event that carries the answer.
    pub fn event_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            // The body is a JSON string in the event: each of these takes one more backslash.
            Self::Text(text) => text.len() + text.bytes().filter(|byte| b"\"\\".contains(byte)).count(),
            Self::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }

    /// Returns the body and whether API Gateway must decode it: binary is base64 in the event.
    fn into_event(self) -> (Option<lambda_http::Body>, bool) {
        match self {
            Self::None => (None, false),
            Self::Text(text) => (Some(lambda_http::Body::Text(text)), false),
            Self::Binary(bytes) => (Some(lambda_http::Body::Binary(bytes)), true),
        }
    }
}
