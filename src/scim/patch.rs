//! PATCH (RFC 7644 s3.5.2). A body is read completely, names and values
//! against the schema, before any resource is looked at; then its operations
//! apply one after the other to a copy. Either all of them do or none.

use serde_json::{Map, Value};

use super::error::{Error, ErrorKind, Result};
use super::filter::Filter;
use super::input::{Reader, check_immutable, check_primary, check_required, is_primary, label, object_at};
use super::matches::ElementMatcher;
use super::path::Path;
use super::resource::Attributes;
use super::schema::{Attribute, Mutability, Place, ResourceType, Schema, Target};
use super::tolerance;

/// An expression of DynamoDB has at most 4 KB, and each attribute takes some 40 bytes.
const MAX_SETS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Remove,
    Replace,
}

pub struct Patch<'a> {
    kind: &'a ResourceType,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    place: Place<'a>,
    elements: Option<Elements<'a>>,
    change: Change,
}

/// The elements that a value filter selects, and the one to make if there is none.
struct Elements<'a> {
    matcher: ElementMatcher<'a>,
    filter: Filter,
    make: Option<Map<String, Value>>,
}

enum Change {
    /// Merge into what is there.
    Add(Value),
    /// Put in the place of what is there; a complex value merges (s3.5.2.3).
    Replace(Value),
    /// For single complex attributes: these sub-attributes become unassigned.
    Remove,
    /// Those elements of a multi-valued attribute. Entra ID and JumpCloud name
    /// members this way; taking it for [`Change::Remove`] empties the group.
    RemoveThese(Vec<Value>),
}

impl<'a> Patch<'a> {
    /// `id` is that of the resource which the request names.
    pub fn parse(reader: &Reader<'a>, id: &str, body: &Value) -> Result<Self> {
        let operations = member(body, "Operations")
            .and_then(Value::as_array)
            .filter(|operations| !operations.is_empty())
            .ok_or_else(|| {
                ErrorKind::InvalidSyntax.with("the body has to hold Operations, an array of at least one")
            })?;
        let mut patch = Self { kind: reader.kind, operations: Vec::with_capacity(operations.len()) };
        for operation in operations {
            patch.read(reader, id, operation)?;
        }
        Ok(patch)
    }

    /// The attributes afterwards; `None` if nothing changes, so that version and
    /// lastModified stay (s3.5.2.1).
    pub fn apply(&self, attributes: &Attributes) -> Result<Option<Attributes>> {
        let mut changed = attributes.clone();
        for operation in &self.operations {
            operation.apply(&mut changed)?;
        }
        if changed == *attributes {
            return Ok(None);
        }
        check_required(self.kind, &changed, ErrorKind::Mutability)?;
        check_immutable(self.kind, attributes, &changed)?;
        Ok(Some(changed))
    }

    /// The whole patch as values of top-level attributes, if it is no more than
    /// that: `active` above all. None of them has index rows or can be refused by
    /// the state of the resource, so that one write without a read carries it out.
    pub fn as_sets(&self) -> Option<Vec<(&str, &Value)>> {
        let mut sets: Vec<(&str, &Value)> = Vec::new();
        for Operation { place, change, .. } in &self.operations {
            let (Change::Add(value) | Change::Replace(value)) = change else {
                return None;
            };
            let Place { extension: None, attribute, sub: None } = *place else {
                return None;
            };
            let plain = !attribute.multi_valued
                && attribute.sub_attributes.is_empty()
                && !attribute.required
                && attribute.mutability == Mutability::ReadWrite
                && !self.kind.has_rows(attribute);
            if !plain || sets.iter().any(|(name, _)| *name == attribute.name) {
                return None;
            }
            sets.push((&attribute.name, value));
        }
        (1..=MAX_SETS).contains(&sets.len()).then_some(sets)
    }

    fn read(&mut self, reader: &Reader<'a>, id: &str, operation: &Value) -> Result<()> {
        let op = member(operation, "op")
            .and_then(Value::as_str)
            .and_then(tolerance::op)
            .ok_or_else(|| ErrorKind::InvalidSyntax.with("op has to be add, remove or replace"))?;
        let value = member(operation, "value");
        match member(operation, "path") {
            None | Some(Value::Null) => self.read_pathless(reader, id, op, value),
            Some(Value::String(path)) if path.is_empty() && !reader.is_strict() => {
                self.read_pathless(reader, id, op, value)
            }
            Some(Value::String(path)) => self.read_path(reader, id, op, path, value),
            Some(_) => Err(ErrorKind::InvalidPath.with("path has to be a string")),
        }
    }

