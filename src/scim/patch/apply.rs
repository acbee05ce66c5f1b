//! Operations of a PATCH, applied to the attributes of a resource.
//!
//! Values were read against the schema before, so what can fail here depends on the
//! resource: no element to change, an immutable value, more than one primary.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::Op;
use crate::scim::decode::{Reader, check_primary, is_primary, object_at};
use crate::scim::equality::is_equal;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::filter::case_fold::fold;
use crate::scim::filter::evaluate::ElementMatcher;
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::quirks::{self, Leeway, Tolerance};
use crate::scim::resource::Attributes;
use crate::scim::schema::{Attribute, Mutability, Place, Type};
use crate::scim::work::{Exhausted, Work};

pub(super) struct Operation<'a> {
    pub(super) place: Place<'a>,
    pub(super) elements: Option<Elements<'a>>,
    pub(super) change: Change,
}

/// The elements that a value filter selects.
pub(super) struct Elements<'a> {
    matcher: ElementMatcher<'a>,
    filter: Filter,
    /// The element to create if the filter selects none.
    template: Option<Map<String, Value>>,
    leeway: Leeway<'a>,
}

pub(super) enum Change {
    /// Adds to the present values; with a filter, to each element that it selects.
    Add(Value),
    /// Replaces the present value. A single complex value is merged, and a `null` in it
    /// unassigns (s3.5.2.3).
    Set(Value),
    Remove,
    /// Removes single values of a multi-valued attribute. Entra ID and JumpCloud name
    /// members this way; read as [`Change::Remove`] it would empty the group.
    RemoveValues(Vec<Value>),
}

impl<'a> Elements<'a> {
    pub(super) fn read(reader: &Reader<'a>, op: Op, place: &Place<'a>, filter: Filter) -> Result<Self> {
        let is_one = || {
            place.attribute.kind == Type::Complex && reader.leeway.tolerates(Tolerance::FilterOfSingleValue)
        };
        if !place.attribute.multi_valued && !is_one() {
            return Err(ErrorKind::InvalidPath
                .with(format!("{} is single-valued: omit the filter", place.attribute.name)));
        }
        let filter = filter.element_without_refs(reader.kind, place.attribute).map_err(of_path)?;
        let matcher = ElementMatcher::new(&filter, place.attribute, reader.leeway).map_err(of_path)?;
        let template = template(op, place.attribute, &filter, reader.leeway);
        Ok(Self { matcher, filter, template, leeway: reader.leeway })
    }
}

/// A filter is part of the path here, so its errors are those of a path.
fn of_path(Error { detail, .. }: Error) -> Error {
    ErrorKind::InvalidPath.with(detail)
}

/// Returns the element that a filter of the form `type eq "work"` describes.
fn template(
    op: Op,
    attribute: &Attribute,
    filter: &Filter,
    leeway: Leeway<'_>,
) -> Option<Map<String, Value>> {
    let Filter::Compare { path, op: CompareOp::Eq, value } = filter else {
        return None;
    };
    let sub = attribute.sub_attribute(&path.attr)?;
    let value = match value {
        Value::String(text) if sub.kind == Type::Boolean => json!(quirks::boolean(text, leeway)?),
        Value::Null => return None,
        value => value.clone(),
    };
    // Under `replace`, `noTarget` is the RFC's answer and helps against a mistyped
    // filter. It is given up only for values that the schema suggests: those are what
    // Entra ID sends, and a misspelled `type` is none of them.
    let is_suggested = match &value {
        Value::String(text) => sub.canonical_values.iter().any(|known| known.eq_ignore_ascii_case(text)),
        Value::Bool(primary) => *primary && sub.name == "primary",
        _ => false,
    };
    let value = if sub.multi_valued { Value::Array(vec![value]) } else { value };
    (is_suggested || op == Op::Add).then(|| Map::from_iter([(sub.name.clone(), value)]))
}

