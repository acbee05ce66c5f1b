//! One operation of a PATCH, applied to the attributes of a resource.

use serde_json::{Map, Value};

use crate::scim::decode::{Reader, check_primary, is_primary, object_at};
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::filter::Filter;
use crate::scim::filter::evaluate::ElementMatcher;
use crate::scim::patch::Op;
use crate::scim::quirks::{self, Leeway, Tolerance};
use crate::scim::resource::Attributes;
use crate::scim::schema::{Attribute, Mutability, Place};

pub(crate) struct Operation<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) elements: Option<Elements<'a>>,
    pub(crate) change: Change,
}

/// The elements that a value filter selects, and the one to make if there is none.
pub(crate) struct Elements<'a> {
    matcher: ElementMatcher<'a>,
    filter: Filter,
    make: Option<Map<String, Value>>,
    leeway: Leeway<'a>,
}

pub(crate) enum Change {
    /// To the values that are there; with a filter, into the elements it selects.
    Add(Value),
    /// In the place of what is there. A single complex value merges, and a
    /// `null` in it unassigns (s3.5.2.3).
    Set(Value),
    Remove,
    /// Those elements of a multi-valued attribute. Entra ID and JumpCloud name
    /// members this way; taking it for [`Change::Remove`] empties the group.
    RemoveThese(Vec<Value>),
}

/// Comparisons of values that one PATCH may cost, about a second of them: 500
/// values can be added to 20,000.
pub(crate) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(10_000_000)
    }
}

impl Budget {
    fn spend(&mut self, comparisons: usize) -> Result<()> {
        let left = self.0.checked_sub(comparisons);
        self.0 = left.ok_or_else(|| {
            ErrorKind::TooLarge
                .with("the operations have too many values to compare: send them in several requests")
        })?;
        Ok(())
    }
}

impl<'a> Elements<'a> {
    pub(crate) fn read(reader: &Reader<'a>, op: Op, place: &Place<'a>, filter: Filter) -> Result<Self> {
        if !place.attribute.multi_valued {
            return Err(ErrorKind::InvalidPath
                .with(format!("{} has a single value: name it without a filter", place.attribute.name)));
        }
        let matcher = ElementMatcher::new(&filter, place.attribute, reader.leeway)
            .map_err(|Error { detail, .. }| ErrorKind::InvalidPath.with(detail))?;
        let make = quirks::element(op, place.attribute, &filter, reader.leeway);
        Ok(Self { matcher, filter, make, leeway: reader.leeway })
    }
}

impl Operation<'_> {
    /// An error leaves `attributes` half changed.
    pub(crate) fn apply(&self, attributes: &mut Attributes, budget: &mut Budget) -> Result<()> {
        let Place { extension, attribute, sub } = self.place;
        let before = object_at(attributes, extension).shift_remove(&attribute.name);
        let after = match sub {
            _ if attribute.multi_valued => self.change_elements(into_elements(before), budget)?,
            None => self.change.apply(attribute, before),
            Some(sub) => {
                let mut object = into_object(before);
                self.change.apply_to_member(sub, &mut object)?;
                (!object.is_empty()).then_some(Value::Object(object))
            }
        };
        let object = object_at(attributes, extension);
        object.extend(after.map(|value| (attribute.name.clone(), value)));
        if object.is_empty()
            && let Some(urn) = extension
        {
            attributes.remove(urn);
        }
        Ok(())
    }

    fn change_elements(&self, before: Vec<Value>, budget: &mut Budget) -> Result<Option<Value>> {
        let Place { attribute, sub, .. } = self.place;
        budget.spend(before.len().max(1) * self.change.width())?;
        let primary = before.iter().position(is_primary);
        let mut after = match (&self.elements, sub) {
            (None, None) => into_elements(self.change.apply(attribute, Some(Value::Array(before)))),
            (elements, sub) => self.change_selected(elements.as_ref(), sub, before)?,
        };
        after.retain(|element| element.as_object().is_none_or(|object| !object.is_empty()));
        if self.change.assigns() {
            demote(primary, &mut after);
        }
        Ok((!after.is_empty()).then_some(Value::Array(after)))
    }

    /// Without `elements` all are selected; with `sub` that part of each changes.
    fn change_selected(
        &self,
        elements: Option<&Elements<'_>>,
        sub: Option<&Attribute>,
        before: Vec<Value>,
    ) -> Result<Vec<Value>> {
        let attribute = self.place.attribute;
        let mut after = Vec::with_capacity(before.len() + 1);
        let (mut found, mut primaries) = (false, 0);
        for element in before {
            if elements.is_some_and(|elements| !elements.matcher.matches(&element)) {
                after.push(element);
                continue;
            }
            found = true;
            let element = self.change.apply_to_element(attribute, sub, element)?;
            primaries += usize::from(element.as_ref().is_some_and(is_primary));
            after.extend(element);
        }
        check_primary(&attribute.name, primaries)?;
        // To remove what is not there is a success (s3.5.2.2).
        if !found && self.change.assigns() {
            let made = elements.map_or_else(|| Ok(Map::new()), |elements| elements.make(attribute))?;
            after.push(self.change.complete(sub, made)?);
        }
        Ok(after)
    }
}

impl Elements<'_> {
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    fn make(&self, attribute: &Attribute) -> Result<Map<String, Value>> {
        let made = self.make.as_ref().filter(|_| self.leeway.tolerates(Tolerance::ElementMade));
        made.cloned().ok_or_else(|| {
            ErrorKind::NoTarget.with(format!("no value of {} matches [{}]", attribute.name, self.filter))
        })
    }
}

