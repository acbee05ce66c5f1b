//! Answers as HTTP: status, media type, compression.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderName, Method, header};
use serde_json::Value;

use crate::lambda::{Body, Request, Response};
use crate::scim::error::{Error, ErrorKind};

pub(super) const SCIM_JSON: &str = "application/scim+json";

/// The largest body in an event. Lambda accepts 6 MB; the rest is for the headers.
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024 - 64 * 1024;

/// The size up to which a body costs less to send than to compress.
const MIN_PACKED: usize = 1024;

impl Response {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::None }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { body: Body::Text(body.to_string()), ..Self::empty(status) }
    }

    pub(super) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn typed(self, media_type: &str) -> Self {
        self.with(header::CONTENT_TYPE, media_type.to_owned())
    }

    /// Sets the media type (RFC 7644 s3.1) and compresses the body if the client accepts gzip.
    /// The type is scim+json, or json for a client that accepts only that.
    pub(super) fn negotiated(self, request: &Request) -> Self {
        // By the token the tenant is known, and by the user of a token `/Me`. A 304 has the
        // header too (RFC 9110 s15.4.5).
        let varies = if request.method == Method::GET {
            "Accept, Accept-Encoding, Authorization"
        } else {
            "Accept, Accept-Encoding, Authorization, Prefer"
        };
        let response = self.with(header::VARY, varies.to_owned());
        if matches!(response.body, Body::None) {
            return response;
        }
        let media_type = media_type_for(request);
        let response = response.typed(media_type);
        let response = if can_be_packed(request) { response.packed() } else { response };
        if response.body.event_bytes() <= MAX_EVENT_BYTES {
            return response;
        }
        // The change is applied, so the answer must be a success even without a body.
        if [Method::PUT, Method::PATCH].contains(&request.method) || response.status == 201 {
            let status = if response.status == 201 { 201 } else { 204 };
            return Self { body: Body::None, status, ..response };
        }
        let too_large = ErrorKind::TooMany.with(
            "the answer would be larger than the 6 MB that can be sent: use excludedAttributes=members, \
             ask for fewer resources, or accept gzip",
        );
        Self::from(too_large).typed(media_type).with(header::VARY, varies.to_owned())
    }

    /// Removes the body but keeps the headers of the answer to a GET (RFC 9110 s9.3.2).
    pub(super) fn without_body(mut self) -> Self {
        let length = match std::mem::replace(&mut self.body, Body::None) {
            Body::None => return self,
            Body::Text(text) => text.len(),
            Body::Binary(bytes) => bytes.len(),
        };
        self.with(header::CONTENT_LENGTH, length.to_string())
    }

    fn packed(mut self) -> Self {
        if let Body::Text(text) = &self.body
            && text.len() > MIN_PACKED
            && let Some(packed) = gzip(text)
        {
            self.body = Body::Binary(packed);
            return self.with(header::CONTENT_ENCODING, "gzip".to_owned());
        }
        self
    }
}

/// Returns the media type of an answer: the one that the client prefers, or else scim+json
/// (RFC 7644 s3.8). A client that accepts neither gets it too, as RFC 9110 s12.4.1 allows.
fn media_type_for(request: &Request) -> &'static str {
    let weigh = |wanted| weight(request, "accept", &[wanted, "application/*", "*/*"]).unwrap_or(0.0);
    if weigh("application/json") > weigh(SCIM_JSON) { "application/json" } else { SCIM_JSON }
}

/// Returns true if a large answer is compressed.
pub(super) fn can_be_packed(request: &Request) -> bool {
    request.takes_binary && takes_gzip(request)
}

/// Returns true if the client accepts gzip, and does not prefer the answer as it is (RFC
/// 9110 s12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let weigh = |codings: &[&str]| weight(request, "accept-encoding", codings);
    let gzip = weigh(&["gzip", "x-gzip", "*"]).unwrap_or(0.0);
    gzip > 0.0 && weigh(&["identity"]).is_none_or(|identity| identity <= gzip)
}

/// Returns the weight of the first of `names` that a header lists. The most specific name
/// decides, so it comes first (RFC 9110 s12.5.1).
fn weight(request: &Request, header: &str, names: &[&str]) -> Option<f32> {
    let listed: Vec<(String, f32)> = request
        .header(header)
        .flat_map(|value| value.split(','))
        .map(|range| {
            let (_, parameters) = range.split_once(';').unwrap_or((range, ""));
            // A weight that is none counts as none given.
            let weight = parameters.split(';').find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                let weight = value.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
                weight.filter(|_| name.trim().eq_ignore_ascii_case("q"))
            });
            (media_type(range), weight.unwrap_or(1.0))
        })
        .collect();
    names.iter().find_map(|name| {
        let weights = listed.iter().filter(|(listed, _)| listed == name).map(|(_, weight)| *weight);
        weights.reduce(f32::max)
    })
}

fn gzip(text: &str) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        let response = Self::json(error.kind.status(), &error.body());
        // RFC 9110 s15.5.2 requires the challenge with a 401, and s15.5.6 the methods with a 405.
        match error.kind {
            ErrorKind::Unauthorized { challenge } => {
                response.with(header::WWW_AUTHENTICATE, challenge.to_owned())
            }
            ErrorKind::MethodNotAllowed { allow } => response.with(header::ALLOW, allow.to_owned()),
            ErrorKind::Busy { retry_after } | ErrorKind::Unavailable { retry_after } => {
                response.with(header::RETRY_AFTER, retry_after.to_string())
            }
            _ => response,
        }
    }
}

/// Returns a media type in lower case, without parameters.
pub(super) fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
