//! Filters (RFC 7644 s3.4.2.2, Figure 1): text to [`Filter`] and back.
//!
//! More lenient than Figure 1 where nothing becomes ambiguous: operators,
//! `and`, `or`, `not` and the literals are read without case, any run of ASCII
//! white space is a blank, and a blank is needed only where two words would run
//! together (the RFC's own examples have `eq"x"`). What the grammar calls a word
//! may also be the name of an attribute: `not eq 1` compares `not`.

pub mod case_fold;
pub(crate) mod compare;
pub mod evaluate;

use std::fmt;
use std::str::FromStr;

use serde_json::{Number, Value};

use crate::scim::attr_path::{
    AttrPath, Expected, ParseError, Parsed, attr_path, end, is_name, split_where, sub_attr,
};
use crate::scim::quirks::{Leeway, Tolerance};

/// `All` and `Any` hold two legs or more and never one of their own kind, so
/// equal meaning by grouping is equal by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Compare {
        path: AttrPath,
        op: CompareOp,
        value: Value,
    },
    Present(AttrPath),
    /// `valuePath`: one element of `path` matches all of `filter`, whose paths
    /// are names of sub-attributes.
    Element {
        path: AttrPath,
        filter: Box<Filter>,
    },
    Not(Box<Filter>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

/// What a URL can carry behind API Gateway (10 KB), and room for `.search`.
pub const MAX_TEXT: usize = 16 * 1024;

/// The parser and whoever walks a [`Filter`] recurse: a bound on the stack.
pub const MAX_DEPTH: usize = 64;

/// The work that one filter may cost on every resource of a scan.
pub const MAX_TERMS: usize = 1_000;

const OPERATORS: [(CompareOp, &str); 9] = [
    (CompareOp::Eq, "eq"),
    (CompareOp::Ne, "ne"),
    (CompareOp::Co, "co"),
    (CompareOp::Sw, "sw"),
    (CompareOp::Ew, "ew"),
    (CompareOp::Gt, "gt"),
    (CompareOp::Ge, "ge"),
    (CompareOp::Lt, "lt"),
    (CompareOp::Le, "le"),
];

impl Filter {
    /// Matches when every leg does. One leg is itself.
    pub fn all(legs: impl IntoIterator<Item = Self>) -> Self {
        let flat = legs.into_iter().flat_map(|leg| match leg {
            Self::All(inner) => inner,
            other => vec![other],
        });
        one_or(Self::All, flat.collect())
    }

    /// Matches when a leg does. One leg is itself.
    pub fn any(legs: impl IntoIterator<Item = Self>) -> Self {
        let flat = legs.into_iter().flat_map(|leg| match leg {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        one_or(Self::Any, flat.collect())
    }
}

fn one_or(join: fn(Vec<Filter>) -> Filter, mut legs: Vec<Filter>) -> Filter {
    match (legs.pop(), legs.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            legs.extend(last);
            join(legs)
        }
    }
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text, Leeway::default())
    }
}

impl Filter {
    pub fn parse(text: &str, leeway: Leeway<'_>) -> Result<Self, ParseError> {
        let parse = || {
            check_length(text)?;
            let (filter, rest) = Parser { leeway, ..Parser::default() }.any(text)?;
            let rest = blanks(rest);
            end(rest).map_err(|_| Expected::new("`and`, `or` or the end", rest))?;
            Ok(filter)
        };
        parse().map_err(|error: Expected<'_>| error.within(text))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { path, op, value } => write!(f, "{path} {op} {value}"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Element { path, filter } => write!(f, "{path}[{filter}]"),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::All(legs) => join(f, " and ", legs),
            Self::Any(legs) => join(f, " or ", legs),
        }
    }
}

