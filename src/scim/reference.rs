//! Attributes that refer to another resource, such as `manager` (RFC 7643 s4.3). The id in
//! `value` is stored. An answer derives `$ref` and the name of the resource from it.

use serde_json::{Map, Value};

use crate::scim::decode::object_at;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::quirks;
use crate::scim::resource::{Attributes, get};
use crate::scim::schema::{Mutability, Place, Reference, ResourceType};

const REF: &str = "$ref";

/// Returns the references of a resource that have a value: the attribute, and the id.
pub fn references<'k, 'v>(
    kind: &'k ResourceType,
    attributes: &'v Attributes,
) -> impl Iterator<Item = (&'k Reference, Place<'k>, &'v str)> {
    kind.references.iter().filter_map(|reference| {
        let place = kind.place_of(reference)?;
        let id = get(attributes, &place)?.get("value")?.as_str()?;
        Some((reference, place, id))
    })
}

/// Returns the ids that a resource refers to.
pub fn referred<'a>(kind: &'a ResourceType, attributes: &'a Attributes) -> Vec<(&'a Reference, &'a str)> {
    references(kind, attributes).map(|(reference, _, id)| (reference, id)).collect()
}

/// Sets what an answer derives: the URL and the name of the resource, or neither for one
/// that does not exist.
pub fn derive(attributes: &mut Attributes, place: &Place<'_>, found: Option<(String, Option<&str>)>) {
    let subs = &place.attribute.sub_attributes;
    let name = subs.iter().find(|sub| {
        ["displayName", "display"].contains(&sub.name.as_str()) && sub.mutability == Mutability::ReadOnly
    });
    let object = object_at(attributes, place.extension);
    let Some(Value::Object(object)) = object.get_mut(&place.attribute.name) else {
        return;
    };
    let (reference, display) = found.map_or((None, None), |(url, name)| (Some(url), name));
    let mut set = |name: &str, value: Option<&str>| match value {
        Some(value) => drop(object.insert(name.to_owned(), value.into())),
        None => drop(object.shift_remove(name)),
    };
    set(REF, reference.as_deref());
    if let Some(name) = name {
        set(&name.name, display);
    }
}

/// Reads the `$ref` of a reference that a client sent: as its `value`, if that is missing.
pub(crate) fn without_ref(kind: &ResourceType, place: &Place<'_>, object: &mut Map<String, Value>) {
    let Some(reference) = kind.reference(place.attribute).filter(|_| place.sub.is_none()) else {
        return;
    };
    let referred = object.get(REF).and_then(Value::as_str).and_then(quirks::referred);
    if object.get("value").is_none_or(Value::is_null)
        && let Some((id, kind)) = referred
        && !id.is_empty()
        && reference.types.iter().any(|name| name == kind)
    {
        let id = Value::from(id);
        object.insert("value".to_owned(), id);
    }
    // A reference to something else is all that the client says, and is kept.
    if object.get("value").is_some_and(Value::is_string) {
        object.shift_remove(REF);
    }
}

/// Refuses references to resources that do not exist, but for those that the resource has
/// already. `missing` are the ids of none.
pub fn check(
    kind: &ResourceType,
    missing: &[String],
    before: Option<&Attributes>,
    after: &Attributes,
) -> Result<()> {
    for (reference, place, id) in
        references(kind, after).filter(|(_, _, id)| missing.iter().any(|one| one == id))
    {
        let known = before.and_then(|before| get(before, &place)?.get("value")?.as_str());
        if known != Some(id) {
            return Err(ErrorKind::InvalidValue.with(format!(
                "{}.value must be the id of an existing {}: create it first, or ask the operator to set the policy unknownManagers to accept",
                place.attribute.name,
                reference.types.join(" or ")
            )));
        }
    }
    Ok(())
}
