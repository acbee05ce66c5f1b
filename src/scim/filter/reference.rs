//! Conditions on `$ref`. No resource stores it: it ends in the id that `value` holds, and
//! begins with the address by which a client reached the endpoint. A condition on it is
//! therefore read as one on `value`.

use std::sync::Arc;

use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::error::Result;
use crate::scim::filter::compare::invalid;
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks;
use crate::scim::schema::{Attribute, ResourceType, Target};

const REF: &str = "$ref";

impl Filter {
    /// Replaces the conditions on references in a filter of a query of these types.
    pub fn without_refs(self, kinds: &[Arc<ResourceType>]) -> Result<Self> {
        let attribute_of = |path: &AttrPath| {
            kinds.iter().find_map(|kind| match quirks::resolve_again(kind, path)? {
                Target::Attribute(place) => {
                    kind.derives_ref(place.attribute).then_some((kind.as_ref(), place.attribute))
                }
                Target::Core | Target::Extension(_) => None,
            })
        };
        self.replaced(&|leaf| {
            match leaf {
                Self::Element { path, filter } => match attribute_of(&path) {
                    Some((kind, attribute)) => {
                        let filter = Box::new(filter.element_without_refs(kind, attribute)?);
                        Ok(Self::Element { path, filter })
                    }
                    None => Ok(Self::Element { path, filter }),
                },
                Self::Compare { ref path, .. } | Self::Present(ref path)
                    if path.sub.as_ref().is_some_and(|sub| sub.eq_ignore_ascii_case(REF)) =>
                {
                    let Some((kind, attribute)) = attribute_of(path) else { return Ok(leaf) };
                    let path = AttrPath { sub: None, ..path.clone() };
                    // An element that has another reference, or a resource without any.
                    let or_none =
                        matches!(leaf, Self::Compare { op: CompareOp::Ne, .. }).then(|| path.clone());
                    let filter = Box::new(condition(leaf, kind, attribute)?);
                    let element = Self::Element { path, filter };
                    Ok(Self::any(
                        std::iter::once(element)
                            .chain(or_none.map(|path| Self::Not(Box::new(Self::Present(path))))),
                    ))
                }
                other => Ok(other),
            }
        })
    }

    /// Replaces the conditions on references in a filter of the elements of an attribute.
    pub fn element_without_refs(self, kind: &ResourceType, attribute: &Attribute) -> Result<Self> {
        if !kind.derives_ref(attribute) {
            return Ok(self);
        }
        self.replaced(&|leaf| match leaf {
            Self::Compare { ref path, .. } | Self::Present(ref path)
                if path.attr.eq_ignore_ascii_case(REF) && path.schema.is_none() && path.sub.is_none() =>
            {
                condition(leaf, kind, attribute)
            }
            other => Ok(other),
        })
    }

    fn replaced(self, replace: &impl Fn(Self) -> Result<Self>) -> Result<Self> {
        let each =
            |legs: Vec<Self>| legs.into_iter().map(|leg| leg.replaced(replace)).collect::<Result<Vec<_>>>();
        match self {
            Self::All(legs) => Ok(Self::all(each(legs)?)),
            Self::Any(legs) => Ok(Self::any(each(legs)?)),
            Self::Not(inner) => Ok(Self::Not(Box::new(inner.replaced(replace)?))),
            leaf => replace(leaf),
        }
    }
}

/// Returns what a condition on `$ref` says of the other parts of an element.
fn condition(leaf: Filter, kind: &ResourceType, attribute: &Attribute) -> Result<Filter> {
    let name = &attribute.name;
    let part = |name: &str| AttrPath { schema: None, attr: name.to_owned(), sub: None };
    let Filter::Compare { op, value, .. } = leaf else {
        return Ok(Filter::Present(part("value")));
    };
    let is_equal = match (op, value) {
        (CompareOp::Eq | CompareOp::Ne, Value::Null) => Filter::Not(Box::new(Filter::Present(part("value")))),
        (CompareOp::Eq | CompareOp::Ne, Value::String(reference)) => {
            let types = attribute.sub_attribute(REF).map_or(&[][..], |sub| &sub.reference_types);
            let referred = quirks::referred(&reference).filter(|(id, kind)| {
                !id.is_empty() && types.iter().any(|name| name.eq_ignore_ascii_case(kind))
            });
            let (id, referred) = referred.ok_or_else(|| {
                invalid(format!("{name}.$ref must be compared with the URL of a resource: compare {name}.value with its id"))
            })?;
            let equals = |name, value: &str| Filter::Compare {
                path: part(name),
                op: CompareOp::Eq,
                value: value.into(),
            };
            // Of a member, the type says at which endpoint it is. A group's `type` is another.
            let of_type = kind.is_members(attribute).then(|| equals("type", referred));
            Filter::all(std::iter::once(equals("value", id)).chain(of_type))
        }
        _ => {
            return Err(invalid(format!(
                "{name}.$ref can only be compared by eq, ne or pr: compare {name}.value with an id"
            )));
        }
    };
    Ok(if op == CompareOp::Ne { Filter::Not(Box::new(is_equal)) } else { is_equal })
}
