//! An answer as a client sees it.

use std::fmt;
use std::io::Read;

use scim_lambda::lambda::Reply;
use serde_json::Value;

/// An answer with its body in bytes.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer with its body decompressed and parsed. It displays as `<status> <ETag or -> <body>`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self}"))
    }

    /// Returns one attribute of each resource of a list, separated by spaces.
    pub(crate) fn list(&self, attribute: &str) -> String {
        let resources = self.body["Resources"].as_array().unwrap_or_else(|| panic!("no list: {self}"));
        let values: Vec<&str> = resources.iter().map(|one| one[attribute].as_str().unwrap_or("-")).collect();
        values.join(" ")
    }

    /// Returns the path of the resource in the answer.
    pub(crate) fn path(&self) -> String {
        let kind = self.body["meta"]["resourceType"].as_str().unwrap_or("User");
        format!("/{kind}s/{}", self.id())
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl From<Reply> for RawAnswer {
    fn from(reply: Reply) -> Self {
        let (status, headers, body) = match reply {
            Reply::Swept(_) => panic!("a request was taken for a schedule"),
            Reply::Rest(reply) => (reply.status_code, reply.headers, reply.body),
            Reply::Http(reply) => (reply.status_code, reply.headers, reply.body),
        };
        let bytes = body.map(|body| body.to_vec()).unwrap_or_default();
        // So every test of the wire looks at every answer: errors, 304, 405 and OPTIONS, too.
        assert_eq!(
            (&headers["cache-control"], &headers["x-content-type-options"]),
            (&"no-store".parse().unwrap(), &"nosniff".parse().unwrap())
        );
        Self { status: u16::try_from(status).unwrap(), headers, bytes }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let RawAnswer { status, headers, mut bytes } = RawAnswer::from(reply);
        if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
            bytes = unpacked;
        }
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Self { status, headers, body }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.header("etag").unwrap_or("-"))?;
        if self.body.is_null() { Ok(()) } else { write!(f, " {}", self.body) }
    }
}

/// Returns the ids of the members of a group in an answer.
pub(crate) fn members(group: &Answer) -> Vec<String> {
    let members = group.body["members"].as_array().map_or(&[][..], Vec::as_slice);
    members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}