/// Only `or` within `and` needs its parentheses.
fn join(f: &mut fmt::Formatter<'_>, word: &str, legs: &[Filter]) -> fmt::Result {
    for (n, leg) in legs.iter().enumerate() {
        if n > 0 {
            f.write_str(word)?;
        }
        match leg {
            Filter::Any(_) => write!(f, "({leg})")?,
            _ => write!(f, "{leg}")?,
        }
    }
    Ok(())
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = OPERATORS.iter().find(|(op, _)| op == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

pub(crate) fn check_length(text: &str) -> Result<(), Expected<'_>> {
    match text.split_at_checked(text.floor_char_boundary(MAX_TEXT)) {
        Some((_, rest)) if !rest.is_empty() => {
            Err(Expected::new(format!("no more than {MAX_TEXT} bytes"), rest))
        }
        _ => Ok(()),
    }
}

/// One text's use of the limits. The methods are the rules of Figure 1.
#[derive(Default)]
pub(crate) struct Parser<'l> {
    leeway: Leeway<'l>,
    depth: usize,
    terms: usize,
    in_element: bool,
}

impl Parser<'_> {
    /// `FILTER`, and `valFilter` within brackets.
    fn any<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        let (first, mut rest) = self.all(text)?;
        let mut legs = vec![first];
        while let Some(after) = keyword(rest, "or") {
            let leg;
            (leg, rest) = self.all(after)?;
            legs.push(leg);
        }
        Ok((Filter::any(legs), rest))
    }

    fn all<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        let (first, mut rest) = self.term(text)?;
        let mut legs = vec![first];
        while let Some(after) = keyword(rest, "and") {
            let leg;
            (leg, rest) = self.term(after)?;
            legs.push(leg);
        }
        Ok((Filter::all(legs), rest))
    }

    fn term<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        let text = blanks(text);
        let negated = keyword(text, "not").and_then(|rest| blanks(rest).strip_prefix('('));
        if let Some(inner) = negated {
            let (filter, rest) = self.group(inner, ')')?;
            return Ok((Filter::Not(Box::new(filter)), rest));
        }
        match text.strip_prefix('(') {
            Some(inner) => self.group(inner, ')'),
            None => self.expression(text),
        }
    }

    /// `text` begins after the opening bracket; the closing one is consumed.
    fn group<'a>(&mut self, text: &'a str, close: char) -> Parsed<'a, Filter> {
        if self.depth == MAX_DEPTH {
            return Err(Expected::new(format!("no more than {MAX_DEPTH} nested groups"), text));
        }
        self.depth += 1;
        let (filter, rest) = self.any(text)?;
        self.depth -= 1;
        let rest = blanks(rest);
        match rest.strip_prefix(close) {
            Some(rest) => Ok((filter, rest)),
            None => Err(Expected::new(format!("`and`, `or` or `{close}`"), rest)),
        }
    }

    /// `attrExp / valuePath`
    fn expression<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        let (path, rest) = attr_path(text)?;
        match rest.strip_prefix('[') {
            // Elements hold no elements: RFC 7643 s2.3.8.
            Some(inner) if !self.in_element => self.element(path, inner),
            _ => self.condition(path, text, rest),
        }
    }

    /// The same element has to match what is in the brackets and what follows them.
    fn element<'a>(&mut self, path: AttrPath, text: &'a str) -> Parsed<'a, Filter> {
        let (filter, rest) = self.value_filter(text)?;
        let (sub, after) = sub_attr(rest)?;
        let Some(attr) = sub else {
            return Ok((Filter::Element { path, filter: Box::new(filter) }, rest));
        };
        if !self.leeway.tolerates(Tolerance::ValuePathCompared) {
            return Err(Expected::new("`and`, `or` or the end", rest));
        }
        let sub = AttrPath { schema: None, attr, sub: None };
        let (condition, rest) = self.condition(sub, rest, after)?;
        Ok((Filter::Element { path, filter: Box::new(Filter::all([filter, condition])) }, rest))
    }

    /// `text` begins after `[`; the `]` is consumed.
    pub(crate) fn value_filter<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        self.in_element = true;
        let parsed = self.group(text, ']')?;
        self.in_element = false;
        Ok(parsed)
    }

    /// `attrExp` after its `path`, which began at `start`.
    fn condition<'a>(&mut self, path: AttrPath, start: &'a str, rest: &'a str) -> Parsed<'a, Filter> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(Expected::new(format!("no more than {MAX_TERMS} conditions"), start));
        }
        let rest = blanks(rest);
        let (word, after) = split_where(rest, |c| !is_name(c));
        if word.eq_ignore_ascii_case("pr") {
            return Ok((Filter::Present(path), after));
        }
        let named = OPERATORS.iter().find(|(_, name)| word.eq_ignore_ascii_case(name));
        let Some(&(op, _)) = named else {
            return Err(Expected::new("an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr)", rest));
        };
        let (value, rest) = comp_value(blanks(after))?;
        Ok((Filter::Compare { path, op, value }, rest))
    }
}