impl Operation<'_> {
    /// Applies the operation. An error leaves `attributes` half changed.
    pub(super) fn apply(&self, attributes: &mut Attributes, work: &Work) -> Result<()> {
        let Place { extension, attribute, sub } = self.place;
        let before = object_at(attributes, extension).shift_remove(&attribute.name);
        let after = match sub {
            _ if attribute.multi_valued => self.change_elements(into_elements(before), work)?,
            _ if !self.selects(before.as_ref(), work)? => before,
            None => self.change.apply(attribute, before, work)?,
            Some(sub) => {
                let mut object = into_object(before);
                self.change.apply_to_sub(sub, &mut object, work)?;
                (!object.is_empty()).then_some(Value::Object(object))
            }
        };
        let object = object_at(attributes, extension);
        object.extend(after.map(|value| (attribute.name.clone(), value)));
        // `schemas` names an extension if its object exists, so none is left empty.
        if object.is_empty()
            && let Some(urn) = extension
        {
            attributes.remove(urn);
        }
        Ok(())
    }

    /// Returns true unless a value filter does not select a single value.
    fn selects(&self, value: Option<&Value>, work: &Work) -> Result<bool> {
        let Some(elements) = &self.elements else { return Ok(true) };
        Ok(match value {
            Some(value) => elements.matcher.matches(value, work)?,
            None => false,
        })
    }

    fn change_elements(&self, before: Vec<Value>, work: &Work) -> Result<Option<Value>> {
        let Place { attribute, sub, .. } = self.place;
        // Each element is looked at, if only to move it.
        work.spend(before.len() + 1, 0)?;
        let primary = before.iter().position(is_primary);
        let mut after = match (&self.elements, sub) {
            (None, None) => into_elements(self.change.apply(attribute, Some(Value::Array(before)), work)?),
            (elements, sub) => self.change_selected((elements.as_ref(), sub), before, work)?,
        };
        after.retain(|element| element.as_object().is_none_or(|object| !object.is_empty()));
        if self.change.assigns() {
            demote(primary, &mut after);
        }
        Ok((!after.is_empty()).then_some(Value::Array(after)))
    }

    /// Changes the selected elements, or all of them if `elements` is `None`; with
    /// `sub`, that sub-attribute of each.
    fn change_selected(
        &self,
        (elements, sub): (Option<&Elements<'_>>, Option<&Attribute>),
        before: Vec<Value>,
        work: &Work,
    ) -> Result<Vec<Value>> {
        let attribute = self.place.attribute;
        let mut after = Vec::with_capacity(before.len() + 1);
        let (mut found, mut primaries) = (false, 0);
        for element in before {
            if let Some(elements) = elements
                && !elements.matcher.matches(&element, work)?
            {
                after.push(element);
                continue;
            }
            found = true;
            let element = self.change.apply_to_element((attribute, sub), element, work)?;
            primaries += usize::from(element.as_ref().is_some_and(is_primary));
            after.extend(element);
        }
        // Two elements made primary by one operation are a contradiction. One that takes
        // over from another is not: see `demote`.
        check_primary(&attribute.name, primaries)?;
        // Removing an absent value succeeds (s3.5.2.2); assigning to one does not.
        if !found && self.change.assigns() {
            let new = elements.map_or_else(|| Ok(Map::new()), |elements| elements.create(attribute))?;
            after.push(self.change.fill(sub, new, work)?);
        }
        Ok(after)
    }
}

impl Elements<'_> {
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    fn create(&self, attribute: &Attribute) -> Result<Map<String, Value>> {
        let template = self.template.as_ref().filter(|_| self.leeway.tolerates(Tolerance::ElementMade));
        template.cloned().ok_or_else(|| {
            ErrorKind::NoTarget.with(format!("no value of {} matches [{}]", attribute.name, self.filter))
        })
    }
}

impl Change {
    pub(super) fn assigns(&self) -> bool {
        match self {
            Self::Add(_) | Self::Set(_) => true,
            Self::Remove | Self::RemoveValues(_) => false,
        }
    }

