//! The members that a PATCH adds to a group and removes from it.
//!
//! Most clients name each member, and then the change is known without reading the
//! group. Where a filter decides ("all members of type User"), the present members
//! are needed, and the operations apply to them as to any other attribute.

use serde_json::{Value, json};

use super::apply::{Change, Elements, Operation};
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::member::{Member, MemberChanges, Touched, id_of};
use crate::scim::quirks;
use crate::scim::schema::ResourceType;

/// Returns the members that the operations change, taken together.
pub(super) fn touched(kind: &ResourceType, operations: &[Operation<'_>]) -> Result<Touched> {
    let mut changes = MemberChanges::default();
    for operation in operations.iter().filter(|operation| kind.is_members(operation.place.attribute)) {
        if !follow(&mut changes, operation)? {
            // One such operation makes all depend on the present members: the order of
            // operations counts, so the ones before it cannot be carried out alone.
            return Ok(Touched::Any(added(kind, operations)?));
        }
    }
    let nothing = changes == MemberChanges::default();
    Ok(if nothing { Touched::Nothing } else { Touched::Named(changes) })
}

/// Returns the members that the operations add, also if a later one removes them.
fn added(kind: &ResourceType, operations: &[Operation<'_>]) -> Result<Vec<Member>> {
    let mut all = MemberChanges::default();
    for Operation { place, elements, change } in operations {
        if let (true, None, None, Change::Add(members) | Change::Set(members)) =
            (kind.is_members(place.attribute), elements, place.sub, change)
        {
            for element in quirks::elements(members) {
                all.add(Member::read(element)?);
            }
        }
    }
    Ok(all.named.into_values().flatten().collect())
}

/// Adds what an operation does to `changes`. Returns false if that depends on the
/// present members.
fn follow(changes: &mut MemberChanges, operation: &Operation<'_>) -> Result<bool> {
    let filter = operation.elements.as_ref().map(Elements::filter);
    match (&operation.change, filter, operation.place.sub) {
        (Change::Add(members), None, None) => {
            for element in quirks::elements(members) {
                changes.add(Member::read(element)?);
            }
        }
        (Change::Set(members), None, None) => {
            let members = quirks::elements(members).iter().map(Member::read);
            *changes = MemberChanges::only(members.collect::<Result<Vec<_>>>()?);
        }
        (Change::Remove, None, None) => *changes = MemberChanges::only([]),
        (Change::RemoveValues(members), None, None) => {
            for element in members {
                changes.remove(id_of(element)?);
            }
        }
        (Change::Remove, Some(filter), None) => {
            let Some(ids) = ids_of(filter) else {
                return Ok(false);
            };
            for id in ids {
                changes.remove(id);
            }
        }
        (_, Some(_), None) | (_, _, Some(_)) => return Ok(false),
    }
    Ok(true)
}

/// Returns the values of `value eq "x" or value eq "y"`, the form in which clients
/// name the members to remove.
fn ids_of(filter: &Filter) -> Option<Vec<&str>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value: Value::String(id) }
            if path.attr.eq_ignore_ascii_case("value") =>
        {
            Some(vec![id])
        }
        Filter::Any(legs) => legs.iter().map(ids_of).collect::<Option<Vec<_>>>().map(|ids| ids.concat()),
        // `value eq "x" and type eq "User"` may match no one: the type is in the directory.
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Element { .. }
        | Filter::Not(_)
        | Filter::All(_) => None,
    }
}

/// Reduces a member to remove to its id.
pub(super) fn only_id(element: Option<&Value>) -> Result<Value> {
    // Without an id, `{"type": "User"}` would be equal to every user of the group.
    let id = element.and_then(|element| element.get("value")).filter(|id| *id != "");
    Ok(json!({ "value": id.ok_or_else(unnamed)? }))
}

/// The error of a `remove` whose value names no member.
pub(super) fn unnamed() -> Error {
    ErrorKind::InvalidValue.with(
        "the value of a remove of members must name each member by its id, such as [{\"value\": \"...\"}]: \
         omit value to remove all members",
    )
}