    fn read_pathless(&mut self, reader: &Reader<'a>, id: &str, op: Op, value: Option<&Value>) -> Result<()> {
        if op == Op::Remove {
            return Err(ErrorKind::NoTarget.with("remove needs a path that says what to remove"));
        }
        let Some(Value::Object(members)) = value else {
            return Err(ErrorKind::InvalidValue
                .with("an operation without path needs an object of attributes as its value"));
        };
        for (key, value) in members {
            match reader.resolve(key)? {
                Some(Target::Extension(schema)) => self.read_extension(reader, op, schema, value)?,
                Some(Target::Attribute(place)) if is_read_only(&place) => {
                    let echoed = !reader.is_strict() && place.attribute.name != "id";
                    if !echoed {
                        check_echo(&place, id, value)?;
                    }
                }
                Some(Target::Attribute(place)) => self.push(reader, op, place, None, Some(value))?,
                None => {}
            }
        }
        Ok(())
    }

    fn read_path(
        &mut self,
        reader: &Reader<'a>,
        id: &str,
        op: Op,
        text: &str,
        value: Option<&Value>,
    ) -> Result<()> {
        let path: Path =
            text.parse().map_err(|error| ErrorKind::InvalidPath.with(format!("path {text}: {error}")))?;
        let Some(target) = reader.kind.resolve(&path.attr) else {
            return if reader.is_strict() { Err(unknown(text, reader.kind)) } else { Ok(()) };
        };
        let mut place = match target {
            Target::Extension(_) if path.filter.is_some() => return Err(unknown(text, reader.kind)),
            Target::Extension(schema) if op == Op::Remove => return self.remove_extension(reader, schema),
            Target::Extension(schema) => {
                return self.read_extension(reader, op, schema, value.unwrap_or(&Value::Null));
            }
            Target::Attribute(place) => place,
        };
        if let Some(name) = &path.sub {
            match place.attribute.sub_attribute(name) {
                Some(sub) => place.sub = Some(sub),
                None if reader.is_strict() => return Err(unknown(text, reader.kind)),
                None => return Ok(()),
            }
        }
        if is_read_only(&place) {
            return check_echo(&place, id, value.unwrap_or(&Value::Null));
        }
        let elements = match path.filter {
            Some(filter) => Some(Elements::read(reader, op, &place, filter)?),
            None => None,
        };
        self.push(reader, op, place, elements, value)
    }

    fn read_extension(
        &mut self,
        reader: &Reader<'a>,
        op: Op,
        schema: &'a Schema,
        value: &Value,
    ) -> Result<()> {
        if value.is_null() && op == Op::Replace {
            return self.remove_extension(reader, schema);
        }
        let Value::Object(members) = value else {
            return Err(ErrorKind::InvalidValue.with(format!("{} has to be an object", schema.id)));
        };
        for (key, value) in members {
            if let Some(Target::Attribute(place)) = reader.resolve(&format!("{}:{key}", schema.id))?
                && !is_read_only(&place)
            {
                self.push(reader, op, place, None, Some(value))?;
            }
        }
        Ok(())
    }

    fn remove_extension(&mut self, reader: &Reader<'a>, schema: &'a Schema) -> Result<()> {
        let extension = Some(schema.id.as_str());
        for attribute in &schema.attributes {
            self.push(reader, Op::Remove, Place { extension, attribute, sub: None }, None, None)?;
        }
        Ok(())
    }

    /// One operation on one place; a value that is no value removes (RFC 7643 s2.5).
    fn push(
        &mut self,
        reader: &Reader<'a>,
        op: Op,
        place: Place<'a>,
        elements: Option<Elements<'a>>,
        value: Option<&Value>,
    ) -> Result<()> {
        let whole_elements = elements.is_some() && place.sub.is_none();
        let read =
            |value| if whole_elements { reader.element(&place, value) } else { reader.value(&place, value) };
        let change = match (op, value) {
            (Op::Remove, None | Some(Value::Null)) => Change::Remove,
            (Op::Remove, Some(value)) if place.leaf().multi_valued && elements.is_none() => {
                let these = tolerance::removed(place.attribute, value);
                Change::RemoveThese(these.to_vec())
            }
            (Op::Remove, Some(_)) => Change::Remove,
            (Op::Add | Op::Replace, None) => {
                return Err(ErrorKind::InvalidValue.with(format!("{} needs a value", label(&place))));
            }
            (Op::Add | Op::Replace, Some(value)) => match (read(value)?, op) {
                (Some(value), Op::Add) => Change::Add(value),
                (Some(value), _) => Change::Replace(value),
                (None, Op::Replace) if is_unassigned(&place, value) => Change::Remove,
                (None, Op::Replace) => return Ok(self.clear_members(place, op, Some(value))),
                (None, _) => return Ok(()),
            },
        };
        self.clear_members(place, op, value);
        self.operations.push(Operation { place, elements, change });
        Ok(())
    }

