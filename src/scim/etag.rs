//! Versions and preconditions (RFC 7644 s3.14, RFC 9110 s13).
//!
//! A version is a number that grows by one with every change. On the wire it is the
//! weak entity tag `W/"n"`, in `ETag` and in `meta.version` alike. A precondition is
//! never compared before a write: it becomes part of the condition of the write itself,
//! so that no other writer can come between the two.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    pub const FIRST: Self = Self(1);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{}\"", self.0)
    }
}

/// The versions of a resource that a request accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No header, or `*`: any version of an existing resource.
    Exists,
    /// Any of these versions. The list is empty if the client sent none of our tags.
    OneOf(Vec<Version>),
}

impl Precondition {
    /// Reads the values of every `If-Match` header of the request.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut versions = None;
        for tag in values.into_iter().flat_map(tags) {
            if tag == "*" {
                return Self::Exists;
            }
            // A tag that is none of ours makes a list, too. Ignored, it would turn a conditional
            // request into an unconditional one.
            versions.get_or_insert_with(Vec::new).extend(version(tag));
        }
        versions.map_or(Self::Exists, Self::OneOf)
    }

    pub fn holds(&self, version: Version) -> bool {
        match self {
            Self::Exists => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// Returns true if an `If-None-Match` names this version, so that the answer is 304.
pub fn is_known<'a>(values: impl IntoIterator<Item = &'a str>, current: Version) -> bool {
    values.into_iter().flat_map(tags).any(|tag| tag == "*" || version(tag) == Some(current))
}

fn tags(header: &str) -> impl Iterator<Item = &str> {
    // RFC 9110 allows a comma within a tag, but ours hold digits only.
    header.split(',').map(str::trim).filter(|tag| !tag.is_empty())
}

/// Reads `W/"n"` or `"n"`.
fn version(tag: &str) -> Option<Version> {
    // Weak comparison (RFC 9110 s8.8.3.2), although s13.1.1 requires the strong one for
    // `If-Match`: the examples of RFC 7644 s3.14 send weak tags there.
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = opaque.strip_prefix('"')?.strip_suffix('"')?;
    // `parse` would also take `+1` and `01`, which are none of our tags.
    let number = digits.parse::<u64>().ok()?;
    (number.to_string() == digits).then_some(Version(number))
}