    /// Returns the value of `attribute` after the change.
    fn apply(
        &self,
        attribute: &Attribute,
        value: Option<Value>,
        work: &Work,
    ) -> Result<Option<Value>, Exhausted> {
        Ok(match self {
            Self::Remove => None,
            // s3.5.2.3: sub-attributes that the new value does not name are kept.
            Self::Set(Value::Object(new)) => {
                let mut object = into_object(value);
                object.extend(new.clone());
                object.retain(|_, value| !value.is_null());
                (!object.is_empty()).then_some(Value::Object(object))
            }
            Self::Set(new) => Some(new.clone()),
            Self::Add(new) => {
                let mut present = Present::new(attribute, into_elements(value), work)?;
                for element in quirks::elements(new) {
                    present.add(element, work)?;
                }
                Some(Value::Array(present.elements))
            }
            Self::RemoveValues(values) => {
                let present = Present::new(attribute, into_elements(value), work)?;
                let mut removed = HashSet::new();
                for named in values {
                    removed.extend(present.find(named, work)?);
                }
                let elements = present.elements.into_iter().enumerate();
                let kept = elements.filter(|(index, _)| !removed.contains(index));
                let kept: Vec<Value> = kept.map(|(_, element)| element).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
        })
    }

    /// Returns a selected element after the change of it, or of its `sub`.
    fn apply_to_element(
        &self,
        (attribute, sub): (&Attribute, Option<&Attribute>),
        element: Value,
        work: &Work,
    ) -> Result<Option<Value>> {
        match (self, sub, element) {
            (Self::Remove | Self::RemoveValues(_), None, _) => Ok(None),
            (Self::Add(Value::Object(new)), None, Value::Object(mut object)) => {
                for (name, value) in new {
                    set_sub(attribute.sub_attribute(name), &mut object, name, Some(value.clone()))?;
                }
                Ok(Some(Value::Object(object)))
            }
            // s3.5.2.3: `replace` with a filter replaces whole elements, unlike one that
            // names a single complex attribute.
            (Self::Add(new) | Self::Set(new), None, _) => Ok(Some(new.clone())),
            (_, Some(sub), Value::Object(mut object)) => {
                self.apply_to_sub(sub, &mut object, work)?;
                Ok(Some(Value::Object(object)))
            }
            (_, Some(_), simple) => Ok(Some(simple)),
        }
    }

    /// Puts the values of the change into a new element.
    fn fill(&self, sub: Option<&Attribute>, mut new: Map<String, Value>, work: &Work) -> Result<Value> {
        match (self, sub) {
            (_, Some(sub)) => self.apply_to_sub(sub, &mut new, work)?,
            (Self::Add(Value::Object(sent)) | Self::Set(Value::Object(sent)), None) => {
                new.extend(sent.clone());
            }
            (_, None) => {}
        }
        Ok(Value::Object(new))
    }

    fn apply_to_sub(&self, sub: &Attribute, object: &mut Map<String, Value>, work: &Work) -> Result<()> {
        let after = self.apply(sub, object.get(&sub.name).cloned(), work)?;
        set_sub(Some(sub), object, &sub.name, after)
    }
}

fn set_sub(
    sub: Option<&Attribute>,
    object: &mut Map<String, Value>,
    name: &str,
    value: Option<Value>,
) -> Result<()> {
    // s3.5.2: a client may give an `immutable` sub-attribute a value once. Here, unlike
    // in `keep_immutable`, it is known which element became which.
    if let Some(sub) = sub
        && sub.mutability == Mutability::Immutable
        && let Some(before) = object.get(name)
    {
        if value.is_some_and(|value| is_equal(sub, before, &value)) {
            return Ok(());
        }
        return Err(ErrorKind::Mutability
            .with(format!("{name} cannot be changed once it is set: remove the value and add another")));
    }
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
    Ok(())
}

/// The elements that an attribute has, by their identity.
struct Present<'a> {
    attribute: &'a Attribute,
    elements: Vec<Value>,
    /// The places of elements by the text of their value. A list that is searched from its
    /// beginning for each value of a request would cost the product of both lengths.
    places: HashMap<String, Vec<usize>>,
}

