//! Versions and preconditions (RFC 7644 s3.14, RFC 9110 s13).
//!
//! A version is a number that grows by one with every change. On the wire it
//! is the weak entity tag `W/"n"`, in `ETag` and in `meta.version` alike. A
//! precondition never compares and then writes: it becomes part of the
//! condition of the DynamoDB write itself.

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

/// What a client demands of the resource that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No header, or `*`: the resource has to exist, nothing more.
    Exists,
    /// One of these versions. A tag that we never gave out matches nothing, so
    /// the list can be empty.
    OneOf(Vec<Version>),
}

impl Precondition {
    /// `values` are the values of every `If-Match` header of the request.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut versions = None;
        for tag in values.into_iter().flat_map(tags) {
            if tag == "*" {
                return Self::Exists;
            }
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

/// Whether an `If-None-Match` names this version, so that the answer is 304.
pub fn is_known<'a>(values: impl IntoIterator<Item = &'a str>, current: Version) -> bool {
    values.into_iter().flat_map(tags).any(|tag| tag == "*" || version(tag) == Some(current))
}

/// Our tags hold digits only, so a comma always separates.
fn tags(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim).filter(|tag| !tag.is_empty())
}

/// `W/"n"` or `"n"`. Weak comparison (RFC 9110 s8.8.3.2): RFC 7644 s3.14 sends
/// weak tags in `If-Match`.
fn version(tag: &str) -> Option<Version> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = opaque.strip_prefix('"')?.strip_suffix('"')?;
    // `parse` would also take `+1` and `01`, which we never gave out.
    let number = digits.parse::<u64>().ok()?;
    (number.to_string() == digits).then_some(Version(number))
}