/// `compValue = false / null / true / number / string`
fn comp_value(text: &str) -> Parsed<'_, Value> {
    if text.starts_with('"') {
        return string(text);
    }
    let (word, rest) = split_where(text, |c| c.is_ascii_whitespace() || "()[]\"".contains(c));
    let literal = [("null", Value::Null), ("true", true.into()), ("false", false.into())]
        .into_iter()
        .find_map(|(name, value)| word.eq_ignore_ascii_case(name).then_some(value));
    literal
        .or_else(|| serde_json::from_str::<Number>(word).ok().map(Value::from))
        .map(|value| (value, rest))
        .ok_or_else(|| Expected::new("a string in double quotes, a number, true, false or null", text))
}

/// The first JSON value of a stream ends where `serde_json` stops reading.
fn string(text: &str) -> Parsed<'_, Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match (values.next(), text.split_at_checked(values.byte_offset())) {
        (Some(Ok(string)), Some((_, rest))) => Ok((Value::from(string), rest)),
        (Some(Err(error)), _) if error.is_eof() => Err(Expected::new("the closing double quote", "")),
        _ => Err(Expected::new("a JSON string", text)),
    }
}

/// What follows `word`, if the next word is that one.
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (next, rest) = split_where(blanks(text), |c| !is_name(c));
    next.eq_ignore_ascii_case(word).then_some(rest)
}