impl<'a> Present<'a> {
    fn new(attribute: &'a Attribute, elements: Vec<Value>, work: &Work) -> Result<Self, Exhausted> {
        let mut present =
            Self { attribute, elements: Vec::with_capacity(elements.len()), places: HashMap::new() };
        for element in elements {
            present.push(element, work)?;
        }
        Ok(present)
    }

    fn push(&mut self, element: Value, work: &Work) -> Result<(), Exhausted> {
        if let Some(text) = self.text(&element) {
            work.spend(1, text.len())?;
            self.places.entry(text).or_default().push(self.elements.len());
        }
        self.elements.push(element);
        Ok(())
    }

    /// Adds an element, or merges it into the one that is the same value (s3.5.2.1).
    fn add(&mut self, new: &Value, work: &Work) -> Result<(), Exhausted> {
        let same = self.find(new, work)?.first().and_then(|index| self.elements.get_mut(*index));
        match (same, new) {
            (None, _) => self.push(new.clone(), work)?,
            (Some(Value::Object(old)), Value::Object(new)) => {
                for (name, value) in new {
                    // A value that exists is added with success (s3.5.2.1), so an immutable
                    // sub-attribute that differs is kept rather than refused, and one that is equal
                    // keeps its spelling.
                    let present = self.attribute.sub_attribute(name).zip(old.get(name));
                    let is_kept = present.is_some_and(|(sub, old)| {
                        sub.mutability == Mutability::Immutable || is_equal(sub, old, value)
                    });
                    if !is_kept {
                        old.insert(name.clone(), value.clone());
                    }
                }
            }
            (Some(_), _) => {}
        }
        Ok(())
    }

    /// Returns the places of the elements that a value as a client names it stands for.
    fn find(&self, named: &Value, work: &Work) -> Result<Vec<usize>, Exhausted> {
        let element = |index: &usize| self.elements.get(*index);
        let Some(text) = self.text(named) else {
            // Postal addresses have no `value`: everything that the client names must be equal.
            work.spend(self.elements.len(), named.to_string().len())?;
            let has = |element: &Map<String, Value>, (name, value): (&String, &Value)| {
                let present = self.attribute.sub_attribute(name).zip(element.get(name));
                present.is_some_and(|(sub, old)| is_equal(sub, old, value))
            };
            let has_all = |element: &Value| match (element, named) {
                (Value::Object(element), Value::Object(named)) => named.iter().all(|part| has(element, part)),
                (element, named) => element == named,
            };
            let elements = self.elements.iter().enumerate();
            return Ok(elements.filter(|(_, element)| has_all(element)).map(|(index, _)| index).collect());
        };
        let places = self.places.get(&text).map(Vec::as_slice).unwrap_or_default();
        work.spend(places.len() + 1, text.len())?;
        // RFC 7643 s2.4: the combination of `type` and `value` appears once, so a home
        // address may equal the work address. A client that omits the type means either.
        let of_type = self.attribute.sub_attribute("type");
        let is_same_type =
            |index: &usize| match (element(index).and_then(|old| old.get("type")), named.get("type")) {
                (Some(old), Some(new)) => of_type.is_some_and(|sub| is_equal(sub, old, new)),
                (None, _) | (_, None) => true,
            };
        Ok(places.iter().filter(|index| is_same_type(index)).copied().collect())
    }

    /// Returns the text that is equal for equal values; `None` for an element without `value`.
    fn text(&self, element: &Value) -> Option<String> {
        match element {
            Value::Object(members) => {
                Some(text_of(self.attribute.sub_attribute("value")?, members.get("value")?))
            }
            simple => Some(text_of(self.attribute, simple)),
        }
    }
}

/// Returns a value in the form in which values of the attribute are compared.
fn text_of(attribute: &Attribute, value: &Value) -> String {
    match value {
        Value::String(text) if !attribute.is_case_exact() => fold(text),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Takes `primary` from the element at that index if another one has become primary.
fn demote(primary: Option<usize>, elements: &mut [Value]) {
    if elements.iter().filter(|element| is_primary(element)).count() < 2 {
        return;
    }
    // s3.5.2: setting `primary` to true sets it to false for the other values. The index
    // is still right: an assignment changes elements in place or appends one.
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
