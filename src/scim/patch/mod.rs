//! PATCH (RFC 7644 s3.5.2). A body is read completely, names and values
//! against the schema, before any resource is looked at; then its operations
//! apply one after the other to a copy. Either all of them do or none.

pub(crate) mod apply;

use serde_json::{Map, Value, json};

use self::apply::{Budget, Change, Elements, Operation};
use crate::scim::attr_path::Path;
use crate::scim::decode::{
    Reader, check_immutable, check_required, check_values, excerpt, is_read_only, label,
};
use crate::scim::error::{ErrorKind, Result};
use crate::scim::member::{self, Touched};
use crate::scim::message::{self, member};
use crate::scim::quirks::{self, Tolerance};
use crate::scim::resource::Attributes;
use crate::scim::schema::{Mutability, Place, ResourceType, Schema, Target, Type};

/// An expression of DynamoDB has at most 4 KB, and each attribute takes some 40 bytes.
const MAX_SETS: usize = 20;

/// Nobody measures the resource after such a write. What all of its attributes
/// can grow by has to fit between the store's limit and that of DynamoDB.
const MAX_SET_BYTES: usize = 256;

/// Operations in one request: one for each member that a request may change.
pub const MAX_OPERATIONS: usize = 20_000;

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Remove,
    Replace,
}

pub struct Patch<'a> {
    kind: &'a ResourceType,
    operations: Vec<Operation<'a>>,
    touched: Touched,
}

/// A body on its way to a [`Patch`].
struct Reading<'a, 'r> {
    reader: &'r Reader<'a>,
    /// Of the resource that the request names.
    id: &'r str,
    operations: Vec<Operation<'a>>,
}

/// The body that adds these attributes.
pub fn add(attributes: &Value) -> Value {
    json!({ "schemas": [MESSAGE], "Operations": [{ "op": "add", "value": attributes }] })
}

impl<'a> Patch<'a> {
    /// `id` is that of the resource which the request names.
    pub fn parse(reader: &Reader<'a>, id: &str, body: &Value) -> Result<Self> {
        message::check_schema(body, MESSAGE, reader.leeway)?;
        let operations = member(body, "Operations")
            .and_then(Value::as_array)
            .filter(|operations| !operations.is_empty())
            .ok_or_else(|| {
                ErrorKind::InvalidSyntax.with("the body has to hold Operations, an array of at least one")
            })?;
        if operations.len() > MAX_OPERATIONS {
            return Err(ErrorKind::TooLarge.with(format!(
                "the body has {} Operations, at most {MAX_OPERATIONS} are allowed: send several requests",
                operations.len()
            )));
        }
        let mut reading = Reading { reader, id, operations: Vec::with_capacity(operations.len()) };
        for operation in operations {
            reading.operation(operation)?;
        }
        let touched = Touched::by(reader.kind, &reading.operations)?;
        Ok(Self { kind: reader.kind, operations: reading.operations, touched })
    }

    /// What becomes of the members of a group.
    pub fn member_changes(&self) -> &Touched {
        &self.touched
    }

    /// Whether nothing else can change.
    pub fn is_about_members_alone(&self) -> bool {
        self.operations.iter().all(|operation| self.kind.is_members(operation.place.attribute))
    }

    /// The attributes afterwards; `None` if nothing changes, so that version and
    /// lastModified stay (s3.5.2.1). The members of a group are among them.
    pub fn apply(&self, attributes: &Attributes) -> Result<Option<Attributes>> {
        self.apply_operations(attributes, |_| true)
    }

    /// The same for attributes which the members of a group are not among.
    pub fn apply_without_members(&self, attributes: &Attributes) -> Result<Option<Attributes>> {
        self.apply_operations(attributes, |operation| !self.kind.is_members(operation.place.attribute))
    }

    fn apply_operations(
        &self,
        attributes: &Attributes,
        concerns: impl Fn(&Operation<'_>) -> bool,
    ) -> Result<Option<Attributes>> {
        let mut changed = attributes.clone();
        let mut budget = Budget::default();
        for operation in self.operations.iter().filter(|operation| concerns(operation)) {
            operation.apply(&mut changed, &mut budget)?;
        }
        if changed == *attributes {
            return Ok(None);
        }
        check_required(self.kind, &changed, ErrorKind::Mutability)?;
        check_values(self.kind, &changed)?;
        check_immutable(self.kind, attributes, &changed)?;
        Ok(Some(changed))
    }

    /// The whole patch as values of top-level attributes, if it is no more than
    /// that: `active` above all. None of them has index rows or can be refused by
    /// the state of the resource, so that one write without a read carries it out.
    pub fn as_sets(&self) -> Option<Vec<(&str, &Value)>> {
        let mut sets: Vec<(&str, &Value)> = Vec::new();
        for Operation { place, change, .. } in &self.operations {
            let (Change::Set(value), Place { extension: None, attribute, sub: None }) = (change, *place)
            else {
                return None;
            };
            let plain = !attribute.multi_valued
                && attribute.kind != Type::Complex
                && !attribute.required
                && attribute.mutability == Mutability::ReadWrite
                && !self.kind.has_rows(attribute)
                && value.as_str().is_none_or(|text| text.len() <= MAX_SET_BYTES);
            if !plain || sets.iter().any(|(name, _)| *name == attribute.name) {
                return None;
            }
            sets.push((&attribute.name, value));
        }
        (1..=MAX_SETS).contains(&sets.len()).then_some(sets)
    }
}

impl<'a> Reading<'a, '_> {
    fn tolerates(&self, tolerance: Tolerance) -> bool {
        self.reader.leeway.tolerates(tolerance)
    }

