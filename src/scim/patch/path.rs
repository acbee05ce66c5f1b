//! The `path` of a PATCH operation (RFC 7644 s3.5.2).

use std::fmt;
use std::str::FromStr;

use crate::scim::attr_path::{AttrPath, ParseError, Parsed, attr_path, end, sub_attr};
use crate::scim::filter::Filter;
use crate::scim::filter::parse::{Parser, check_length};

/// `PATH = attrPath / valuePath [subAttr]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The path before the brackets. Without brackets it includes the sub-attribute.
    pub attr: AttrPath,
    pub filter: Option<Filter>,
    /// The sub-attribute behind the brackets.
    pub sub: Option<String>,
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

fn patch_path(text: &str) -> Parsed<'_, Path> {
    let (attr, rest) = attr_path(text)?;
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((Path { attr, filter: None, sub: None }, rest));
    };
    // The rule of the filter parser, so that the same text between brackets means
    // the same elements in a filter and in a path.
    let (filter, rest) = Parser::default().value_filter(inner)?;
    let (sub, rest) = sub_attr(rest)?;
    Ok((Path { attr, filter: Some(filter), sub }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Path;

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
        assert_eq!(path.attr, "emails".parse().unwrap());
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
    }

    proptest! {
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
