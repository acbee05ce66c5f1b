//! Members of a group (RFC 7643 s4.2). They are no part of the group's own
//! attributes: a group may have a million, and a change of one must not touch
//! the others. So a request is read as what it does to which members.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{ErrorKind, Result};

/// A member as a client names it. What it does not say, the directory finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    /// The resource type, as the client spells it.
    pub kind: Option<String>,
    pub display: Option<String>,
}

impl Member {
    /// From an element of `members` that was read by the schema.
    pub fn read(element: &Value) -> Result<Self> {
        let text = |name| element.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = text("value").filter(|id| !id.is_empty()).ok_or_else(|| {
            ErrorKind::InvalidValue.with("a member needs the id of a user or group as its value")
        })?;
        Ok(Self { id, kind: text("type"), display: text("display") })
    }

    /// As an element of `members`, without `$ref`, which depends on the request.
    pub fn into_element(self) -> Value {
        let texts = [("value", Some(self.id)), ("type", self.kind), ("display", self.display)];
        let members = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        Value::Object(Map::from_iter(members))
    }
}

/// What becomes of the members: those named come or go, the rest stays or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// Whoever is not named goes.
    pub cleared: bool,
    /// By id: who is a member afterwards, and who is not.
    pub named: BTreeMap<String, Option<Member>>,
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

    pub fn add(&mut self, member: Member) {
        self.named.insert(member.id.clone(), Some(member));
    }

    pub fn remove(&mut self, id: String) {
        if self.cleared {
            self.named.remove(&id);
        } else {
            self.named.insert(id, None);
        }
    }
}