    fn operation(&mut self, operation: &Value) -> Result<()> {
        let op = member(operation, "op")
            .and_then(Value::as_str)
            .and_then(|op| quirks::op(op, self.reader.leeway))
            .ok_or_else(|| ErrorKind::InvalidSyntax.with("op has to be add, remove or replace"))?;
        let value = member(operation, "value");
        match member(operation, "path") {
            None | Some(Value::Null) => self.without_path(op, value),
            Some(Value::String(path)) if path.is_empty() && self.tolerates(Tolerance::EmptyPath) => {
                self.without_path(op, value)
            }
            Some(Value::String(path)) => self.with_path(op, path, value),
            Some(_) => Err(ErrorKind::InvalidPath.with("path has to be a string")),
        }
    }

    fn without_path(&mut self, op: Op, value: Option<&Value>) -> Result<()> {
        match (op, value) {
            (Op::Remove, _) => Err(ErrorKind::NoTarget.with("remove needs a path that says what to remove")),
            (Op::Add | Op::Replace, Some(Value::Object(members))) => self.members(op, None, members),
            (Op::Add | Op::Replace, _) => Err(ErrorKind::InvalidValue
                .with("an operation without path needs an object of attributes as its value")),
        }
    }

    /// The attributes of a resource, or of the extension of which they are.
    fn members(&mut self, op: Op, extension: Option<&Schema>, members: &Map<String, Value>) -> Result<()> {
        for (key, value) in members {
            match self.reader.resolve(extension, key)? {
                Some(Target::Extension(schema)) => self.extension(op, schema, Some(value))?,
                Some(Target::Attribute(place)) if self.is_ignored(&place) => {}
                Some(Target::Attribute(place)) => self.attribute(op, place, None, Some(value))?,
                None => {}
            }
        }
        Ok(())
    }

    /// What is `readOnly` comes back from clients that send what they were
    /// answered; only an `id` is looked at.
    fn is_ignored(&self, place: &Place<'_>) -> bool {
        is_read_only(place) && place.attribute.name != "id" && self.tolerates(Tolerance::ReadOnlyIgnored)
    }

    fn with_path(&mut self, op: Op, text: &str, value: Option<&Value>) -> Result<()> {
        let path: Path = text
            .parse()
            .map_err(|error| ErrorKind::InvalidPath.with(format!("path {}: {error}", excerpt(text))))?;
        let Some(target) = resolve(self.reader.kind, &path) else {
            if self.tolerates(Tolerance::UnknownAttributeIgnored) {
                return Ok(());
            }
            return Err(ErrorKind::InvalidPath.with(format!(
                "path {} names no attribute of {}: /Schemas lists what it has",
                excerpt(text),
                self.reader.kind.name
            )));
        };
        match (target, path.filter) {
            (Target::Attribute(place), None) => self.attribute(op, place, None, value),
            (Target::Attribute(place), Some(filter)) if path.attr.sub.is_none() => {
                let elements = Elements::read(self.reader, op, &place, filter)?;
                self.attribute(op, place, Some(elements), value)
            }
            (Target::Extension(schema), None) => self.extension(op, schema, value),
            (Target::Attribute(_) | Target::Extension(_), Some(_)) => {
                Err(ErrorKind::InvalidPath.with(format!(
                    "path {}: a filter stands behind the name of a multi-valued attribute",
                    excerpt(text)
                )))
            }
        }
    }

    /// An extension is not itself a value but where values are, so its attributes
    /// are changed one by one.
    fn extension(&mut self, op: Op, schema: &'a Schema, value: Option<&Value>) -> Result<()> {
        match (op, value) {
            (Op::Remove, _) | (Op::Add | Op::Replace, Some(Value::Null)) => {
                let extension = Some(schema.id.as_str());
                for attribute in schema.attributes.iter().filter(|a| a.mutability != Mutability::ReadOnly) {
                    let place = Place { extension, attribute, sub: None };
                    self.operations.push(Operation { place, elements: None, change: Change::Remove });
                }
                Ok(())
            }
            (Op::Add | Op::Replace, Some(Value::Object(members))) => self.members(op, Some(schema), members),
            (Op::Add | Op::Replace, _) => Err(ErrorKind::InvalidValue
                .with(format!("{} needs an object of attributes as its value", schema.id))),
        }
    }

