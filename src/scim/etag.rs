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
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        Self([a, b, c, d, e, f, g, h])
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
        // Weak comparison (RFC 9110 s8.8.3.2), although s13.1.1 requires the strong one for
        // `If-Match`: the examples of RFC 7644 s3.14 send weak tags there.
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
            versions.get_or_insert_with(Vec::new).extend(Etag::parse(tag).map(|tag| tag.version));
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

/// Returns true if an `If-None-Match` names this tag, so that the answer is 304.
pub fn is_known<'a>(values: impl IntoIterator<Item = &'a str>, current: Etag) -> bool {
    values.into_iter().flat_map(tags).any(|tag| tag == "*" || Etag::parse(tag) == Some(current))
}

fn tags(header: &str) -> impl Iterator<Item = &str> {
    // RFC 9110 allows a comma within a tag, but ours have none.
    header.split(',').map(str::trim).filter(|tag| !tag.is_empty())
}
