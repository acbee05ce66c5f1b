//! PATCH (RFC 7644 s3.5.2). A body is read completely, names and values against the
//! schema, before any resource is looked at. Then its operations apply one after the
//! other to a copy: either all of them do, or none.
//!
//! In reading order:
//!
//! - this file: [`Patch`], a body that was read, and its uses;
//! - [`path`]: the `path` of an operation;
//! - `parse`: a body to a [`Patch`];
//! - `apply`: one operation applied to attributes;
//! - `members`: the members of a group that a PATCH changes.

mod apply;
mod members;
mod parse;
pub mod path;

use serde_json::{Value, json};

use self::apply::{Change, Operation};
use crate::scim::decode::{check_required, check_values, keep_immutable};
use crate::scim::error::{ErrorKind, Result};
use crate::scim::member::Touched;
use crate::scim::quirks::{Leeway, Tolerance};
use crate::scim::resource::Attributes;
use crate::scim::schema::{Mutability, Place, Reference, ResourceType, Type};
use crate::scim::work::Work;

const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

impl Op {
    fn parse(text: &str, leeway: Leeway<'_>) -> Option<Self> {
        let all = [("add", Self::Add), ("remove", Self::Remove), ("replace", Self::Replace)];
        let (name, op) = all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
        (name == text || leeway.tolerates(Tolerance::OpInAnyCase)).then_some(op)
    }
}

/// A body that was read against the schema of its resource.
pub struct Patch<'a> {
    kind: &'a ResourceType,
    operations: Vec<Operation<'a>>,
    touched: Touched,
}

/// Returns the body that adds these attributes.
pub fn add(attributes: &Value) -> Value {
    json!({ "schemas": [MESSAGE], "Operations": [{ "op": "add", "value": attributes }] })
}

impl<'a> Patch<'a> {
    /// Returns the members of a group that the operations change.
    pub fn member_changes(&self) -> &Touched {
        &self.touched
    }

    /// Returns the ids that the operations assign to attributes that refer to a resource.
    pub fn referred(&self) -> impl Iterator<Item = (&Reference, &str)> {
        self.operations.iter().filter_map(|operation| {
            let reference = self.kind.reference(operation.place.attribute)?;
            let (Change::Set(value) | Change::Add(value)) = &operation.change else {
                return None;
            };
            let id = match operation.place.sub {
                None => value.get("value")?,
                Some(sub) => Some(value).filter(|_| sub.name == "value")?,
            };
            Some((reference, id.as_str()?))
        })
    }

    /// Returns the places that the operations assign to.
    pub fn assigned(&self) -> impl Iterator<Item = Place<'a>> {
        let assigning = self.operations.iter().filter(|operation| operation.change.assigns());
        assigning.map(|operation| operation.place)
    }

    /// Returns true if the operations change nothing but members.
    pub fn is_about_members_alone(&self) -> bool {
        self.operations.iter().all(|operation| self.kind.is_members(operation.place.attribute))
    }

    /// Returns the attributes after the PATCH, or `None` if it changes nothing. The
    /// members of a group are among the attributes.
    pub fn apply(&self, attributes: &Attributes, work: &Work) -> Result<Option<Attributes>> {
        self.apply_operations(attributes, work, |_| true)
    }

    /// Applies the operations on other attributes than the members of a group.
    pub fn apply_without_members(&self, attributes: &Attributes, work: &Work) -> Result<Option<Attributes>> {
        self.apply_operations(attributes, work, |operation| !self.kind.is_members(operation.place.attribute))
    }

    fn apply_operations(
        &self,
        attributes: &Attributes,
        work: &Work,
        concerns: impl Fn(&Operation<'_>) -> bool,
    ) -> Result<Option<Attributes>> {
        // A copy, since an operation that fails leaves the earlier ones done.
        let mut changed = attributes.clone();
        for operation in self.operations.iter().filter(|operation| concerns(operation)) {
            operation.apply(&mut changed, work)?;
        }
        keep_immutable(self.kind, attributes, &mut changed)?;
        // Compared as a whole: operations that undo each other are a no-op, too, and
        // then version and lastModified must stay (s3.5.2.1).
        if changed == *attributes {
            return Ok(None);
        }
        // Checked once, at the end: one operation may remove what a later one sets again.
        check_required(self.kind, &changed, ErrorKind::Mutability)?;
        check_values(self.kind, &changed)?;
        Ok(Some(changed))
    }

    /// Returns the PATCH as values of top-level attributes, if it is no more than that
    /// and no state of the resource can refuse it. `active` is the usual case.
    pub fn as_sets(&self) -> Option<Vec<(&str, &Value)>> {
        let mut sets: Vec<(&str, &Value)> = Vec::new();
        for Operation { place, change, .. } in &self.operations {
            let (Change::Set(value), Place { extension: None, attribute, sub: None }) = (change, *place)
            else {
                return None;
            };
            // A complex value merges into the present one, and an immutable attribute may
            // already have a value: those depend on the state.
            let is_plain = !attribute.multi_valued
                && attribute.kind != Type::Complex
                && !attribute.required
                && attribute.mutability == Mutability::ReadWrite;
            if !is_plain || sets.iter().any(|(name, _)| *name == attribute.name) {
                return None;
            }
            sets.push((&attribute.name, value));
        }
        (!sets.is_empty()).then_some(sets)
    }
}
