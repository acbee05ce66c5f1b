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
        if matches!(self.body, Body::None) {
            return self;
        }
        let accepted: Vec<String> =
            request.header("accept").flat_map(|value| value.split(',')).map(media_type).collect();
        let takes = |wanted: &str| accepted.iter().any(|accepted| accepted == wanted);
        let plain = takes("application/json") && ![SCIM_JSON, "*/*", "application/*"].into_iter().any(takes);
        let media_type = if plain { "application/json" } else { SCIM_JSON };
        let response = self.typed(media_type);
        let response = if request.takes_binary && takes_gzip(request) { response.packed() } else { response };
        if response.body.event_bytes() <= MAX_EVENT_BYTES {
            return response;
        }
        // The change is applied, so the answer must be a success even without a body.
        if [Method::PUT, Method::PATCH].contains(&request.method) || response.status == 201 {
            let status = if response.status == 201 { 201 } else { 204 };
            return Self { body: Body::None, status, ..response };
        }
        ErrorKind::TooMany
            .with(
                "the answer would be larger than the 6 MB that can be sent: use excludedAttributes=members, \
                 ask for fewer resources, or accept gzip",
            )
            .into()
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
            return self
                .with(header::CONTENT_ENCODING, "gzip".to_owned())
                .with(header::VARY, "Accept-Encoding".to_owned());
        }
        self
    }
}

/// Returns true if the client accepts gzip (RFC 9110 s12.5.3); `gzip;q=0` refuses it.
fn takes_gzip(request: &Request) -> bool {
    request.header("accept-encoding").flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
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
