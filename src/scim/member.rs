//! Members of a group (RFC 7643 s4.2).
//!
//! They are not attributes of the group like the others: a group may have a million
//! members, and a change of one must not touch the rest. A request is therefore read
//! as changes of single members.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::scim::error::{ErrorKind, Result};
use crate::scim::resource::Attributes;
use crate::scim::schema::ResourceType;

/// The bytes of a member's id. An id that the service issued is far shorter. Ids of
/// other origin exist where the policy `unknownMembers` accepts them.
const MAX_ID_BYTES: usize = 256;

/// A member as a client names it. The directory knows what the client omits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    /// The resource type, as the client spells it.
    pub kind: Option<String>,
    pub display: Option<String>,
}

/// A change of members. Those named are added or removed; the others stay, or are
/// removed if `cleared` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// Set if every member that is not named is removed.
    pub cleared: bool,
    /// The named members by id: `Some` for a member afterwards, `None` for a non-member.
    pub named: BTreeMap<String, Option<Member>>,
}

/// The members that a request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    Nothing,
    Named(MemberChanges),
    /// The present members decide which of them change. These are added on the way.
    Any(Vec<Member>),
}

impl Member {
    /// Reads an element of `members` whose attributes were decoded by the schema.
    pub fn read(element: &Value) -> Result<Self> {
        let text = |name| element.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = id_of(element)?;
        if !is_id(id) {
            return Err(ErrorKind::InvalidValue.with(format!(
                "the value of a member must be an id of 1 to {MAX_ID_BYTES} bytes without control characters"
            )));
        }
        Ok(Self { id: id.to_owned(), kind: text("type"), display: text("display") })
    }

    /// Returns an element of `members` without `$ref`, which depends on the request.
    pub fn into_element(self) -> Value {
        let texts = [("value", Some(self.id)), ("type", self.kind), ("display", self.display)];
        let members = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        Value::Object(members.collect())
    }
}

impl MemberChanges {
    /// Makes these the only members.
    pub fn only(members: impl IntoIterator<Item = Member>) -> Self {
        let mut changes = Self { cleared: true, named: BTreeMap::new() };
        for member in members {
            changes.add(member);
        }
        changes
    }

    pub fn add(&mut self, member: Member) {
        match self.named.get_mut(&member.id) {
            // RFC 7644 s3.5.2.1: adding a value that exists changes nothing. A second
            // mention only completes what the first one left open.
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
            // After a removal of all, an id that is not named is a non-member already.
            self.named.remove(id);
        } else if is_id(id) {
            self.named.insert(id.to_owned(), None);
        }
        // Any other text is no member's id, and removing a non-member succeeds.
    }
}

/// Takes the members out of decoded attributes, each of them once.
pub fn take(kind: &ResourceType, attributes: &mut Attributes) -> Result<Vec<Member>> {
    let elements = kind.members.as_ref().and_then(|name| attributes.shift_remove(name)).unwrap_or_default();
    let Value::Array(elements) = elements else {
        return Ok(Vec::new());
    };
    let members = elements.iter().map(Member::read).collect::<Result<Vec<_>>>()?;
    Ok(MemberChanges::only(members).named.into_values().flatten().collect())
}

pub(crate) fn id_of(element: &Value) -> Result<&str> {
    element.get("value").and_then(Value::as_str).ok_or_else(|| {
        ErrorKind::InvalidValue.with("a member must have the id of a user or group as its value")
    })
}

/// Returns true if a member can have this id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}
