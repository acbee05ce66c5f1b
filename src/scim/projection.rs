//! The attributes of a resource that an answer has (RFC 7644 s3.9, `returned` of RFC
//! 7643 s7), and the resource as clients see it.

use serde_json::{Map, Value};

use crate::scim::attr_path::AttrPath;
use crate::scim::decode::excerpt;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::quirks::{self, Leeway};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Place, ResourceType, Returned, Target};

/// The attributes that an answer shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection<'a> {
    selection: Selection<'a>,
    /// The attributes that the request has set, and that are shown for no other reason.
    set: Vec<Place<'a>>,
}

/// The parameters `attributes` and `excludedAttributes`.
#[derive(Clone, Debug, Default, PartialEq)]
enum Selection<'a> {
    #[default]
    Default,
    Only(Vec<Target<'a>>),
    Without(Vec<Target<'a>>),
}

/// The bytes of a list of names: more than all attributes of a type with their URNs.
const MAX_TEXT: usize = 16 * 1024;

/// The extent to which the parameters name an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    No,
    /// At least one sub-attribute is named, but not the whole.
    Partly,
    Wholly,
}

impl<'a> Projection<'a> {
    /// Reads both parameters, which are lists of names separated by commas.
    pub fn parse(
        kind: &'a ResourceType,
        (attributes, excluded): (Option<&str>, Option<&str>),
        leeway: Leeway<'_>,
    ) -> Result<Self> {
        let targets = |list: &str| {
            if list.len() > MAX_TEXT {
                return Err(ErrorKind::InvalidValue.with(format!(
                    "attributes and excludedAttributes have {} bytes, the limit is {MAX_TEXT}",
                    list.len()
                )));
            }
            let mut targets = Vec::new();
            for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let path: AttrPath = name.parse().map_err(|error| {
                    ErrorKind::InvalidValue.with(format!("attribute {}: {error}", excerpt(name)))
                })?;
                // An unknown name selects nothing: s3.9 has no error for it, and in a query of
                // several types it may be another type's. A repeated one would be compared with
                // every attribute of every resource again.
                targets
                    .extend(quirks::resolve(kind, &path, leeway).filter(|target| !targets.contains(target)));
            }
            Ok(targets)
        };
        let given = |list: Option<&str>| list.is_some_and(|list| !list.trim().is_empty());
        let selection = match (attributes, excluded) {
            (Some(_), Some(_)) if given(attributes) && given(excluded) => {
                return Err(ErrorKind::InvalidValue
                    .with("attributes and excludedAttributes cannot be combined: send one of them"));
            }
            (Some(list), _) if given(attributes) => Selection::Only(targets(list)?),
            (_, Some(list)) if given(excluded) => Selection::Without(targets(list)?),
            _ => Selection::Default,
        };
        Ok(Self { selection, set: Vec::new() })
    }

    /// Adds the attributes that a POST, PUT or PATCH has set: its answer shows them even if
    /// they are `returned: request` (RFC 7643 s7).
    #[must_use]
    pub fn after_write(mut self, set: impl Iterator<Item = Place<'a>>) -> Self {
        let on_request = |attribute: &Attribute| attribute.returned == Returned::Request;
        for place in set {
            let is_hidden =
                on_request(place.attribute) || place.attribute.sub_attributes.iter().any(on_request);
            // Each once: a PATCH may set one attribute with each of 20,000 operations.
            if is_hidden && !self.set.contains(&place) {
                self.set.push(place);
            }
        }
        self
    }

    fn has_set(&self, place: &Place<'_>) -> bool {
        self.set.iter().any(|set| {
            std::ptr::eq(set.attribute, place.attribute)
                && set.sub.zip(place.sub).is_none_or(|(set, sub)| std::ptr::eq(set, sub))
        })
    }

    /// Returns true if an answer has any part of the attribute of this name.
    pub fn shows(&self, kind: &ResourceType, name: &str) -> bool {
        let attribute = kind.schema.attribute(name);
        attribute.is_some_and(|attribute| self.keeps(&Place { extension: None, attribute, sub: None }))
    }

    fn names(&self, place: &Place<'_>) -> Named {
        let targets = match &self.selection {
            Selection::Default => return Named::No,
            Selection::Only(targets) | Selection::Without(targets) => targets,
        };
        let wholly = |is_named: bool| if is_named { Named::Wholly } else { Named::No };
        let named = |target: &Target<'_>| match target {
            Target::Core => wholly(place.extension.is_none()),
            Target::Extension(schema) => wholly(place.extension == Some(schema.id.as_str())),
            Target::Attribute(named) if !std::ptr::eq(named.attribute, place.attribute) => Named::No,
            Target::Attribute(named) => match (named.sub, place.sub) {
                (None, _) => Named::Wholly,
                (Some(sub), Some(other)) if std::ptr::eq(sub, other) => Named::Wholly,
                (Some(_), Some(_)) => Named::No,
                (Some(_), None) => Named::Partly,
            },
        };
        let found: Vec<Named> = targets.iter().map(named).collect();
        if found.contains(&Named::Wholly) {
            Named::Wholly
        } else if found.contains(&Named::Partly) {
            Named::Partly
        } else {
            Named::No
        }
    }

    /// Returns true if an answer has any part of a place.
    pub fn keeps(&self, place: &Place<'_>) -> bool {
        let named = self.names(place);
        // RFC 7643 s7: the parameters have no influence on `always` and `never`.
        match (place.leaf().returned, &self.selection) {
            (Returned::Always, _) | (Returned::Default, Selection::Default) => true,
            (Returned::Never, _) => false,
            (Returned::Request, Selection::Default | Selection::Without(_)) => {
                named != Named::Wholly && self.has_set(place)
            }
            (Returned::Default | Returned::Request, Selection::Only(_)) => named != Named::No,
            (Returned::Default, Selection::Without(_)) => named != Named::Wholly,
        }
    }

    fn render(&self, place: &Place<'_>, value: &Value) -> Option<Value> {
        match value {
            Value::Array(elements) if place.sub.is_none() && place.attribute.multi_valued => {
                let elements: Vec<Value> =
                    elements.iter().filter_map(|element| self.render_one(place, element)).collect();
                (!elements.is_empty()).then_some(Value::Array(elements))
            }
            one => self.render_one(place, one),
        }
    }

    fn render_one(&self, place: &Place<'_>, value: &Value) -> Option<Value> {
        let Value::Object(object) = value else {
            return Some(value.clone());
        };
        let shown = |sub: &Attribute| {
            let value = object.get(&sub.name)?;
            self.keeps(&Place { sub: Some(sub), ..*place }).then(|| (sub.name.clone(), value.clone()))
        };
        let object: Map<String, Value> = place.attribute.sub_attributes.iter().filter_map(shown).collect();
        (!object.is_empty()).then_some(Value::Object(object))
    }
}

