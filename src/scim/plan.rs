//! How a filter is answered without reading everything: by a value that the
//! store keeps rows for. Whatever the plan finds is checked against the whole
//! filter again.

use serde_json::Value;

use super::filter::{CompareOp, Filter};
use super::path::AttrPath;
use super::schema::{Place, ResourceType, Target};

#[derive(Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    Id(&'a str),
    /// A value of one of `kind.unique`.
    Unique(&'a AttrPath, &'a str),
    /// A value of one of `kind.look_up`.
    LookUp(&'a AttrPath, &'a str),
    Scan,
}

impl<'a> Plan<'a> {
    pub fn of(filter: &'a Filter, kind: &'a ResourceType) -> Self {
        leg(filter, kind, None).unwrap_or(Self::Scan)
    }
}

/// `within` is the multi-valued attribute whose elements a filter in brackets
/// is about. Any leg of an `and` narrows enough.
fn leg<'a>(filter: &'a Filter, kind: &'a ResourceType, within: Option<Place<'a>>) -> Option<Plan<'a>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value: Value::String(value) } => {
            let place = match within {
                None => attribute(kind, path)?,
                Some(place) => Place { sub: Some(place.attribute.sub_attribute(&path.attr)?), ..place },
            };
            look_up(place, value, kind)
        }
        Filter::Element { path, filter } if within.is_none() => {
            leg(filter, kind, Some(attribute(kind, path)?))
        }
        Filter::All(legs) => legs.iter().find_map(|filter| leg(filter, kind, within)),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Element { .. }
        | Filter::Not(_)
        | Filter::Any(_) => None,
    }
}

fn look_up<'a>(place: Place<'a>, value: &'a str, kind: &'a ResourceType) -> Option<Plan<'a>> {
    if place.extension.is_none() && place.attribute.name == "id" {
        return Some(Plan::Id(value));
    }
    let is_here = |path: &&AttrPath| attribute(kind, path).is_some_and(|indexed| is_same(&indexed, &place));
    // An empty value has no row.
    if value.is_empty() {
        return None;
    }
    let unique = kind.unique.iter().find(is_here).map(|path| Plan::Unique(path, value));
    unique.or_else(|| kind.look_up.iter().find(is_here).map(|path| Plan::LookUp(path, value)))
}

fn attribute<'a>(kind: &'a ResourceType, path: &AttrPath) -> Option<Place<'a>> {
    match kind.resolve(path)? {
        Target::Attribute(place) => Some(place),
        Target::Extension(_) => None,
    }
}

/// `emails` in a filter means `emails.value`.
fn is_same(indexed: &Place<'_>, asked: &Place<'_>) -> bool {
    let value = asked.attribute.sub_attribute("value");
    let sub = asked.sub.or(value);
    std::ptr::eq(indexed.attribute, asked.attribute)
        && indexed.sub.map(|sub| &sub.name) == sub.map(|sub| &sub.name)
}
