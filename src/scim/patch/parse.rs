//! The body of a PATCH, read against the schema.

use serde_json::{Map, Value};

use super::apply::{Change, Elements, Operation};
use super::members::{only_id, touched, unnamed};
use super::path::Path;
use super::{MESSAGE, Op, Patch};
use crate::scim::decode::{Reader, excerpt, is_read_only, is_required, label};
use crate::scim::error::{ErrorKind, Result};
use crate::scim::message::{self, member};
use crate::scim::quirks::{self, Tolerance};
use crate::scim::schema::{Mutability, Place, Schema, Target, Type};

/// The operations of one request: some clients send one operation per member, and a
/// request may change this many members.
const MAX_OPERATIONS: usize = 20_000;

/// A body on its way to a [`Patch`].
struct BodyReader<'a, 'r> {
    reader: &'r Reader<'a>,
    /// The id of the resource that the request names.
    id: &'r str,
    operations: Vec<Operation<'a>>,
}

/// The `op` and `value` of an operation.
#[derive(Clone, Copy)]
struct Sent<'v> {
    op: Op,
    value: Option<&'v Value>,
}

impl<'a> Patch<'a> {
    /// Reads a body. `id` is the id of the resource that the request names.
    pub fn parse(reader: &Reader<'a>, id: &str, body: &Value) -> Result<Self> {
        message::check_schema(body, MESSAGE, reader.leeway)?;
        let operations = member(body, "Operations")
            .and_then(Value::as_array)
            .filter(|operations| !operations.is_empty() || reader.leeway.tolerates(Tolerance::NoOperations))
            .ok_or_else(|| {
                ErrorKind::InvalidSyntax
                    .with("the body must contain Operations, an array of at least one operation")
            })?;
        if operations.len() > MAX_OPERATIONS {
            return Err(ErrorKind::TooLarge.with(format!(
                "the body has {} operations, the limit is {MAX_OPERATIONS}: send several requests",
                operations.len()
            )));
        }
        let mut body = BodyReader { reader, id, operations: Vec::with_capacity(operations.len()) };
        for operation in operations {
            body.operation(operation)?;
        }
        let touched = touched(reader.kind, &body.operations)?;
        Ok(Self { kind: reader.kind, operations: body.operations, touched })
    }
}