impl Change {
    fn assigns(&self) -> bool {
        match self {
            Self::Add(_) | Self::Set(_) => true,
            Self::Remove | Self::RemoveThese(_) => false,
        }
    }

    /// With how many values each of those that are there is compared.
    fn width(&self) -> usize {
        match self {
            Self::Add(Value::Array(these)) | Self::RemoveThese(these) => these.len(),
            Self::Add(_) | Self::Set(_) | Self::Remove => 1,
        }
    }

    /// The value of `attribute` afterwards.
    fn apply(&self, attribute: &Attribute, value: Option<Value>) -> Option<Value> {
        match self {
            Self::Remove => None,
            Self::Set(Value::Object(new)) => {
                let mut object = into_object(value);
                object.extend(new.clone());
                object.retain(|_, value| !value.is_null());
                (!object.is_empty()).then_some(Value::Object(object))
            }
            Self::Set(new) => Some(new.clone()),
            Self::Add(new) => {
                let mut elements = into_elements(value);
                for element in quirks::elements(new) {
                    add_element(attribute, &mut elements, element);
                }
                Some(Value::Array(elements))
            }
            Self::RemoveThese(these) => {
                let mut elements = into_elements(value);
                elements.retain(|element| !these.iter().any(|this| is_same(element, this)));
                (!elements.is_empty()).then_some(Value::Array(elements))
            }
        }
    }

    /// An element that a path selects, or the part `sub` of it.
    fn apply_to_element(
        &self,
        attribute: &Attribute,
        sub: Option<&Attribute>,
        element: Value,
    ) -> Result<Option<Value>> {
        match (self, sub, element) {
            (Self::Remove | Self::RemoveThese(_), None, _) => Ok(None),
            (Self::Add(Value::Object(new)), None, Value::Object(mut object)) => {
                for (name, value) in new {
                    set_member(attribute.sub_attribute(name), &mut object, name, Some(value.clone()))?;
                }
                Ok(Some(Value::Object(object)))
            }
            (Self::Add(new) | Self::Set(new), None, _) => Ok(Some(new.clone())),
            (_, Some(sub), Value::Object(mut object)) => {
                self.apply_to_member(sub, &mut object)?;
                Ok(Some(Value::Object(object)))
            }
            (_, Some(_), simple) => Ok(Some(simple)),
        }
    }

    /// A made element, which a filter describes, with what the value says of it.
    fn complete(&self, sub: Option<&Attribute>, mut made: Map<String, Value>) -> Result<Value> {
        match (self, sub) {
            (_, Some(sub)) => self.apply_to_member(sub, &mut made)?,
            (Self::Add(Value::Object(new)) | Self::Set(Value::Object(new)), None) => made.extend(new.clone()),
            (_, None) => {}
        }
        Ok(Value::Object(made))
    }

    fn apply_to_member(&self, sub: &Attribute, object: &mut Map<String, Value>) -> Result<()> {
        let after = self.apply(sub, object.get(&sub.name).cloned());
        set_member(Some(sub), object, &sub.name, after)
    }
}

/// s3.5.2: a client may give an `immutable` sub-attribute a value, once.
fn set_member(
    sub: Option<&Attribute>,
    object: &mut Map<String, Value>,
    name: &str,
    value: Option<Value>,
) -> Result<()> {
    let before = object.get(name);
    if sub.is_some_and(|sub| sub.mutability == Mutability::Immutable)
        && before.is_some()
        && before != value.as_ref()
    {
        return Err(ErrorKind::Mutability
            .with(format!("{name} cannot be changed once it is set: remove the value and add another")));
    }
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
    Ok(())
}

/// s3.5.2.1: what is there already is not added again; the rest of what the new
/// value says is merged into the old one, as far as it may change.
fn add_element(attribute: &Attribute, elements: &mut Vec<Value>, new: &Value) {
    match (elements.iter_mut().find(|old| is_same(old, new)), new) {
        (None, _) => elements.push(new.clone()),
        (Some(Value::Object(old)), Value::Object(new)) => {
            for (name, value) in new {
                let stays =
                    attribute.sub_attribute(name).is_some_and(|sub| sub.mutability == Mutability::Immutable)
                        && old.contains_key(name);
                if !stays {
                    old.insert(name.clone(), value.clone());
                }
            }
        }
        (Some(_), _) => {}
    }
}

/// Whether `this`, as a client names it, stands for `element`: RFC 7643 s2.4
/// wants the pair of `value` and `type` to be unique. Without a `value` to go
/// by, everything that it says has to be so.
fn is_same(element: &Value, this: &Value) -> bool {
    let (Value::Object(element), Value::Object(named)) = (element, this) else {
        return element == this;
    };
    match (element.get("value"), named.get("value")) {
        (Some(value), Some(other)) if value == other => match (element.get("type"), named.get("type")) {
            (Some(old), Some(new)) => old == new,
            (None, _) | (_, None) => true,
        },
        (Some(_), Some(_)) => false,
        (None, _) | (_, None) => named.iter().all(|(name, value)| element.get(name) == Some(value)),
    }
}

/// s3.5.2: a value made primary takes that from the one that was, at `primary`.
fn demote(primary: Option<usize>, elements: &mut [Value]) {
    if elements.iter().filter(|element| is_primary(element)).count() < 2 {
        return;
    }
    if let Some(Value::Object(old)) = primary.and_then(|index| elements.get_mut(index)) {
        old.insert("primary".to_owned(), false.into());
    }
}

fn into_object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        Some(_) | None => Map::new(),
    }
}

fn into_elements(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(elements)) => elements,
        Some(_) | None => Vec::new(),
    }
}
