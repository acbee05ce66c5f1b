//! Text to [`Filter`] (RFC 7644 s3.4.2.2, Figure 1).
//!
//! The parser is more lenient than Figure 1 where nothing becomes ambiguous:
//! operators, `and`, `or`, `not` and the literals are read without regard to case,
//! any run of ASCII white space is a blank, and a blank is required only where two
//! words would run together (the RFC's own examples have `eq"x"`). A keyword of the
//! grammar may also be the name of an attribute: `not eq 1` compares `not`.

use std::str::FromStr;

use serde_json::{Number, Value};

use crate::scim::attr_path::{
    AttrPath, Expected, ParseError, Parsed, attr_path, end, is_name, split_where, sub_attr,
};
use crate::scim::filter::{Filter, OPERATORS};
use crate::scim::number::is_kept;
use crate::scim::quirks::{Leeway, Tolerance};

/// The bytes of a filter's text: more than a URL can carry behind API Gateway
/// (10 KB), with room for `.search`.
const MAX_TEXT: usize = 16 * 1024;

/// The depth of groups. The parser, the evaluator and the planner recurse, so this
/// bounds their stack.
const MAX_DEPTH: usize = 64;

/// The conditions of a filter. Each is tested against every resource of a scan.
const MAX_TERMS: usize = 1_000;

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
            // A word here is most often a misspelled keyword, so the message names those, too.
            end(rest).map_err(|_| Expected::new("`and`, `or` or the end", rest))?;
            Ok(filter)
        };
        parse().map_err(|error: Expected<'_>| error.within(text))
    }
}

pub(crate) fn check_length(text: &str) -> Result<(), Expected<'_>> {
    if text.len() > MAX_TEXT {
        return Err(Expected::limit(format!("it has {} bytes, the limit is {MAX_TEXT}", text.len())));
    }
    Ok(())
}

/// A parser for one text, and its use of the limits. The methods are the rules of
/// Figure 1.
#[derive(Default)]
pub(crate) struct Parser<'l> {
    leeway: Leeway<'l>,
    depth: usize,
    terms: usize,
    in_element: bool,
}

impl Parser<'_> {
    /// Reads `FILTER`, or the `valFilter` within brackets.
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
        // Only the parenthesis makes `not` a keyword. Without it, `not` is an attribute.
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

    /// Reads a group whose opening bracket was consumed, and consumes the closing one.
    fn group<'a>(&mut self, text: &'a str, close: char) -> Parsed<'a, Filter> {
        if self.depth == MAX_DEPTH {
            return Err(Expected::limit(format!(
                "its groups are nested too deep, the limit is {MAX_DEPTH} levels"
            )));
        }
        // An error leaves `depth` raised. It also ends the parse, so nothing reads it again.
        self.depth += 1;
        let (filter, rest) = self.any(text)?;
        self.depth -= 1;
        let rest = blanks(rest);
        match rest.strip_prefix(close) {
            Some(rest) => Ok((filter, rest)),
            None => Err(Expected::new(format!("`and`, `or` or `{close}`"), rest)),
        }
    }

    /// Reads `attrExp / valuePath`.
    fn expression<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        let (path, rest) = attr_path(text)?;
        match rest.strip_prefix('[') {
            // A sub-attribute has no elements of its own (RFC 7643 s2.3.8), so within
            // brackets another `[` falls through to the error of a missing operator.
            Some(inner) if !self.in_element => self.element(path, inner),
            _ => self.condition(path, rest),
        }
    }

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
        let (condition, rest) = self.condition(sub, after)?;
        // `emails[type eq "work"].value eq "x"` is about one element: what follows the
        // brackets moves into them. As a condition of its own, it would also match
        // a user whose home address is "x".
        Ok((Filter::Element { path, filter: Box::new(Filter::all([filter, condition])) }, rest))
    }

    /// Reads `valFilter` after its `[`, and consumes the `]`.
    pub(crate) fn value_filter<'a>(&mut self, text: &'a str) -> Parsed<'a, Filter> {
        self.in_element = true;
        let parsed = self.group(text, ']')?;
        self.in_element = false;
        Ok(parsed)
    }

    /// Reads the rest of an `attrExp` after its path.
    fn condition<'a>(&mut self, path: AttrPath, rest: &'a str) -> Parsed<'a, Filter> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(Expected::limit(format!("it has too many conditions, the limit is {MAX_TERMS}")));
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

/// Reads `compValue = false / null / true / number / string`.
fn comp_value(text: &str) -> Parsed<'_, Value> {
    if text.starts_with('"') {
        return string(text);
    }
    let (word, rest) = split_where(text, |c| c.is_ascii_whitespace() || "()[]\"".contains(c));
    // JSON spells the literals in lower case only, but `True` could mean nothing else.
    let literal = [("null", Value::Null), ("true", true.into()), ("false", false.into())]
        .into_iter()
        .find_map(|(name, value)| word.eq_ignore_ascii_case(name).then_some(value));
    let value = literal
        .or_else(|| serde_json::from_str::<Number>(word).ok().map(Value::from))
        .ok_or_else(|| Expected::new("a string in double quotes, a number, true, false or null", text))?;
    // Compared as another number, it would match what is not equal to it.
    if value.is_number() && !is_kept(word) {
        return Err(Expected::new("a number of at most 17 digits", text));
    }
    Ok((value, rest))
}

fn string(text: &str) -> Parsed<'_, Value> {
    // Escapes are left to `serde_json`: as the first value of a stream, the string ends
    // where reading stopped, and a bracket or `and` within it needs no attention here.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match (values.next(), text.split_at_checked(values.byte_offset())) {
        (Some(Ok(string)), Some((_, rest))) => Ok((Value::from(string), rest)),
        (Some(Err(error)), _) if error.is_eof() => Err(Expected::new("the closing double quote", "")),
        _ => Err(Expected::new("a JSON string", text)),
    }
}

/// Returns the text behind `word` if that is the next word.
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    // The whole word is compared, not a prefix: `notes` and `android` are attributes.
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

    use super::{MAX_DEPTH, MAX_TERMS, MAX_TEXT};
    use crate::scim::attr_path::AttrPath;
    use crate::scim::filter::{CompareOp, Filter, OPERATORS};

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
        assert_eq!(printed(&text(MAX_TEXT + 1)), "it has 16385 bytes, the limit is 16384");
    }

    #[test]
    fn groups_nest_to_a_depth() {
        for (open, close) in [("(", ")"), ("not (", ")")] {
            let text = |depth: usize| format!("{}a pr{}", open.repeat(depth), close.repeat(depth));
            assert!(text(MAX_DEPTH).parse::<Filter>().is_ok());
            assert_eq!(
                printed(&text(MAX_DEPTH + 1)),
                "its groups are nested too deep, the limit is 64 levels"
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
        assert_eq!(printed(&text(MAX_TERMS + 1)), "it has too many conditions, the limit is 1000");
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
