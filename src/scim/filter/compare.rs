//! A single comparison of a filter (RFC 7644 s3.4.2.2): an operator and its value
//! against one value of a resource, by the type of the attribute.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::scim::date_time::Instant;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::filter::case_fold::fold;
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks::{self, Leeway};
use crate::scim::schema::{Attribute, Returned, Type};
use crate::scim::work::Work;

/// A condition on a path, before it is bound to an attribute.
#[derive(Clone, Copy)]
pub(crate) enum Predicate<'f> {
    Present,
    Compare(CompareOp, &'f Value),
    Element(&'f Filter),
}

/// A condition bound to an attribute. Testing a value cannot fail.
#[derive(Debug)]
pub(crate) enum Test {
    Present,
    Compare(CompareOp, Operand),
}

/// A value of a resource under comparison. What a comparison needs of it is computed once,
/// however many conditions look at it.
#[derive(Debug)]
pub(crate) struct Compared<'v> {
    value: &'v Value,
    folded: OnceCell<Cow<'v, str>>,
    instant: OnceCell<Option<Instant>>,
}

#[derive(Debug)]
pub(crate) enum Operand {
    /// A text; it is folded unless `exact`.
    Text {
        text: String,
        exact: bool,
    },
    Instant(Instant),
    Number(Number),
    Boolean(bool),
}

impl Test {
    /// Binds a condition to an attribute, which error texts call `name`.
    pub(crate) fn bind(
        name: &str,
        attribute: &Attribute,
        predicate: Predicate<'_>,
        leeway: Leeway<'_>,
    ) -> Result<Self> {
        refuse_hidden(name, attribute)?;
        let (op, value) = match predicate {
            Predicate::Present => return Ok(Self::Present),
            Predicate::Compare(op, value) => (op, value),
            Predicate::Element(_) => {
                return Err(invalid(format!("{name} has no sub-attributes: omit the brackets")));
            }
        };
        let (a_kind, example) = match attribute.kind {
            Type::String => ("a string", "text in double quotes"),
            Type::Reference => ("a reference", "text in double quotes"),
            Type::Binary => ("binary", "base64 text in double quotes"),
            Type::Boolean => ("a boolean", "true or false"),
            Type::Decimal | Type::Integer => ("a number", "a number without quotes"),
            Type::DateTime => ("a dateTime", "a date and time such as \"2026-01-31T09:30:00Z\""),
            Type::Complex => {
                let sub = attribute.sub_attributes.first().map_or("value", |sub| &sub.name);
                return Err(invalid(format!(
                    "{name} is complex: compare a sub-attribute, such as {name}.{sub}"
                )));
            }
        };
        // RFC 7644 Table 3 fails order for boolean and binary. `co`, `sw` and `ew` it leaves
        // open for numbers and dates, but a part of `42` depends on how it is written.
        let others = match attribute.kind {
            Type::Boolean | Type::Binary if !matches!(op, CompareOp::Eq | CompareOp::Ne) => "eq, ne or pr",
            Type::Decimal | Type::Integer | Type::DateTime if is_part(op) => "eq, ne, gt, ge, lt, le or pr",
            _ => {
                return Operand::of(attribute, op, value, leeway)
                    .map(|operand| Self::Compare(op, operand))
                    .ok_or_else(|| {
                        invalid(format!("{name} is {a_kind}: compare it with {example}, not {value}"))
                    });
            }
        };
        Err(invalid(format!("{name} is {a_kind}: use {others} instead of {op}")))
    }

    /// Tests one value, or `None` for an attribute that a resource does not have.
    pub(crate) fn accepts(&self, value: Option<&Compared<'_>>, work: &Work) -> bool {
        if work.spend(1, value.map_or(0, Compared::bytes)).is_err() {
            return false;
        }
        match (self, value) {
            (Self::Present, value) => value.is_some_and(|value| is_present(value.value)),
            // An absent value equals nothing, so only `ne` holds for it.
            (Self::Compare(op, _), None) => *op == CompareOp::Ne,
            (Self::Compare(op, operand), Some(value)) => operand.compares(*op, value),
        }
    }
}

impl<'v> Compared<'v> {
    pub(crate) fn new(value: &'v Value) -> Self {
        Self { value, folded: OnceCell::new(), instant: OnceCell::new() }
    }

    fn bytes(&self) -> usize {
        self.value.as_str().map_or(0, str::len)
    }

