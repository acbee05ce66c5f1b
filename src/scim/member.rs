//! Members of a group (RFC 7643 s4.2). They are no part of the group's own
//! attributes: a group may have a million, and a change of one must not touch
//! the others. So a request is read as what it does to which members.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::scim::decode::Reader;
use crate::scim::error::{ErrorKind, Result};
use crate::scim::filter::{CompareOp, Filter};
use crate::scim::patch::apply::{Change, Elements, Operation};
use crate::scim::quirks::{self, Tolerance};
use crate::scim::resource::Attributes;
use crate::scim::schema::ResourceType;

/// Far longer than the ids that are given here, and a part of a key.
const MAX_ID_BYTES: usize = 256;

/// A member as a client names it. What it does not say, the directory finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    /// The resource type, as the client spells it.
    pub kind: Option<String>,
    pub display: Option<String>,
}

/// What becomes of the members: those named come or go, the rest stays or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// Whoever is not named goes.
    pub cleared: bool,
    /// By id: who is a member afterwards, and who is not.
    pub named: BTreeMap<String, Option<Member>>,
}

/// What a PATCH does to members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    Nothing,
    Named(MemberChanges),
    /// Who comes or goes depends on who is there.
    Any,
}

impl Member {
    /// From an element of `members` that was read by the schema.
    pub fn read(element: &Value) -> Result<Self> {
        let text = |name| element.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = id_of(element)?;
        if !is_id(id) {
            return Err(ErrorKind::InvalidValue.with(format!(
                "the value of a member has to be an id: 1 to {MAX_ID_BYTES} bytes without control characters"
            )));
        }
        Ok(Self { id: id.to_owned(), kind: text("type"), display: text("display") })
    }

    /// As an element of `members`, without `$ref`, which depends on the request.
    pub fn into_element(self) -> Value {
        let texts = [("value", Some(self.id)), ("type", self.kind), ("display", self.display)];
        let members = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        Value::Object(members.collect())
    }
}

impl MemberChanges {
    /// These and nobody else.
    pub fn only(members: impl IntoIterator<Item = Member>) -> Self {
        let mut changes = Self { cleared: true, named: BTreeMap::new() };
        for member in members {
            changes.add(member);
        }
        changes
    }

    /// What is said of a member first holds: the rest only completes it.
    pub fn add(&mut self, member: Member) {
        match self.named.get_mut(&member.id) {
            Some(Some(known)) => {
                known.kind = known.kind.take().or(member.kind);
                known.display = known.display.take().or(member.display);
            }
            Some(None) | None => {
                self.named.insert(member.id.clone(), Some(member));
            }
        }
    }

    pub fn remove(&mut self, id: &str) {
        if self.cleared {
            self.named.remove(id);
        } else if is_id(id) {
            self.named.insert(id.to_owned(), None);
        }
    }

    /// Whether it can be told what the operation does.
    fn follow(&mut self, operation: &Operation<'_>) -> Result<bool> {
        let filter = operation.elements.as_ref().map(Elements::filter);
        match (&operation.change, filter, operation.place.sub) {
            (Change::Add(members), None, None) => {
                for element in quirks::elements(members) {
                    self.add(Member::read(element)?);
                }
            }
            (Change::Set(members), None, None) => {
                let members = quirks::elements(members).iter().map(Member::read);
                *self = Self::only(members.collect::<Result<Vec<_>>>()?);
            }
            (Change::Remove, None, None) => *self = Self::only([]),
            (Change::RemoveThese(these), None, None) => {
                for element in these {
                    self.remove(id_of(element)?);
                }
            }
            (Change::Remove, Some(filter), None) => {
                let Some(ids) = ids_of(filter) else {
                    return Ok(false);
                };
                for id in ids {
                    self.remove(id);
                }
            }
            (_, Some(_), None) | (_, _, Some(_)) => return Ok(false),
        }
        Ok(true)
    }
}

impl Touched {
    pub(crate) fn by(kind: &ResourceType, operations: &[Operation<'_>]) -> Result<Self> {
        let mut changes = MemberChanges::default();
        for operation in operations.iter().filter(|operation| kind.is_members(operation.place.attribute)) {
            if !changes.follow(operation)? {
                return Ok(Self::Any);
            }
        }
        let nothing = changes == MemberChanges::default();
        Ok(if nothing { Self::Nothing } else { Self::Named(changes) })
    }
}

/// Takes the members out of attributes that were read; each is there once.
pub fn take(kind: &ResourceType, attributes: &mut Attributes) -> Result<Vec<Member>> {
    let elements = kind.members.as_ref().and_then(|name| attributes.shift_remove(name)).unwrap_or_default();
    let Value::Array(elements) = elements else {
        return Ok(Vec::new());
    };
    let members = elements.iter().map(Member::read).collect::<Result<Vec<_>>>()?;
    Ok(MemberChanges::only(members).named.into_values().flatten().collect())
}

/// What is left of an element without its `$ref`, which follows from the rest.
pub(crate) fn without_ref(mut element: Map<String, Value>, reader: &Reader<'_>) -> Option<Value> {
    let reference = element.shift_remove("$ref");
    let reference = reference.as_ref().and_then(Value::as_str);
    if let Some((id, kind)) = reference.and_then(quirks::referred)
        && !element.contains_key("value")
        && reader.leeway.tolerates(Tolerance::MemberByReference)
    {
        element.insert("value".to_owned(), id.into());
        element.entry("type").or_insert_with(|| kind.into());
    }
    (!element.is_empty()).then_some(Value::Object(element))
}

/// What a member to remove is known by. By its `type` alone, all would go.
pub(crate) fn only_id(element: &Value) -> Result<Value> {
    Ok(json!({ "value": id_of(element)? }))
}

fn id_of(element: &Value) -> Result<&str> {
    element
        .get("value")
        .and_then(Value::as_str)
        .ok_or_else(|| ErrorKind::InvalidValue.with("a member needs the id of a user or group as its value"))
}

/// Whether a member can have this id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// The values of `value eq "x" or value eq "y"`.
fn ids_of(filter: &Filter) -> Option<Vec<&str>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value: Value::String(id) }
            if path.attr.eq_ignore_ascii_case("value") =>
        {
            Some(vec![id])
        }
        Filter::Any(legs) => legs.iter().map(ids_of).collect::<Option<Vec<_>>>().map(|ids| ids.concat()),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Element { .. }
        | Filter::Not(_)
        | Filter::All(_) => None,
    }
}