    fn attribute(
        &mut self,
        op: Op,
        place: Place<'a>,
        elements: Option<Elements<'a>>,
        value: Option<&Value>,
    ) -> Result<()> {
        if is_read_only(&place) {
            return self.read_only(op, &place, value);
        }
        let change = match (op, value) {
            (Op::Remove, value) => Some(self.removal(&place, elements.is_some(), value)?),
            (Op::Add | Op::Replace, None) => {
                return Err(ErrorKind::InvalidValue.with(format!("{} needs a value", label(&place))));
            }
            (Op::Add | Op::Replace, Some(value)) if elements.is_some() && place.sub.is_none() => {
                self.element(op, &place, value)?
            }
            (Op::Add | Op::Replace, Some(value)) if place.leaf().multi_valued => {
                self.values(op, &place, value)?
            }
            (Op::Add | Op::Replace, Some(value)) => self.value(&place, value)?,
        };
        self.operations.extend(change.map(|change| Operation { place, elements, change }));
        Ok(())
    }

    /// Okta sends a resource's own `id` along with what it replaces. `schemas`
    /// follows from the attributes that are there.
    fn read_only(&self, op: Op, place: &Place<'_>, value: Option<&Value>) -> Result<()> {
        let name = place.attribute.name.as_str();
        let own_id = || value.is_some_and(|id| id == self.id) && self.tolerates(Tolerance::ReadOnlyIgnored);
        match op {
            Op::Add | Op::Replace if name == "schemas" || (name == "id" && own_id()) => return Ok(()),
            Op::Add | Op::Replace | Op::Remove => {}
        }
        Err(ErrorKind::Mutability.with(format!("{} is read-only: take it out of the request", label(place))))
    }

    fn removal(&self, place: &Place<'_>, filtered: bool, value: Option<&Value>) -> Result<Change> {
        let value = match value {
            None | Some(Value::Null) => return Ok(Change::Remove),
            Some(value) => value,
        };
        // To ignore the value would remove more than the client names.
        let names_more = place.attribute.multi_valued && place.sub.is_some() && !filtered;
        if names_more || !self.tolerates(Tolerance::RemoveWithValue) {
            return Err(ErrorKind::InvalidValue.with(format!(
                "remove takes no value: say in the path what to remove, such as {}[value eq \"...\"]",
                place.attribute.name
            )));
        }
        if filtered || !place.leaf().multi_valued {
            return Ok(Change::Remove);
        }
        let these = quirks::removed(place.leaf(), value, self.reader.leeway)
            .iter()
            .filter_map(|element| self.reader.element(place, element).transpose());
        if self.reader.kind.is_members(place.attribute) {
            return Ok(Change::RemoveThese(
                these.map(|element| member::only_id(&element?)).collect::<Result<_>>()?,
            ));
        }
        Ok(Change::RemoveThese(these.collect::<Result<_>>()?))
    }

    /// One whole element for those which a filter selects.
    fn element(&self, op: Op, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        if value.is_null() && op == Op::Replace {
            return Ok(Some(Change::Remove));
        }
        let element = self.reader.element(place, value)?;
        Ok(element.map(if op == Op::Add { Change::Add } else { Change::Set }))
    }

    fn values(&self, op: Op, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        if op == Op::Replace {
            return Ok(Some(self.reader.value(place, value)?.map_or(Change::Remove, Change::Set)));
        }
        // s3.5.2.1: "a new value is added", so one value needs no array.
        let one;
        let value = if value.is_array() || value.is_null() {
            value
        } else {
            one = Value::Array(vec![value.clone()]);
            &one
        };
        Ok(self.reader.value(place, value)?.map(Change::Add))
    }

    /// Of a single value, s3.5.2.1 and s3.5.2.3 say the same of `add` and
    /// `replace`; a value that is none removes (RFC 7643 s2.5).
    fn value(&self, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        let leaf = place.leaf();
        if leaf.kind == Type::Complex {
            let members = self.reader.members(place, value)?;
            return Ok(Some(members.map_or(Change::Remove, |members| Change::Set(members.into()))));
        }
        Ok(match self.reader.value(place, value)? {
            Some(value) => Some(Change::Set(value)),
            None if leaf.mutability == Mutability::WriteOnly => None,
            None => Some(Change::Remove),
        })
    }
}

fn resolve<'a>(kind: &'a ResourceType, path: &Path) -> Option<Target<'a>> {
    match (kind.resolve(&path.attr)?, &path.sub) {
        (Target::Attribute(place), Some(name)) => {
            let sub = place.attribute.sub_attribute(name)?;
            Some(Target::Attribute(Place { sub: Some(sub), ..place }))
        }
        (target, _) => Some(target),
    }
}