    /// `"name": {"middleName": null}` unassigns a sub-attribute and leaves the
    /// rest, so it is a removal of its own beside the merge of the others.
    fn clear_members(&mut self, place: Place<'a>, op: Op, value: Option<&Value>) {
        if op != Op::Replace || place.sub.is_some() || place.attribute.multi_valued {
            return;
        }
        for (key, _) in
            value.and_then(Value::as_object).into_iter().flatten().filter(|(_, value)| value.is_null())
        {
            let sub = place.attribute.sub_attribute(key).filter(|sub| sub.mutability != Mutability::ReadOnly);
            if sub.is_some() {
                self.operations.push(Operation {
                    place: Place { sub, ..place },
                    elements: None,
                    change: Change::Remove,
                });
            }
        }
    }
}

impl<'a> Elements<'a> {
    fn read(reader: &Reader<'a>, op: Op, place: &Place<'a>, filter: Filter) -> Result<Self> {
        if !place.attribute.multi_valued {
            return Err(ErrorKind::InvalidPath
                .with(format!("{} has a single value: name it without a filter", place.attribute.name)));
        }
        let matcher = ElementMatcher::new(&filter, place.attribute)?;
        let make = if reader.is_strict() { None } else { tolerance::element(op, place.attribute, &filter) };
        Ok(Self { matcher, filter, make })
    }
}

impl Operation<'_> {
    fn apply(&self, attributes: &mut Attributes) -> Result<()> {
        let Place { extension, attribute, sub } = self.place;
        let mut value = object_at(attributes, extension).remove(&attribute.name);
        value = match (sub, &self.elements) {
            _ if attribute.multi_valued => self.change_elements(value)?,
            (None, _) => self.change.to_single(attribute, value),
            (Some(sub), _) => {
                let mut object = into_object(value);
                self.change.to_member(sub, &mut object);
                (!object.is_empty()).then_some(Value::Object(object))
            }
        };
        let object = object_at(attributes, extension);
        if let Some(value) = value {
            object.insert(attribute.name.clone(), value);
        }
        if object.is_empty()
            && let Some(urn) = extension
        {
            attributes.remove(urn);
        }
        Ok(())
    }

    fn change_elements(&self, value: Option<Value>) -> Result<Option<Value>> {
        let attribute = self.place.attribute;
        let before = match value {
            Some(Value::Array(elements)) => elements,
            Some(_) | None => Vec::new(),
        };
        let mut after = before.clone();
        match (&self.elements, self.place.sub) {
            (None, None) => match &self.change {
                Change::Add(added) => {
                    tolerance::elements(added).iter().for_each(|element| add_element(&mut after, element))
                }
                Change::Replace(new) => return Ok(Some(new.clone())),
                Change::Remove => after.clear(),
                Change::RemoveThese(these) => {
                    after.retain(|element| !these.iter().any(|this| is_same(element, this)))
                }
            },
            (Some(elements), None) => self.change_matching(elements, &mut after)?,
            (elements, Some(sub)) => {
                let selected =
                    |element: &Value| elements.as_ref().is_none_or(|elements| elements.select(element));
                let mut found = false;
                for element in after.iter_mut().filter(|element| selected(element)) {
                    found = true;
                    if let Value::Object(object) = element {
                        self.change.to_member(sub, object);
                    }
                }
                if !found && !matches!(self.change, Change::Remove | Change::RemoveThese(_)) {
                    let mut object = match elements {
                        Some(elements) => elements.make(attribute)?,
                        None => Map::new(),
                    };
                    self.change.to_member(sub, &mut object);
                    after.push(Value::Object(object));
                }
                after.retain(|element| element.as_object().is_none_or(|object| !object.is_empty()));
            }
        }
        demote_primary(&label(&self.place), &before, &mut after)?;
        Ok((!after.is_empty()).then_some(Value::Array(after)))
    }

    /// A path that ends in its filter: whole elements.
    fn change_matching(&self, elements: &Elements<'_>, after: &mut Vec<Value>) -> Result<()> {
        let (Change::Add(value) | Change::Replace(value)) = &self.change else {
            // RFC 7644 s3.5.2.2: to remove what is not there is a success.
            after.retain(|element| !elements.select(element));
            return Ok(());
        };
        let mut found = false;
        for element in after.iter_mut().filter(|element| elements.select(element)) {
            found = true;
            match self.change {
                Change::Add(_) => merge(element, value),
                _ => element.clone_from(value),
            }
        }
        if !found {
            let mut element = Value::Object(elements.make(self.place.attribute)?);
            merge(&mut element, value);
            after.push(element);
        }
        Ok(())
    }
}

