//! The events of the function: API Gateway's REST API (payload 1.0) and HTTP API (payload
//! 2.0), and the schedule of cleanup jobs.
//!
//! `lambda_http` has a conversion of its own, which panics on a path, query,
//! `Host` or body that is not well formed. All of these come from clients, and
//! a panic ends the sandbox, so an event is taken apart here instead (`event`).

mod event;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayV2httpResponse};
use serde::{Deserialize, Deserializer, Serialize};

use self::event::{Fields, Pairs, Text};
use crate::store::Swept;

/// An event of any kind.
#[derive(Debug)]
pub enum Event {
    /// An event that `EventBridge` sends by a rule or by its scheduler.
    Schedule,
    /// A request, and the converter of its answer.
    Request(Box<Request>, Replier),
    /// An event of another service, or a test event.
    Unknown,
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
    /// The address of the client, as API Gateway saw it.
    pub source_ip: Option<String>,
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
    /// A body that cannot be read, and the reason.
    Unreadable(&'static str),
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

/// An answer has personal data, which no cache may keep, or an error. It is JSON, which no
/// browser may take for a page (RFC 9111 s5.2.2.5, Fetch Standard s3.6).
pub const ON_EVERY_ANSWER: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// A function that converts an answer to the form that API Gateway expects.
pub type Replier = fn(Response) -> Reply;

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self::from)
    }
}

impl From<Fields> for Event {
    fn from(mut fields: Fields) -> Self {
        if fields.detail_type.0.as_deref() == Some("Scheduled Event") {
            return Self::Schedule;
        }
        // Load balancers send `httpMethod` too, but percent-encoded parameters, and want an answer
        // of another form.
        if fields.context.is_load_balancer {
            return Self::Unknown;
        }
        let (method, is_rest) = match fields.http_method.0.take() {
            Some(method) => (Some(method), true),
            None => (fields.context.http.method.0.take(), false),
        };
        match method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()) {
            Some(method) if is_rest => {
                Self::Request(Box::new(Request::from_rest(method, fields)), Response::into_rest)
            }
            Some(method) => Self::Request(Box::new(Request::from_http(method, fields)), Response::into_http),
            None => Self::Unknown,
        }
    }
}

impl Request {
    /// Returns the values of a parameter, joined by commas if it is repeated.
    pub fn parameter(&self, name: &str) -> Option<String> {
        // Joined: repeated lists of attributes add up.
        let values: Vec<&str> = self.parameters(name).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Returns every value of a parameter.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.query.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Returns every value of a header that is visible ASCII.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    fn from_rest(method: Method, event: Fields) -> Self {
        let context = event.context;
        // The maps of single values have only the last of a repeated name.
        let all = |many: Pairs, single: Pairs| if many.0.is_empty() { single } else { many };
        Self {
            method,
            // The path of the context carries the stage or the base path of a
            // custom domain, as the client's URL does; `path` does not. SAM CLI has the
            // route of the template there instead.
            path: context
                .path
                .0
                .filter(|path| Some(path) != event.resource.0.as_ref())
                .or(event.path.0)
                .unwrap_or_default(),
            stage: context.stage.0,
            domain: context.domain_name.0,
            source_ip: context.identity.source_ip.0,
            // API Gateway has decoded these. Decoded again, a `+` in a value would be a space.
            query: all(event.multi_value_query, event.query).0,
            headers: headers(all(event.multi_value_headers, event.headers)),
            body: payload(event.body, &event.is_base64_encoded),
            takes_binary: false,
            request_id: context.request_id.0.unwrap_or_default(),
        }
    }

    fn from_http(method: Method, event: Fields) -> Self {
        let context = event.context;
        // `queryStringParameters` joins repeated names with commas, which cannot be
        // distinguished from commas in values.
        let query = event.raw_query_string.0.unwrap_or_default();
        Self {
            method,
            path: event.raw_path.0.or(context.http.path.0).unwrap_or_default(),
            stage: context.stage.0,
            domain: context.domain_name.0,
            source_ip: context.http.source_ip.0,
            // As a form: Entra ID sends spaces as `+`.
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: headers(event.headers),
            body: payload(event.body, &event.is_base64_encoded),
            takes_binary: true,
            request_id: context.request_id.0.unwrap_or_default(),
        }
    }
}

fn headers(pairs: Pairs) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.0 {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""));
        // A map of headers has a limit, far beyond that of API Gateway.
        let _full = headers.try_append(name, value);
    }
    headers
}

fn payload(body: Option<Text>, is_base64: &Text) -> Payload {
    let body = match body {
        None => String::new(),
        Some(Text(Some(body))) => body,
        Some(Text(None)) => return Payload::Unreadable("the body of the event must be text"),
    };
    if is_base64.0.as_deref() != Some("true") {
        return Payload::Bytes(body.into_bytes());
    }
    STANDARD.decode(body).map_or(Payload::Unreadable("the body is not valid base64"), Payload::Bytes)
}

impl Response {
    pub fn header(&self, name: &HeaderName) -> Option<String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn header_map(&self) -> HeaderMap {
        // A value that HTTP cannot carry is dropped: the change may have been applied already,
        // so the answer must not fail.
        let own = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_str(value).ok()?)));
        own.chain(ON_EVERY_ANSWER.map(|(name, value)| (name, HeaderValue::from_static(value)))).collect()
    }

    pub fn into_rest(self) -> Reply {
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
