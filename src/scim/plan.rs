//! How a filter is answered without reading everything: by values that the
//! store keeps rows for. Whatever a plan finds is checked against the whole
//! filter again, so a plan may find too much but never too little.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::compare::instant;
use super::filter::{CompareOp, Filter};
use super::fold::fold;
use super::matches::resolve;
use super::path::AttrPath;
use super::schema::{Place, ResourceType, Target};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    Id(&'a str),
    /// A value of one of `kind.unique`.
    Unique(&'a AttrPath, &'a str),
    /// A value of one of `kind.look_up`.
    LookUp(&'a AttrPath, &'a str),
    /// The folded beginning of a value of one of `kind.unique`.
    Prefix(&'a AttrPath, String),
    ChangedSince(Timestamp),
    /// What any of these finds.
    Union(Vec<Plan<'a>>),
    /// The filter is about attributes that the type does not have.
    Nothing,
    Scan,
}

impl<'a> Plan<'a> {
    pub fn of(filter: &'a Filter, kind: &'a ResourceType) -> Self {
        leg(filter, kind, None)
    }

    /// Orders plans by what they are likely to read.
    fn cost(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Id(_) => 1,
            Self::Unique(..) => 2,
            Self::LookUp(..) => 3,
            Self::Union(legs) => legs.iter().map(Self::cost).sum(),
            Self::Prefix(..) => 1_000,
            Self::ChangedSince(_) => 10_000,
            Self::Scan => usize::MAX,
        }
    }
}

/// Without the values, which are not for a log.
impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(_) => f.write_str("id"),
            Self::Unique(path, _) | Self::LookUp(path, _) => write!(f, "{path}"),
            Self::Prefix(path, _) => write!(f, "{path} prefix"),
            Self::ChangedSince(_) => f.write_str("changes"),
            Self::Union(legs) => {
                for (n, leg) in legs.iter().enumerate() {
                    write!(f, "{}{leg}", if n == 0 { "" } else { " or " })?;
                }
                Ok(())
            }
            Self::Nothing => f.write_str("nothing"),
            Self::Scan => f.write_str("scan"),
        }
    }
}

/// `within` is the multi-valued attribute whose elements a filter in brackets
/// is about.
fn leg<'a>(filter: &'a Filter, kind: &'a ResourceType, within: Option<Place<'a>>) -> Plan<'a> {
    match filter {
        filter if within.is_none() && is_of_absent(filter, kind) => Plan::Nothing,
        Filter::Compare { path, op, value: Value::String(value) } => {
            let place = match within {
                None => attribute(kind, path),
                Some(place) => {
                    place.attribute.sub_attribute(&path.attr).map(|sub| Place { sub: Some(sub), ..place })
                }
            };
            place.map_or(Plan::Scan, |place| comparison(kind, place, *op, value))
        }
        Filter::Element { path, filter } => match (within, attribute(kind, path)) {
            (None, Some(place)) => leg(filter, kind, Some(place)),
            _ => Plan::Scan,
        },
        // Every leg of an `and` finds all that the whole does.
        Filter::All(legs) => {
            legs.iter().map(|filter| leg(filter, kind, within)).min_by_key(Plan::cost).unwrap_or(Plan::Scan)
        }
        Filter::Any(legs) => {
            let mut legs: Vec<Plan<'a>> = legs.iter().map(|filter| leg(filter, kind, within)).collect();
            legs.retain(|leg| *leg != Plan::Nothing);
            if legs.contains(&Plan::Scan) {
                return Plan::Scan;
            }
            if legs.len() > 1 { Plan::Union(legs) } else { legs.pop().unwrap_or(Plan::Nothing) }
        }
        Filter::Compare { .. } | Filter::Present(_) | Filter::Not(_) => Plan::Scan,
    }
}

/// Whether this is a condition on an attribute that the type does not have, and
/// one that fails for what is absent.
fn is_of_absent(filter: &Filter, kind: &ResourceType) -> bool {
    let (path, fails) = match filter {
        Filter::Compare { path, op: CompareOp::Ne, value } => (path, value.is_null()),
        Filter::Compare { path, op: CompareOp::Eq, value } => (path, !value.is_null()),
        Filter::Present(path) | Filter::Element { path, .. } | Filter::Compare { path, .. } => (path, true),
        Filter::Not(_) | Filter::All(_) | Filter::Any(_) => return false,
    };
    fails && resolve(kind, path).is_none()
}

fn comparison<'a>(kind: &'a ResourceType, place: Place<'a>, op: CompareOp, value: &'a str) -> Plan<'a> {
    let is_common = |name: &str| place.extension.is_none() && place.attribute.name == name;
    let is_here = |path: &&AttrPath| attribute(kind, path).is_some_and(|indexed| is_same(&indexed, &place));
    let unique = || kind.unique.iter().find(is_here);
    let look_up = || kind.look_up.iter().find(is_here);
    match op {
        CompareOp::Eq if is_common("id") => Plan::Id(value),
        // An empty value has no row.
        CompareOp::Eq | CompareOp::Sw if value.is_empty() => Plan::Scan,
        CompareOp::Eq => unique()
            .map(|path| Plan::Unique(path, value))
            .or_else(|| look_up().map(|path| Plan::LookUp(path, value)))
            .unwrap_or(Plan::Scan),
        CompareOp::Sw => unique().map_or(Plan::Scan, |path| prefix(place, path, value)),
        CompareOp::Gt | CompareOp::Ge if is_common("meta") => match (place.sub, instant(value)) {
            (Some(sub), Some(since)) if sub.name == "lastModified" => Plan::ChangedSince(since),
            _ => Plan::Scan,
        },
        CompareOp::Gt
        | CompareOp::Ge
        | CompareOp::Ne
        | CompareOp::Co
        | CompareOp::Ew
        | CompareOp::Lt
        | CompareOp::Le => Plan::Scan,
    }
}

/// Up to the first sigma, whose lower case depends on what follows it. Rows hold
/// only so much of a long value.
fn prefix<'a>(place: Place<'a>, path: &'a AttrPath, value: &str) -> Plan<'a> {
    const LONGEST: usize = 512;
    let folded = if place.leaf().is_case_exact() { value.to_owned() } else { fold(value) };
    let prefix = folded.split(['σ', 'ς']).next().unwrap_or_default().to_owned();
    if prefix.is_empty() || prefix.len() > LONGEST { Plan::Scan } else { Plan::Prefix(path, prefix) }
}

fn attribute<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Place<'a>> {
    match resolve(kind, path)? {
        Target::Attribute(place) => Some(place),
        Target::Extension(_) => None,
    }
}

/// `emails` in a filter means `emails.value`.
fn is_same(indexed: &Place<'_>, asked: &Place<'_>) -> bool {
    let sub = asked.sub.or(asked.attribute.sub_attribute("value"));
    std::ptr::eq(indexed.attribute, asked.attribute)
        && indexed.sub.map(|sub| &sub.name) == sub.map(|sub| &sub.name)
}