/// Renders a resource in the order of its schema documents.
pub fn render(
    kind: &ResourceType,
    resource: &Resource,
    projection: &Projection<'_>,
    location: &str,
) -> Value {
    let mut answer = Map::new();
    let mut meta = None;
    for place in kind.places().filter(|place| projection.keeps(place)) {
        let name = &place.attribute.name;
        let Some(mut value) = resource.get(kind, &place) else {
            // A client that reads all groups takes a group without the attribute for one whose
            // members it does not know.
            if kind.is_members(place.attribute) {
                answer.insert(name.clone(), Value::Array(Vec::new()));
            }
            continue;
        };
        // Common attributes first and `meta` last: the order of the RFCs' examples.
        if name == "meta" && place.extension.is_none() {
            value.to_mut()["location"] = location.into();
            meta = projection.render(&place, &value);
            continue;
        }
        let Some(value) = projection.render(&place, &value) else {
            continue;
        };
        match place.extension {
            None => {
                answer.insert(name.clone(), value);
            }
            Some(urn) => {
                if let Value::Object(object) = answer.entry(urn).or_insert_with(|| Map::new().into()) {
                    object.insert(name.clone(), value);
                }
            }
        }
    }
    answer.extend(meta.map(|meta| ("meta".to_owned(), meta)));
    Value::Object(answer)
}