fn blanks(text: &str) -> &str {
    text.trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{CompareOp, Filter, MAX_DEPTH, MAX_TERMS, MAX_TEXT, OPERATORS};
    use crate::scim::attr_path::AttrPath;

    fn printed(text: &str) -> String {
        text.parse::<Filter>().map_or_else(|error| error.to_string(), |filter| filter.to_string())
    }

    #[test]
    fn a_filter_is_printed_in_one_form() {
        for (text, expected) in [
            ("userName Eq \"john\"", "userName eq \"john\""),
            ("  a  eq\t\"x\"  AND\nb PR  ", "a eq \"x\" and b pr"),
            ("userName eq\"x\"", "userName eq \"x\""),
            ("active eq True or x ne NULL", "active eq true or x ne null"),
            ("n gt -1.5e3", "n gt -1500.0"),
            ("a eq \"\\u00e9 \\\"\\\\ )] and\"", "a eq \"é \\\"\\\\ )] and\""),
            ("a pr or b pr and not (c pr)", "a pr or b pr and not (c pr)"),
            ("(a pr or b pr) and c pr", "(a pr or b pr) and c pr"),
            ("((a pr) and (b pr)) or ((c pr))", "a pr and b pr or c pr"),
            ("a pr and (b pr and c pr) and d pr", "a pr and b pr and c pr and d pr"),
            ("not(a pr)", "not (a pr)"),
            ("NOT (not ((a pr)))", "not (not (a pr))"),
            ("not (a pr)and(b pr)", "not (a pr) and b pr"),
            ("not pr and not eq 1 and not[not pr]", "not pr and not eq 1 and not[not pr]"),
            ("and pr and or eq 1 or pr pr", "and pr and or eq 1 or pr pr"),
            ("notes pr and android pr or oracle pr", "notes pr and android pr or oracle pr"),
            ("emails[type eq \"work\" and (a pr or b pr)]", "emails[type eq \"work\" and (a pr or b pr)]"),
            // Entra ID
            ("emails[type eq \"work\"].value eq \"x\"", "emails[type eq \"work\" and value eq \"x\"]"),
            ("emails[a pr or b pr].Value pr", "emails[(a pr or b pr) and Value pr]"),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName sw \"J\"",
                "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName sw \"J\"",
            ),
        ] {
            assert_eq!(printed(text), expected);
            assert_eq!(printed(expected), expected);
        }
    }

    #[test]
    fn errors_say_what_was_expected_and_where() {
        let name = "the name of an attribute";
        let operator = "an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr)";
        let literal = "a string in double quotes, a number, true, false or null";
        for (text, what, place) in [
            ("", name, "at byte 0, found the end"),
            ("  ", name, "at byte 2, found the end"),
            ("a pr and", name, "at byte 8, found the end"),
            ("userName", operator, "at byte 8, found the end"),
            ("userName regex \"x\"", operator, "at byte 9, found `regex`"),
            ("not a pr", operator, "at byte 4, found `a`"),
            ("emails[a[b pr]]", operator, "at byte 8, found `[b`"),
            ("emails[a pr].value", operator, "at byte 18, found the end"),
            ("straße eq 1", operator, "at byte 4, found `ße`"),
            ("userName eq", literal, "at byte 11, found the end"),
            ("userName eq 'john'", literal, "at byte 12, found `'john'`"),
            ("userName eq john smith", literal, "at byte 12, found `john`"),
            ("a eq {\"b\":1}", literal, "at byte 5, found `{\"b\":1}`"),
            ("a eq [1]", literal, "at byte 5, found `[1]`"),
            ("a eq 01", literal, "at byte 5, found `01`"),
            ("a eq 1e999", literal, "at byte 5, found `1e999`"),
            ("a eq abcdefghijklmnopqrstuvwxyz", literal, "at byte 5, found `abcdefghijklmnopqrstuvwx`"),
            ("a eq \"x", "the closing double quote", "at byte 7, found the end"),
            ("a eq \"x\\", "the closing double quote", "at byte 8, found the end"),
            ("a eq \"\\x\"", "a JSON string", "at byte 5, found `\"\\x\"`"),
            ("a eq \"\\ud800\"", "a JSON string", "at byte 5, found `\"\\ud800\"`"),
            ("a eq \"x\" b", "`and`, `or` or the end", "at byte 9, found `b`"),
            ("a eq \"é\" x", "`and`, `or` or the end", "at byte 10, found `x`"),
            ("a pr)", "`and`, `or` or the end", "at byte 4, found `)`"),
            ("(a pr", "`and`, `or` or `)`", "at byte 5, found the end"),
            ("(a pr]", "`and`, `or` or `)`", "at byte 5, found `]`"),
            ("emails[type pr", "`and`, `or` or `]`", "at byte 14, found the end"),
        ] {
            assert_eq!(printed(text), format!("expected {what} {place}"), "{text}");
        }
    }

    #[test]
    fn a_filter_has_a_longest_text() {
        let text = |length: usize| format!("a eq \"{}\"", "x".repeat(length - 7));
        assert_eq!(printed(&text(MAX_TEXT)), text(MAX_TEXT));
        assert_eq!(
            printed(&text(MAX_TEXT + 1)),
            "expected no more than 16384 bytes at byte 16384, found `\"`"
        );
    }

    #[test]
    fn groups_nest_to_a_depth() {
        for (open, close) in [("(", ")"), ("not (", ")")] {
            let text = |depth: usize| format!("{}a pr{}", open.repeat(depth), close.repeat(depth));
            assert!(text(MAX_DEPTH).parse::<Filter>().is_ok());
            let at = open.len() * (MAX_DEPTH + 1);
            assert_eq!(
                printed(&text(MAX_DEPTH + 1)),
                format!("expected no more than 64 nested groups at byte {at}, found `a`")
            );
        }
        assert!("(".repeat(MAX_TEXT).parse::<Filter>().is_err());
        assert!("a[".repeat(MAX_TEXT / 2).parse::<Filter>().is_err());
        let side_by_side = vec!["(a pr)"; MAX_DEPTH * 2].join(" or ");
        assert!(side_by_side.parse::<Filter>().is_ok());
    }

    #[test]
    fn a_filter_has_so_many_conditions() {
        let text = |terms: usize| vec!["a pr"; terms].join(" or ");
        assert_eq!(printed(&text(MAX_TERMS)), text(MAX_TERMS));
        assert_eq!(
            printed(&text(MAX_TERMS + 1)),
            "expected no more than 1000 conditions at byte 8000, found `a`"
        );
    }

    #[test]
    fn one_leg_is_itself() {
        let leg: Filter = "a pr".parse().unwrap();
        assert_eq!(Filter::all([leg.clone()]), leg);
        assert_eq!(
            Filter::any([Filter::any([leg.clone(), leg.clone()]), leg.clone()]),
            Filter::Any(vec![leg; 3])
        );
    }

    fn attr_path() -> impl Strategy<Value = AttrPath> {
        let name = || "[a-zA-Z][a-zA-Z0-9_-]{0,3}|\\$ref|not|and|or|pr|eq";
        let schema = proptest::option::of("urn:[a-z]{1,4}(:[a-z0-9.]{0,3}){0,3}");
        (schema, name(), proptest::option::of(name())).prop_map(|(schema, attr, sub)| AttrPath {
            schema,
            attr,
            sub,
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|n| json!(f64::from(n) / 4.0)),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ]
    }

    fn condition() -> BoxedStrategy<Filter> {
        let op = proptest::sample::select(OPERATORS.to_vec()).prop_map(|(op, _)| op);
        prop_oneof![
            attr_path().prop_map(Filter::Present),
            (attr_path(), op, value()).prop_map(|(path, op, value)| Filter::Compare { path, op, value }),
        ]
        .boxed()
    }

    fn combined(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
        leaf.prop_recursive(5, 24, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|filter| Filter::Not(Box::new(filter))),
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::all),
                proptest::collection::vec(inner, 2..4).prop_map(Filter::any),
            ]
        })
        .boxed()
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let element = (attr_path(), combined(condition()))
            .prop_map(|(path, filter)| Filter::Element { path, filter: Box::new(filter) });
        combined(prop_oneof![condition(), element].boxed())
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(filter in filter()) {
            prop_assert_eq!(filter.to_string().parse(), Ok(filter));
        }

        #[test]
        fn no_text_makes_the_parser_panic(
            text in ".*",
            tokens in "((not|and|or|pr|eq|a|b[.]c|1|\"x\"|[(]|[)]|\\[|\\]|[.]|\"|é) ?){0,16}",
        ) {
            for text in [text, tokens] {
                if let Ok(filter) = text.parse::<Filter>() {
                    prop_assert_eq!(filter.to_string().parse(), Ok(filter));
                }
            }
        }
    }

    #[test]
    fn every_operator_has_its_word() {
        for (op, word) in OPERATORS {
            let expected = Filter::Compare { path: "a".parse().unwrap(), op, value: json!(1) };
            assert_eq!(format!("a {} 1", word.to_uppercase()).parse(), Ok(expected));
        }
        assert_eq!(CompareOp::Ge.to_string(), "ge");
    }
}
