//! A resource as it is stored: the attributes that a client sent, apart from `id` and
//! `meta`, which are ours. A client's copy of those cannot overwrite them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::scim::etag::{Derived, Etag, Version};
use crate::scim::schema::{Place, ResourceType, Schema};

/// Attributes by their name in the schema; the attributes of an extension are in an
/// object under its URN. Never holds `null`, `[]`, `{}`, `id`, `meta` or `schemas`.
pub type Attributes = Map<String, Value>;

#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub id: String,
    pub version: Version,
    pub created: Timestamp,
    pub last_modified: Timestamp,
    pub attributes: Attributes,
    /// Covers what an answer shows and the version does not: groups, names of other
    /// resources.
    pub derived: Option<Derived>,
    /// The number of members when the resource was read. They are kept apart from it, and
    /// their number decides how many groups are completed at the same time.
    pub members: u64,
}

impl Resource {
    pub fn etag(&self) -> Etag {
        Etag { version: self.version, derived: self.derived }
    }

    /// Makes the entity tag cover these texts, which the answer shows.
    pub fn cover<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        self.derived = Some(Derived::cover(self.derived, texts));
    }

    /// Returns the value of a whole attribute, whatever `place.sub` is.
    pub fn get<'a>(&'a self, kind: &ResourceType, place: &Place<'_>) -> Option<Cow<'a, Value>> {
        let name = place.attribute.name.as_str();
        if place.extension.is_none() {
            match name {
                "id" => return Some(Cow::Owned(Value::from(self.id.as_str()))),
                "meta" => return Some(Cow::Owned(self.meta(kind))),
                "schemas" => return Some(Cow::Owned(self.schemas(kind))),
                _ => {}
            }
        }
        get(&self.attributes, place).map(Cow::Borrowed)
    }

    /// Returns about the bytes of memory that the attributes take.
    pub fn weight(&self) -> usize {
        self.attributes.values().map(weight).sum()
    }

    /// Returns `meta` without `location`, which depends on the request.
    pub fn meta(&self, kind: &ResourceType) -> Value {
        serde_json::json!({
            "resourceType": kind.name,
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "version": self.etag().to_string(),
        })
    }

    /// Returns the schemas of the attributes that the resource has (RFC 7643 s3).
    pub fn schemas(&self, kind: &ResourceType) -> Value {
        // Derived rather than stored: a client's own list may name an extension of which
        // it sends no attribute, or omit one of which it does.
        let extensions = kind.extensions.iter().map(|extension| extension.schema.as_ref());
        std::iter::once(kind.schema.as_ref())
            .chain(extensions.filter(|schema| self.attributes.contains_key(&schema.id)))
            .map(|schema: &Schema| Value::from(schema.id.as_str()))
            .collect()
    }
}

fn weight(value: &Value) -> usize {
    // A member of an object takes about 100 bytes with its name, and every object some more.
    const VALUE: usize = 200;
    VALUE
        + match value {
            Value::String(text) => text.len(),
            Value::Array(elements) => elements.iter().map(weight).sum(),
            Value::Object(members) => members.values().map(weight).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// Returns the places of the attributes that have a value.
pub fn assigned<'a>(kind: &'a ResourceType, attributes: &Attributes) -> impl Iterator<Item = Place<'a>> {
    kind.places().filter(|place| get(attributes, place).is_some())
}

pub fn get_mut<'a>(attributes: &'a mut Attributes, place: &Place<'_>) -> Option<&'a mut Value> {
    let object = match place.extension {
        Some(urn) => attributes.get_mut(urn)?.as_object_mut()?,
        None => attributes,
    };
    object.get_mut(&place.attribute.name)
}

pub fn get<'a>(attributes: &'a Attributes, place: &Place<'_>) -> Option<&'a Value> {
    let object = match place.extension {
        Some(urn) => attributes.get(urn)?.as_object()?,
        None => attributes,
    };
    object.get(&place.attribute.name)
}