    /// Returns the text in the form that this operator compares.
    fn folded<'s>(&'s self, text: &'v str, op: CompareOp) -> Cow<'s, str> {
        let is_folded = |text: &str| text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let folded =
            self.folded.get_or_init(|| if is_folded(text) { text.into() } else { fold(text).into() });
        open_sigma(folded, op)
    }

    fn instant(&self, text: &str) -> Option<Instant> {
        *self.instant.get_or_init(|| Instant::parse(text))
    }
}

impl Operand {
    /// Reads a value of the attribute's type; `None` for any other value.
    fn of(attribute: &Attribute, op: CompareOp, value: &Value, leeway: Leeway<'_>) -> Option<Self> {
        match (attribute.kind, value) {
            (Type::String | Type::Reference | Type::Binary, Value::String(text)) => {
                let exact = attribute.is_case_exact();
                let text = if exact { text.clone() } else { open_sigma(&fold(text), op).into_owned() };
                Some(Self::Text { text, exact })
            }
            (Type::Boolean, Value::Bool(value)) => Some(Self::Boolean(*value)),
            // Entra ID filters by `roles[primary eq "True"]`.
            (Type::Boolean, Value::String(text)) => quirks::boolean(text, leeway).map(Self::Boolean),
            (Type::Decimal | Type::Integer, Value::Number(number)) => Some(Self::Number(number.clone())),
            (Type::DateTime, Value::String(text)) => Instant::parse(text).map(Self::Instant),
            _ => None,
        }
    }

    fn compares(&self, op: CompareOp, compared: &Compared<'_>) -> bool {
        let order = match (self, compared.value) {
            (Self::Text { text, exact }, Value::String(value)) => {
                let value = if *exact { value.into() } else { compared.folded(value, op) };
                match op {
                    CompareOp::Co => return value.contains(text),
                    CompareOp::Sw => return value.starts_with(text),
                    CompareOp::Ew => return value.ends_with(text),
                    _ => Some(value.as_ref().cmp(text)),
                }
            }
            (Self::Instant(limit), Value::String(value)) => {
                compared.instant(value).map(|value| value.cmp(limit))
            }
            (Self::Number(number), Value::Number(value)) => order(value, number),
            (Self::Boolean(boolean), Value::Bool(value)) => Some(value.cmp(boolean)),
            // The value has another type than the schema says: a tenant has redefined the
            // attribute since it was stored. Such a value is unequal to any operand.
            _ => None,
        };
        match op {
            CompareOp::Eq => order == Some(Ordering::Equal),
            CompareOp::Ne => order != Some(Ordering::Equal),
            CompareOp::Gt => order == Some(Ordering::Greater),
            CompareOp::Ge => order.is_some_and(Ordering::is_ge),
            CompareOp::Lt => order == Some(Ordering::Less),
            CompareOp::Le => order.is_some_and(Ordering::is_le),
            CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
        }
    }
}

fn is_part(op: CompareOp) -> bool {
    matches!(op, CompareOp::Co | CompareOp::Sw | CompareOp::Ew)
}

/// Returns a folded text as this operator compares it.
fn open_sigma(folded: &str, op: CompareOp) -> Cow<'_, str> {
    // A capital sigma becomes `ς` at the end of a word and `σ` elsewhere, and a part
    // ends elsewhere than the whole: `sw "ΟΔΥΣ"` must match `Οδυσσέας`.
    if is_part(op) && folded.contains('ς') { folded.replace('ς', "σ").into() } else { folded.into() }
}

fn order(one: &Number, other: &Number) -> Option<Ordering> {
    // As floats, 9007199254740992 and 9007199254740993 would be equal.
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// Returns true if `pr` holds: "a non-empty or non-null value, or a non-empty node".
pub(crate) fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => elements.iter().any(is_present),
        Value::Object(members) => members.values().any(is_present),
    }
}

pub(crate) fn refuse_hidden(name: &str, attribute: &Attribute) -> Result<()> {
    match attribute.returned {
        // Comparisons would reveal the value, guess by guess.
        Returned::Never => Err(invalid(format!("{name} cannot be used in a filter: it is never returned"))),
        Returned::Always | Returned::Default | Returned::Request => Ok(()),
    }
}

pub(crate) fn invalid(detail: String) -> Error {
    ErrorKind::InvalidFilter.with(detail)
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn numbers_beyond_each_other_have_an_order() {
        let number = |text: &str| text.parse().unwrap();
        assert!(order(&number("-1"), &number("18446744073709551615")).unwrap().is_lt());
        assert!(order(&number("1e300"), &number("18446744073709551615")).unwrap().is_gt());
    }
}
