//! Attribute paths (RFC 7644 s3.4.2.2, s3.10), and the rules that filters and
//! PATCH paths share.
//!
//! A rule takes a text and returns what it read together with the rest of the
//! text. A position is therefore the length of what was consumed, and no rule
//! counts bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// `attrPath = [URI ":"] ATTRNAME *1subAttr`. Names are kept as sent; the schema
/// compares them without case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath {
    pub schema: Option<String>,
    pub attr: String,
    pub sub: Option<String>,
}

/// The place where a path or a filter left the grammar. Administrators read it in
/// the log of their identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Expected {
        what: Cow<'static, str>,
        at: usize,
        found: Option<String>,
    },
    /// A limit, as a sentence.
    Limit(Cow<'static, str>),
}

/// A [`ParseError`] before its position is known: `rest` is the unread text.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    what: Cow<'static, str>,
    rest: &'a str,
    is_limit: bool,
}

/// The result of a rule: a value and the rest of the text.
pub(crate) type Parsed<'a, T> = Result<(T, &'a str), Expected<'a>>;

impl FromStr for AttrPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (path, rest) = attr_path(text)?;
            end(rest).map(|()| path)
        };
        parse().map_err(|error| error.within(text))
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.attr)?;
        if let Some(sub) = &self.sub {
            write!(f, ".{sub}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::Limit(limit) => f.write_str(limit),
            Problem::Expected { what, at, found: Some(found) } => {
                write!(f, "expected {what} at byte {at}, found `{found}`")
            }
            Problem::Expected { what, at, found: None } => {
                write!(f, "expected {what} at byte {at}, found the end")
            }
        }
    }
}

impl std::error::Error for ParseError {}

impl<'a> Expected<'a> {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>, rest: &'a str) -> Self {
        Self { what: what.into(), rest, is_limit: false }
    }

    /// Makes the error of a text that is beyond a limit.
    pub(crate) fn limit(sentence: String) -> Self {
        Self { what: sentence.into(), rest: "", is_limit: true }
    }

    /// Adds the position, given the whole `text` that `rest` is the tail of.
    pub(crate) fn within(self, text: &str) -> ParseError {
        let Self { what, rest, is_limit } = self;
        ParseError(if is_limit {
            Problem::Limit(what)
        } else {
            Problem::Expected { what, at: text.len() - rest.len(), found: first_word(rest) }
        })
    }
}

/// Returns enough of the text to recognize the place.
fn first_word(rest: &str) -> Option<String> {
    const LONGEST: usize = 24;
    let first = rest.chars().next()?;
    // The first character is shown even if it is a blank: it is the one that was refused.
    let more = rest.chars().skip(1).take(LONGEST - 1).take_while(|c| !c.is_whitespace());
    // The message ends up in logs, where a client must not be able to begin a new line.
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Some(std::iter::once(first).chain(more).map(printable).collect())
}

pub(crate) fn end(rest: &str) -> Result<(), Expected<'_>> {
    if rest.is_empty() { Ok(()) } else { Err(Expected::new("the end", rest)) }
}

/// Reads `attrPath`.
pub(crate) fn attr_path(text: &str) -> Parsed<'_, AttrPath> {
    // A URN holds dots (`core:2.0:User`) and colons of its own. Only its last colon
    // separates it from the name, so that is found before any dot is looked at.
    let (word, _) = split_where(text, |c| !is_uri(c));
    let (schema, rest) = match word.rsplit_once(':') {
        None => (None, text),
        Some((uri, _)) if uri.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let rest = text.strip_prefix(uri).and_then(|rest| rest.strip_prefix(':'));
            (Some(uri.to_owned()), rest.unwrap_or_default())
        }
        Some(_) => return Err(Expected::new("the URI of a schema", text)),
    };
    let (attr, rest) = attr_name(rest)?;
    let (sub, rest) = sub_attr(rest)?;
    Ok((AttrPath { schema, attr, sub }, rest))
}

/// Reads `*1subAttr`.
pub(crate) fn sub_attr(text: &str) -> Parsed<'_, Option<String>> {
    match text.strip_prefix('.') {
        Some(rest) => attr_name(rest).map(|(name, rest)| (Some(name), rest)),
        None => Ok((None, text)),
    }
}

/// Reads `ATTRNAME = ALPHA *(nameChar)`, or `$ref`.
fn attr_name(text: &str) -> Parsed<'_, String> {
    let (name, rest) = split_where(text, |c| !is_name(c));
    // The grammar of RFC 7644 omits the `$` that RFC 7643 s2.1 allows, and with it `$ref`.
    if name.strip_prefix('$').unwrap_or(name).starts_with(|c: char| c.is_ascii_alphabetic()) {
        Ok((name.to_owned(), rest))
    } else {
        Err(Expected::new("the name of an attribute", text))
    }
}

/// Splits a text before the first character at which to `stop`.
pub(crate) fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.find(stop).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$')
}

/// Returns true for the characters of RFC 3986 except the brackets and
/// parentheses, which end a path in a filter.
fn is_uri(c: char) -> bool {
    is_name(c)
        || matches!(
            c,
            '.' | '~' | ':' | '/' | '?' | '#' | '@' | '!' | '&' | '\'' | '*' | '+' | ',' | ';' | '=' | '%'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AttrPath;

    fn attr_path(schema: Option<&str>, attr: &str, sub: Option<&str>) -> AttrPath {
        AttrPath { schema: schema.map(str::to_owned), attr: attr.to_owned(), sub: sub.map(str::to_owned) }
    }

    #[test]
    fn a_urn_ends_at_its_last_colon() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (text, expected) in [
            ("userName", attr_path(None, "userName", None)),
            ("name.givenName", attr_path(None, "name", Some("givenName"))),
            ("members.$ref", attr_path(None, "members", Some("$ref"))),
            ("x-y_2.z", attr_path(None, "x-y_2", Some("z"))),
            (&format!("{enterprise}:manager.value"), attr_path(Some(enterprise), "manager", Some("value"))),
            // The extension itself; the schema knows that it is one.
            (enterprise, attr_path(enterprise.strip_suffix(":User"), "User", None)),
            ("http://a.example/2.0/B:c", attr_path(Some("http://a.example/2.0/B"), "c", None)),
        ] {
            assert_eq!(text.parse(), Ok(expected.clone()));
            assert_eq!(expected.to_string(), text);
        }
    }

    #[test]
    fn a_path_of_an_attribute_has_no_filter() {
        let error = "a[b pr]".parse::<AttrPath>().unwrap_err();
        assert_eq!(error.to_string(), "expected the end at byte 1, found `[b`");
    }

    proptest! {
        #[test]
        fn what_was_read_is_printed_as_it_was(text in "(urn:[a-z:.0-9]{0,9}:)?[$a-z][a-z0-9$_-]{0,3}([.][a-z$]{1,4})?") {
            if let Ok(path) = text.parse::<AttrPath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