impl<'a> BodyReader<'a, '_> {
    fn tolerates(&self, tolerance: Tolerance) -> bool {
        self.reader.leeway.tolerates(tolerance)
    }

    fn operation(&mut self, operation: &Value) -> Result<()> {
        let op = member(operation, "op")
            .and_then(Value::as_str)
            .and_then(|op| Op::parse(op, self.reader.leeway))
            .ok_or_else(|| ErrorKind::InvalidSyntax.with("op must be add, remove or replace"))?;
        let sent = Sent { op, value: member(operation, "value") };
        match member(operation, "path") {
            None | Some(Value::Null) => self.without_path(sent),
            Some(Value::String(path)) if path.is_empty() && self.tolerates(Tolerance::EmptyPath) => {
                self.without_path(sent)
            }
            Some(Value::String(path)) => self.with_path(path, sent),
            Some(_) => Err(ErrorKind::InvalidPath.with("path must be a string")),
        }
    }

    fn without_path(&mut self, sent: Sent<'_>) -> Result<()> {
        match (sent.op, sent.value) {
            (Op::Remove, _) => {
                Err(ErrorKind::NoTarget.with("remove must have a path that names the attribute to remove"))
            }
            (Op::Add | Op::Replace, Some(Value::Object(members))) => self.members(sent.op, None, members),
            (Op::Add | Op::Replace, _) => Err(ErrorKind::InvalidValue
                .with("an operation without a path must have an object of attributes as its value")),
        }
    }

    /// Reads an object of attributes: those of the resource, or of an extension.
    fn members(&mut self, op: Op, extension: Option<&Schema>, members: &Map<String, Value>) -> Result<()> {
        for (key, value) in members {
            let sent = Sent { op, value: Some(value) };
            if key.contains('[') && self.tolerates(Tolerance::PathAsName) {
                let urn = extension.map(|schema| format!("{}:", schema.id)).unwrap_or_default();
                self.with_path(&format!("{urn}{key}"), sent)?;
                continue;
            }
            match self.reader.resolve(extension, key)? {
                Some(Target::Core) => self.without_path(sent)?,
                Some(Target::Extension(schema)) => self.extension(schema, sent)?,
                Some(Target::Attribute(place)) if self.is_ignored(&place) => {}
                Some(Target::Attribute(place)) => self.attribute(place, None, sent)?,
                None => {}
            }
        }
        Ok(())
    }

    fn is_ignored(&self, place: &Place<'_>) -> bool {
        // Clients send back the answer that they got, `meta` and `groups` included. A
        // foreign `id` among it is a mix-up of two resources, so that one is compared.
        is_read_only(place) && place.attribute.name != "id" && self.tolerates(Tolerance::ReadOnlyIgnored)
    }

    fn with_path(&mut self, text: &str, sent: Sent<'_>) -> Result<()> {
        let path: Path = text
            .parse()
            .map_err(|error| ErrorKind::InvalidPath.with(format!("path {}: {error}", excerpt(text))))?;
        let reader = self.reader;
        match (quirks::resolve(reader.kind, &path.attr, reader.leeway), path.filter) {
            (Some(Target::Attribute(place)), None) => self.attribute(place, None, sent),
            (Some(Target::Attribute(place)), Some(filter)) if place.sub.is_none() => {
                let sub = match path.sub {
                    None => None,
                    Some(name) => match place.attribute.sub_attribute(&name) {
                        Some(sub) => Some(sub),
                        None => return self.unknown(text),
                    },
                };
                let elements = Elements::read(reader, sent.op, &place, filter)?;
                self.attribute(Place { sub, ..place }, Some(elements), sent)
            }
            (Some(Target::Core), None) => self.without_path(sent),
            (Some(Target::Extension(schema)), None) => self.extension(schema, sent),
            (Some(Target::Attribute(_) | Target::Core | Target::Extension(_)), Some(_)) => {
                Err(ErrorKind::InvalidPath.with(format!(
                    "path {}: a filter must follow the name of a multi-valued attribute",
                    excerpt(text)
                )))
            }
            (None, _) => self.unknown(text),
        }
    }

    /// Ignores an operation whose path names no attribute, or refuses it.
    fn unknown(&self, path: &str) -> Result<()> {
        if self.reader.leeway.ignores(path) {
            return Ok(());
        }
        Err(ErrorKind::InvalidPath.with(format!(
            "path {} is not an attribute of {}: /Schemas lists its attributes",
            excerpt(path),
            self.reader.kind.name
        )))
    }

    /// Reads an operation on an extension as operations on its attributes.
    fn extension(&mut self, schema: &'a Schema, sent: Sent<'_>) -> Result<()> {
        match (sent.op, sent.value) {
            (_, Some(Value::Null)) | (Op::Remove, None) => {
                let extension = Some(schema.id.as_str());
                for attribute in schema.attributes.iter().filter(|a| a.mutability != Mutability::ReadOnly) {
                    let place = Place { extension, attribute, sub: None };
                    self.operations.push(Operation { place, elements: None, change: Change::Remove });
                }
                Ok(())
            }
            (Op::Remove, Some(_)) if !self.tolerates(Tolerance::RemoveWithValue) => {
                Err(ErrorKind::InvalidValue.with(format!(
                    "remove cannot have a value: name the attribute in the path, such as {}:...",
                    schema.id
                )))
            }
            // `replace` keeps the attributes that the value does not name, and `remove` removes
            // those that it names: an extension is a name space rather than a value, like the
            // resource itself.
            (_, Some(Value::Object(members))) if sent.op != Op::Remove || !members.is_empty() => {
                self.members(sent.op, Some(schema), members)
            }
            (_, _) => Err(ErrorKind::InvalidValue
                .with(format!("{} must have an object of attributes as its value", schema.id))),
        }
    }

    fn attribute(&mut self, place: Place<'a>, elements: Option<Elements<'a>>, sent: Sent<'_>) -> Result<()> {
        if is_read_only(&place) {
            return self.read_only(&place, sent);
        }
        if place.sub.is_some_and(|sub| sub.name == "$ref") && self.reader.kind.derives_ref(place.attribute) {
            return Err(ErrorKind::Mutability.with(format!(
                "{} cannot be changed: it follows from {}.value",
                label(&place),
                place.attribute.name
            )));
        }
        let change = match (sent.op, sent.value) {
            (Op::Remove, value) => Some(self.removal(&place, elements.is_some(), value)?),
            (Op::Add | Op::Replace, None) => {
                return Err(ErrorKind::InvalidValue.with(format!("{} must have a value", label(&place))));
            }
            (op, Some(value)) if elements.is_some() && place.sub.is_none() => {
                self.element(op, &place, value)?
            }
            (op, Some(value)) if place.leaf().multi_valued => self.values(op, &place, value)?,
            (Op::Add | Op::Replace, Some(value)) => self.value(&place, value)?,
        };
        if matches!(change, Some(Change::Remove)) && elements.is_none() && is_required(place.leaf()) {
            // Even if a later operation assigns it again (s3.5.2.2).
            return Err(
                ErrorKind::Mutability.with(format!("{} is required and cannot be empty", label(&place)))
            );
        }
        self.operations.extend(change.map(|change| Operation { place, elements, change }));
        Ok(())
    }

    fn read_only(&self, place: &Place<'_>, sent: Sent<'_>) -> Result<()> {
        let name = place.attribute.name.as_str();
        let is_own_id =
            || sent.value.is_some_and(|id| id == self.id) && self.tolerates(Tolerance::ReadOnlyIgnored);
        match sent.op {
            // `schemas` follows from the attributes that a resource has, so a client that
            // names an extension along with its attributes asks for nothing of its own.
            Op::Add | Op::Replace if name == "schemas" || (name == "id" && is_own_id()) => return Ok(()),
            Op::Add | Op::Replace | Op::Remove => {}
        }
        Err(ErrorKind::Mutability.with(format!("{} is read-only: remove it from the request", label(place))))
    }

    fn removal(&self, place: &Place<'_>, is_filtered: bool, value: Option<&Value>) -> Result<Change> {
        let names_members =
            !is_filtered && place.sub.is_none() && self.reader.kind.is_members(place.attribute);
        let value = match value {
            None => return Ok(Change::Remove),
            // Of other attributes, null is no value (RFC 7643 s2.5). A client whose list of
            // members is null by mistake must not empty a group.
            Some(Value::Null) if !names_members => return Ok(Change::Remove),
            Some(value) => value,
        };
        // Never ignored where it narrows the removal: without it, a request to remove one
        // member would empty the group.
        let is_narrower = place.attribute.multi_valued && place.sub.is_some() && !is_filtered;
        if is_narrower || !self.tolerates(Tolerance::RemoveWithValue) {
            return Err(ErrorKind::InvalidValue.with(format!(
                "remove cannot have a value: select the values to remove in the path, such as {}[value eq \"...\"]",
                place.attribute.name
            )));
        }
        match value {
            Value::Object(named) if place.leaf().kind == Type::Complex && !place.leaf().multi_valued => {
                return self.removal_of_parts(place, named);
            }
            _ if is_filtered || !place.leaf().multi_valued => return Ok(Change::Remove),
            _ => {}
        }
        let named = quirks::removed(place.leaf(), value, self.reader.leeway).iter();
        let values = named.map(|element| self.reader.element(place, element));
        if !names_members {
            return Ok(Change::RemoveValues(values.filter_map(Result::transpose).collect::<Result<_>>()?));
        }
        let ids: Vec<Value> = values.map(|element| only_id(element?.as_ref())).collect::<Result<_>>()?;
        // A success would say that the members which the client meant are removed.
        if ids.is_empty() {
            return Err(unnamed());
        }
        Ok(Change::RemoveValues(ids))
    }

    /// Reads the removal of the sub-attributes that the value of a `remove` names.
    fn removal_of_parts(&self, place: &Place<'_>, named: &Map<String, Value>) -> Result<Change> {
        let leaf = place.leaf();
        let nulls = named.keys().map(|name| (name.to_owned(), Value::Null)).collect();
        let parts = self.reader.members(place, &Value::Object(nulls))?.unwrap_or_default();
        match parts.keys().find(|name| *name == "value") {
            // Without its `value`, a reference refers to nothing.
            Some(_) => Ok(Change::Remove),
            None if parts.is_empty() => Err(ErrorKind::InvalidValue
                .with(format!("the value of remove must name a sub-attribute of {}", leaf.name))),
            None => Ok(Change::Set(parts.into())),
        }
    }

    /// Reads the new value of the elements that a filter selects.
    fn element(&self, op: Op, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        if value.is_null() && op == Op::Replace {
            return Ok(Some(Change::Remove));
        }
        let element = self.reader.element(place, value)?;
        Ok(element.map(if op == Op::Add { Change::Add } else { Change::Set }))
    }

    /// Reads the value of a multi-valued attribute.
    fn values(&self, op: Op, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        if op == Op::Replace {
            return Ok(Some(self.reader.value(place, value)?.map_or(Change::Remove, Change::Set)));
        }
        // s3.5.2.1: "a new value is added", so one value needs no array. Here that is the
        // RFC's own form, and not a tolerance.
        let one;
        let value = if value.is_array() || value.is_null() {
            value
        } else {
            one = Value::Array(vec![value.clone()]);
            &one
        };
        Ok(self.reader.value(place, value)?.map(Change::Add))
    }

    /// Reads the value of a single-valued attribute.
    fn value(&self, place: &Place<'_>, value: &Value) -> Result<Option<Change>> {
        // `op` plays no part: for a single value, s3.5.2.1 and s3.5.2.3 say the same of
        // `add` and `replace`. A null unassigns (RFC 7643 s2.5), so it removes.
        let leaf = place.leaf();
        if leaf.kind == Type::Complex {
            let members = self.reader.members(place, value)?;
            return Ok(Some(members.map_or(Change::Remove, |members| Change::Set(members.into()))));
        }
        Ok(match self.reader.value(place, value)? {
            Some(value) => Some(Change::Set(value)),
            // A password was checked and dropped. There is nothing to remove in its place.
            None if leaf.mutability == Mutability::WriteOnly => None,
            None => Some(Change::Remove),
        })
    }
}
