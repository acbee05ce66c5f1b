//! Versions and preconditions (RFC 7644 s3.14, RFC 9110 s13).
//!
//! A version is a number that grows by one with every change. On the wire it is the
//! weak entity tag `W/"n"`, in `ETag` and in `meta.version` alike. A precondition is
//! never compared before a write: it becomes part of the condition of the write itself,
//! so that no other writer can come between the two.
//!
//! An answer may show more of a resource than its version covers: the groups of a user
//! change without the user. The tag of such an answer is `W/"n-<digest>"`. A reader
//! compares all of it, because a validator must change with what is shown (RFC 9110
//! s8.8.1); a writer compares the version, which is what a write can change.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::scim::error::{ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    pub const FIRST: Self = Self(1);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The digest of what an answer shows of a resource and its version does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derived([u8; 8]);

impl Derived {
    /// Adds texts, in their order, to what a digest covers.
    #[must_use]
    pub fn cover<'a>(covered: Option<Self>, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        hash.update(covered.map(|Self(bytes)| bytes).unwrap_or_default());
        for text in texts {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        let digest = <[u8; 32]>::from(hash.finalize());
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// The entity tag of a resource as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag {
    pub version: Version,
    pub derived: Option<Derived>,
}

impl Etag {
    /// Reads `W/"n"`, `"n"` and both with a digest.
    fn parse(tag: &str) -> Option<Self> {
        // Weak comparison (RFC 9110 s8.8.3.2) in both headers, although s13.1.1 requires the
        // strong one for `If-Match`, where a weak tag never matches: all our tags are weak, and
        // the examples of RFC 7644 s3.14 send them there.
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        let opaque = opaque.strip_prefix('"')?.strip_suffix('"')?;
        let (digits, digest) = opaque.split_once('-').map_or((opaque, None), |(a, b)| (a, Some(b)));
        let derived = match digest {
            Some(digest) => Some(Derived(u64::from_str_radix(digest, 16).ok()?.to_be_bytes())),
            None => None,
        };
        let tag = Self { version: Version(digits.parse().ok()?), derived };
        // `parse` would also take `+1`, `01` and capitals, which are none of our tags.
        (tag.opaque() == opaque).then_some(tag)
    }

    fn opaque(&self) -> String {
        let Version(number) = self.version;
        match self.derived {
            Some(Derived(bytes)) => format!("{number}-{:016x}", u64::from_be_bytes(bytes)),
            None => number.to_string(),
        }
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{}\"", self.opaque())
    }
}

/// The versions of an existing resource that a request accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No header, or `If-Match: *`.
    Exists,
    /// Any of these versions. The list is empty if the client named none of our tags, or
    /// sent `If-None-Match: *`.
    OneOf(Vec<Version>),
    /// Any but these versions, of which there is one or more.
    NoneOf(Vec<Version>),
}

impl Precondition {
    /// Reads the values of every `If-Match` and `If-None-Match` header of the request.
    pub fn parse<'a>(
        if_match: impl IntoIterator<Item = &'a str>,
        if_none_match: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let wanted = Named::parse("If-Match", if_match)?;
        let unwanted = Named::parse("If-None-Match", if_none_match)?;
        Ok(match (wanted, unwanted) {
            // RFC 9110 s13.1.2: `*` is false for a resource that exists, and without one the
            // answer is 404 before any precondition is looked at (s13.2.1).
            (_, Some(Named::Any)) => Self::OneOf(Vec::new()),
            (Some(Named::These(wanted)), None) => Self::OneOf(wanted),
            (Some(Named::These(mut wanted)), Some(Named::These(unwanted))) => {
                wanted.retain(|version| !unwanted.contains(version));
                Self::OneOf(wanted)
            }
            (None | Some(Named::Any), Some(Named::These(unwanted))) if !unwanted.is_empty() => {
                Self::NoneOf(unwanted)
            }
            (None | Some(Named::Any), None | Some(Named::These(_))) => Self::Exists,
        })
    }

    pub fn holds(&self, version: Version) -> bool {
        match self {
            Self::Exists => true,
            Self::OneOf(versions) => versions.contains(&version),
            Self::NoneOf(versions) => !versions.contains(&version),
        }
    }
}

/// The versions that a header names.
enum Named {
    Any,
    These(Vec<Version>),
}

impl Named {
    /// Returns `None` without a header.
    fn parse<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>> {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(None);
        }
        let tags: Vec<&str> = values.flat_map(tags).collect();
        if tags.is_empty() {
            // Ignored, it would turn a conditional request into an unconditional one.
            return Err(ErrorKind::InvalidValue.with(format!(
                "{name} must not be empty: send a version, such as W/\"1\", or *, or omit the header"
            )));
        }
        if tags.contains(&"*") {
            return Ok(Some(Self::Any));
        }
        // A tag that is none of ours matches no version.
        Ok(Some(Self::These(tags.into_iter().filter_map(Etag::parse).map(|tag| tag.version).collect())))
    }
}

/// Returns true if an `If-None-Match` names this tag, so that the answer is 304.
pub fn is_known<'a>(values: impl IntoIterator<Item = &'a str>, current: Etag) -> bool {
    values.into_iter().flat_map(tags).any(|tag| tag == "*" || Etag::parse(tag) == Some(current))
}

fn tags(header: &str) -> impl Iterator<Item = &str> {
    // RFC 9110 allows a comma within a tag, but ours have none.
    header.split(',').map(str::trim).filter(|tag| !tag.is_empty())
}
