//! The order of a sorted list (RFC 7644 s3.4.2.3).

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::date_time::Instant;
use crate::scim::decode::is_primary;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::filter::case_fold::fold;
use crate::scim::query::SortBy;
use crate::scim::quirks::{self, Leeway};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Place, ResourceType, Returned, Target, Type};

/// The order of the resources of one type.
#[derive(Debug)]
pub struct Order<'a> {
    kind: &'a ResourceType,
    /// The attribute to sort by, or `None` if no resource of the type has it.
    place: Option<Place<'a>>,
}

/// The value by which a resource is sorted. `Missing` is the greatest: resources without
/// a value come last in ascending order, and first in descending order (s3.4.2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rank {
    Boolean(bool),
    Number(f64),
    Instant(Instant),
    Text(String),
    Missing,
}

impl<'a> Order<'a> {
    /// Returns the order of `kind` in a query of all `kinds`. An attribute that another
    /// of them has, but not `kind`, is absent.
    pub fn new(
        sort: &SortBy,
        kind: &'a ResourceType,
        kinds: &[Arc<ResourceType>],
        leeway: Leeway<'_>,
    ) -> Result<Self> {
        let refused =
            |why: &str| ErrorKind::InvalidValue.with(format!("cannot sort by {}: {why}", sort.path));
        let place = match quirks::resolve(kind, &sort.path, leeway) {
            Some(Target::Attribute(place)) => place,
            Some(Target::Core | Target::Extension(_)) => {
                return Err(refused("it is a schema, so name an attribute"));
            }
            None if kinds.iter().any(|other| quirks::resolve(other, &sort.path, leeway).is_some()) => {
                return Ok(Self { kind, place: None });
            }
            None if kinds.len() > 1 => return Err(refused("no resource type has this attribute")),
            None => return Err(refused(&format!("{} has no such attribute", kind.name))),
        };
        // s3.4.2.3 requires a sub-attribute. `emails` can only mean `emails.value`, as in a
        // filter.
        let place = match place.leaf().kind {
            Type::Complex => Place { sub: place.attribute.sub_attribute("value"), ..place },
            _ => place,
        };
        if place.leaf().kind == Type::Complex {
            return Err(refused("it is complex, so name a sub-attribute"));
        }
        // Members and groups are items of their own, and a location is made for each answer.
        let is_kept_elsewhere = place.extension.is_none()
            && (kind.is_members(place.attribute)
                || kind.member_of.as_ref() == Some(&place.attribute.name)
                || (place.attribute.name == "meta" && place.leaf().name == "location"));
        if is_kept_elsewhere {
            return Err(refused("it is not a part of the stored resource"));
        }
        // The order of a hidden value would reveal it.
        let hidden = |attribute: &Attribute| attribute.returned == Returned::Never;
        if hidden(place.attribute) || hidden(place.leaf()) {
            return Err(refused("it is never returned"));
        }
        Ok(Self { kind, place: Some(place) })
    }

    /// Returns true for the order of ids, in which resources are stored.
    pub fn is_by_id(&self) -> bool {
        self.place.is_some_and(|place| place.extension.is_none() && place.attribute.name == "id")
    }

    /// Returns the unique attribute to sort by, if every resource has a value of it.
    pub fn unique(&self) -> Option<&'a AttrPath> {
        let sorted = self.place?;
        let path = self.kind.unique.iter().find(|path| match self.kind.resolve(path) {
            Some(Target::Attribute(place)) => place == sorted,
            Some(Target::Core | Target::Extension(_)) | None => false,
        })?;
        // The index of an optional attribute would lack the resources without a value.
        sorted.leaf().required.then_some(path)
    }

    pub fn rank(&self, resource: &Resource) -> Rank {
        let Some(place) = self.place else {
            return Rank::Missing;
        };
        let value = resource.get(self.kind, &place);
        let element = match value.as_deref() {
            Some(Value::Array(elements)) => representative(elements),
            one => one,
        };
        let value = match place.sub {
            Some(sub) => element.and_then(|element| element.get(&sub.name)),
            None => element,
        };
        let leaf = place.leaf();
        match value {
            Some(Value::Bool(boolean)) => Rank::Boolean(*boolean),
            Some(Value::Number(number)) => number.as_f64().map_or(Rank::Missing, Rank::Number),
            Some(Value::String(text)) if leaf.kind == Type::DateTime => {
                Instant::parse(text).map_or(Rank::Missing, Rank::Instant)
            }
            Some(Value::String(text)) if leaf.is_case_exact() => Rank::Text(text.clone()),
            Some(Value::String(text)) => Rank::Text(fold(text)),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => Rank::Missing,
        }
    }
}

/// Returns the element by which a multi-valued attribute is sorted: the primary one, or
/// else the first (s3.4.2.3).
fn representative(elements: &[Value]) -> Option<&Value> {
    elements.iter().find(|element| is_primary(element)).or(elements.first())
}

impl Rank {
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Instant(a), Self::Instant(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            // In a query of several types, attributes of one name may have different types.
            _ => self.class().cmp(&other.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Number(_) => 1,
            Self::Instant(_) => 2,
            Self::Text(_) => 3,
            Self::Missing => 4,
        }
    }
}
