//! Attribute paths and PATCH paths (RFC 7644 s3.4.2.2, s3.5.2, s3.10).
//!
//! The rules of this file and of `filter` take a text and return what they read
//! with the rest of it, so a position is the length of what is gone.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::scim::filter::{Filter, Parser, check_length};

/// `attrPath = [URI ":"] ATTRNAME *1subAttr`. Names are kept as they were
/// sent; the schema compares them without case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath {
    pub schema: Option<String>,
    pub attr: String,
    pub sub: Option<String>,
}

/// `PATH = attrPath / valuePath [subAttr]`. `sub` is what follows the brackets;
/// without brackets a sub-attribute is in `attr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub attr: AttrPath,
    pub filter: Option<Filter>,
    pub sub: Option<String>,
}

/// Where a path or a filter left the grammar. Administrators read it in the
/// log of their identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    expected: Cow<'static, str>,
    at: usize,
    found: Option<String>,
}

/// A [`ParseError`] that knows its place only as the text which was left.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    what: Cow<'static, str>,
    rest: &'a str,
}

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

impl FromStr for Path {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            check_length(text)?;
            let (path, rest) = patch_path(text)?;
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

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attr)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        if let Some(sub) = &self.sub {
            write!(f, ".{sub}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}, found ", self.expected, self.at)?;
        match &self.found {
            Some(found) => write!(f, "`{found}`"),
            None => f.write_str("the end"),
        }
    }
}

impl std::error::Error for ParseError {}

impl<'a> Expected<'a> {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>, rest: &'a str) -> Self {
        Self { what: what.into(), rest }
    }

    /// `text` is the whole that `rest` is the tail of.
    pub(crate) fn within(self, text: &str) -> ParseError {
        ParseError { expected: self.what, at: text.len() - self.rest.len(), found: first_word(self.rest) }
    }
}

/// Enough of the text to recognise the place; a client's text in a message is
/// short and on one line.
fn first_word(rest: &str) -> Option<String> {
    const LONGEST: usize = 24;
    let first = rest.chars().next()?;
    let more = rest.chars().skip(1).take(LONGEST - 1).take_while(|c| !c.is_whitespace());
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Some(std::iter::once(first).chain(more).map(printable).collect())
}

pub(crate) fn end(rest: &str) -> Result<(), Expected<'_>> {
    if rest.is_empty() { Ok(()) } else { Err(Expected::new("the end", rest)) }
}

fn patch_path(text: &str) -> Parsed<'_, Path> {
    let (attr, rest) = attr_path(text)?;
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((Path { attr, filter: None, sub: None }, rest));
    };
    let (filter, rest) = Parser::default().value_filter(inner)?;
    let (sub, rest) = sub_attr(rest)?;
    Ok((Path { attr, filter: Some(filter), sub }, rest))
}

/// A URN holds dots and colons of its own, so its last colon is looked for
/// before any dot.
pub(crate) fn attr_path(text: &str) -> Parsed<'_, AttrPath> {
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

/// `*1subAttr`
pub(crate) fn sub_attr(text: &str) -> Parsed<'_, Option<String>> {
    match text.strip_prefix('.') {
        Some(rest) => attr_name(rest).map(|(name, rest)| (Some(name), rest)),
        None => Ok((None, text)),
    }
}

/// `ATTRNAME = ALPHA *(nameChar)`, and `$ref`: the grammar forgets the `$` that
/// RFC 7643 s2.1 allows.
fn attr_name(text: &str) -> Parsed<'_, String> {
    let (name, rest) = split_where(text, |c| !is_name(c));
    if name.strip_prefix('$').unwrap_or(name).starts_with(|c: char| c.is_ascii_alphabetic()) {
        Ok((name.to_owned(), rest))
    } else {
        Err(Expected::new("the name of an attribute", text))
    }
}

/// The text up to the first such character, and the rest.
pub(crate) fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.find(stop).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$')
}

/// RFC 3986 without the brackets and parentheses that end a path in a filter.
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

    use super::{AttrPath, Path};

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
    fn a_patch_path_has_a_filter_between_its_names() {
        for text in [
            "members",
            "name.familyName",
            "addresses[type eq \"work\"]",
            "members[value eq \"2819c223-7f76-453a-919d-413861904646\"]",
            "members[value eq \"2819c223-7f76-453a-919d-413861904646\"].displayName",
            "urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"work\" and primary eq true].value",
        ] {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(path.filter.is_some(), text.contains('['));
        }
        let path: Path = "emails[not (type pr)].value".parse().unwrap();
        assert_eq!(path.attr, attr_path(None, "emails", None));
        assert_eq!(path.filter, Some("not (type pr)".parse().unwrap()));
        assert_eq!(path.sub.as_deref(), Some("value"));
    }

    #[test]
    fn errors_of_paths() {
        for (text, expected) in [
            ("", "expected the name of an attribute at byte 0, found the end"),
            ("1st", "expected the name of an attribute at byte 0, found `1st`"),
            ("$", "expected the name of an attribute at byte 0, found `$`"),
            ("name.", "expected the name of an attribute at byte 5, found the end"),
            ("a.b.c", "expected the end at byte 3, found `.c`"),
            ("members ", "expected the end at byte 7, found ` `"),
            (":userName", "expected the URI of a schema at byte 0, found `:userName`"),
            ("urn:x:", "expected the name of an attribute at byte 6, found the end"),
            ("emails[]", "expected the name of an attribute at byte 7, found `]`"),
            ("emails[type eq \"work\"", "expected `and`, `or` or `]` at byte 21, found the end"),
            ("emails[type eq \"work\"]value", "expected the end at byte 22, found `value`"),
            ("emails[type eq \"work\"].1", "expected the name of an attribute at byte 23, found `1`"),
            (
                "emails[a[b pr]]",
                "expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr) at byte 8, found `[b`",
            ),
            ("émail", "expected the name of an attribute at byte 0, found `émail`"),
            ("\nx", "expected the name of an attribute at byte 0, found `\u{FFFD}x`"),
        ] {
            assert_eq!(text.parse::<Path>().unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(
            "a[b pr]".parse::<AttrPath>().unwrap_err().to_string(),
            "expected the end at byte 1, found `[b`"
        );
    }

    proptest! {
        #[test]
        fn what_was_read_is_printed_as_it_was(text in "(urn:[a-z:.0-9]{0,9}:)?[$a-z][a-z0-9$_-]{0,3}([.][a-z$]{1,4})?") {
            if let Ok(path) = text.parse::<AttrPath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*", path in "[$a-z:.\\[\\]()\" é]{0,24}") {
            for text in [text, path] {
                if let Ok(path) = text.parse::<Path>() {
                    prop_assert_eq!(path.to_string().parse(), Ok(path));
                }
            }
        }
    }
}