impl Elements<'_> {
    fn select(&self, element: &Value) -> bool {
        self.matcher.matches(element)
    }

    fn make(&self, attribute: &Attribute) -> Result<Map<String, Value>> {
        self.make.clone().ok_or_else(|| {
            ErrorKind::NoTarget.with(format!("no value of {} matches [{}]", attribute.name, self.filter))
        })
    }
}

impl Change {
    fn to_single(&self, attribute: &Attribute, value: Option<Value>) -> Option<Value> {
        match self {
            Self::Add(new) | Self::Replace(new) if attribute.sub_attributes.is_empty() => Some(new.clone()),
            Self::Add(new) | Self::Replace(new) => {
                let mut merged = Value::Object(into_object(value));
                merge(&mut merged, new);
                Some(merged)
            }
            Self::Remove | Self::RemoveThese(_) => None,
        }
    }

    fn to_member(&self, sub: &Attribute, object: &mut Map<String, Value>) {
        match self {
            Self::Add(value) | Self::Replace(value) => {
                object.insert(sub.name.clone(), value.clone());
            }
            Self::Remove | Self::RemoveThese(_) => {
                object.remove(&sub.name);
            }
        }
    }
}

/// s3.5.2.1: what is there already is not added again; the rest of what the new
/// value says is merged into the old one.
fn add_element(elements: &mut Vec<Value>, new: &Value) {
    match elements.iter_mut().find(|old| is_same(old, new)) {
        Some(old) => merge(old, new),
        None => elements.push(new.clone()),
    }
}

/// Whether `this`, as a client names it, stands for `element`: RFC 7643 s2.4
/// wants the pair of `value` and `type` to be unique. Without a `value` to go
/// by, everything that it says has to be so.
fn is_same(element: &Value, this: &Value) -> bool {
    let (Value::Object(element), Value::Object(named)) = (element, this) else {
        return element == this || (this.is_string() && element.get("value") == Some(this));
    };
    match (element.get("value"), named.get("value")) {
        (Some(value), Some(other)) => {
            value == other
                && match (element.get("type"), named.get("type")) {
                    (Some(old), Some(new)) => old == new,
                    (None, _) | (_, None) => true,
                }
        }
        _ => named.iter().all(|(name, value)| value.is_null() || element.get(name) == Some(value)),
    }
}

fn merge(into: &mut Value, from: &Value) {
    if let (Value::Object(into), Value::Object(from)) = (&mut *into, from) {
        into.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
    } else {
        into.clone_from(from);
    }
}

/// s3.5.2: a value made primary takes that from the one that was. `after` has
/// the elements of `before` in their places, or fewer of them.
fn demote_primary(name: &str, before: &[Value], after: &mut [Value]) -> Result<()> {
    if after.iter().filter(|element| is_primary(element)).count() < 2 {
        return Ok(());
    }
    let mut made = Vec::new();
    for (index, element) in after.iter_mut().enumerate() {
        let was = before.get(index).is_some_and(is_primary);
        if is_primary(element) && !was {
            made.push(element.clone());
        } else if let (true, Value::Object(object)) = (was, element) {
            object.insert("primary".to_owned(), false.into());
        }
    }
    check_primary(name, &made)
}

fn into_object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        Some(_) | None => Map::new(),
    }
}

/// Tells a value that stands for none (`null`, `[]`, a cleared manager) from one
/// of which nothing is left: a password, or an object that holds only `null`.
fn is_unassigned(place: &Place<'_>, value: &Value) -> bool {
    let cleared = value.as_object().is_none_or(|object| tolerance::is_cleared(place.attribute, object));
    cleared && place.leaf().mutability != Mutability::WriteOnly
}

fn is_read_only(place: &Place<'_>) -> bool {
    place.attribute.mutability == Mutability::ReadOnly || place.leaf().mutability == Mutability::ReadOnly
}

/// Okta sends a resource's own `id` along with what it replaces; any other value
/// for something `readOnly` is refused.
fn check_echo(place: &Place<'_>, id: &str, value: &Value) -> Result<()> {
    let name = label(place);
    if name == "schemas" || (name == "id" && value == id) {
        return Ok(());
    }
    Err(ErrorKind::Mutability.with(format!("{name} is read-only")))
}

fn unknown(path: &str, kind: &ResourceType) -> Error {
    ErrorKind::InvalidPath.with(format!("path {path} names no attribute of {}", kind.name))
}

/// Names in a PATCH body are matched without case, as attribute names are.
fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
