//! Filters (RFC 7644 s3.4.2.2). In reading order:
//!
//! - this file: [`Filter`], the syntax tree, and how it is printed;
//! - `parse`: text to [`Filter`], one function per rule of the grammar;
//! - [`case_fold`]: the form in which values without regard to case are compared;
//! - `compare`: one operator and its value against one value of a resource;
//! - `reference`: conditions on `$ref` as conditions on an id;
//! - [`evaluate`]: a filter bound to a schema, and matched against resources.

pub mod case_fold;
pub(crate) mod compare;
pub mod evaluate;
pub(crate) mod parse;
mod reference;

use std::fmt;

use serde_json::Value;

use crate::scim::attr_path::AttrPath;

/// A filter. `All` and `Any` hold at least two legs and never one of their own
/// kind, so filters that differ only in grouping are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Compare {
        path: AttrPath,
        op: CompareOp,
        value: Value,
    },
    Present(AttrPath),
    /// `valuePath`: one element of `path` matches all of `filter`, whose paths are
    /// names of sub-attributes.
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
    /// Joins legs by `and`. A single leg stays itself.
    pub fn all(legs: impl IntoIterator<Item = Self>) -> Self {
        let flat = legs.into_iter().flat_map(|leg| match leg {
            Self::All(inner) => inner,
            other => vec![other],
        });
        one_or(Self::All, flat.collect())
    }

    /// Joins legs by `or`. A single leg stays itself.
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

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { path, op, value } => write!(f, "{path} {op} {value}"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Element { path, filter } => write!(f, "{path}[{filter}]"),
            // `not` takes parentheses in the grammar, whatever follows.
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::All(legs) => join(f, " and ", legs),
            Self::Any(legs) => join(f, " or ", legs),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, word: &str, legs: &[Filter]) -> fmt::Result {
    for (n, leg) in legs.iter().enumerate() {
        if n > 0 {
            f.write_str(word)?;
        }
        match leg {
            // `and` binds more tightly than `or`, and an `Any` never holds an `Any`:
            // this is an `or` within an `and`, the only join that needs parentheses.
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

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn one_leg_is_itself() {
        let leg: Filter = "a pr".parse().unwrap();
        assert_eq!(Filter::all([leg.clone()]), leg);
        assert_eq!(
            Filter::any([Filter::any([leg.clone(), leg.clone()]), leg.clone()]),
            Filter::Any(vec![leg; 3])
        );
    }
}
