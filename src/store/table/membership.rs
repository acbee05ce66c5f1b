//! A membership: one item per member, in the partition of the group, and in the index
//! `members` under the member.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scim::member::Member;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Item, Key, item, number};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::MAX_MEMBER_ID_BYTES;
use crate::store::table::directory::Collection;
use crate::store::table::visibility::Tags;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) pk: String,
    /// The id of the member.
    pub(crate) sk: String,
    pub(crate) member_pk: String,
    /// The resource type of the member.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<String>,
    /// True if the member is about to be deleted, or is deleted: readers ask for its job.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leaving: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed_by: Option<u64>,
}

/// A member with the type that it was found under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedMember {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) display: Option<String>,
}

impl Membership {
    pub(crate) fn new(groups: Collection<'_>, group: &str, member: &ResolvedMember) -> Self {
        let ResolvedMember { id, kind, display } = member.clone();
        Self {
            pk: groups.members_partition(group),
            member_pk: groups.directory.member_partition(&id),
            sk: id,
            kind,
            display,
            leaving: false,
            added_by: None,
            removed_by: None,
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key { pk: self.pk.clone(), sk: self.sk.clone() }
    }

    pub(crate) fn to_item(&self) -> Result<Item, Error> {
        item(self)
    }

    pub(crate) fn tags(&self) -> Tags {
        Tags { added_by: self.added_by, removed_by: self.removed_by }
    }

    pub(crate) fn into_element(self) -> Value {
        Member { id: self.sk, kind: Some(self.kind), display: self.display }.into_element()
    }

    /// Makes the action that adds a membership which does not exist, or does not count
    /// under a group with these aborted changes.
    pub(crate) fn put_action(&self, aborted: &[u64]) -> Result<Action, Error> {
        let (void, values) = void(aborted);
        let condition = Expression::when(format!("(attribute_not_exists(pk) OR {void})"));
        Ok(Action::Put(self.to_item()?, with_values(condition, values)))
    }
}

/// Makes the action that removes a membership which counts.
pub(crate) fn delete_membership(key: Key, aborted: &[u64]) -> Action {
    let (void, values) = void(aborted);
    let condition = Expression::when("attribute_exists(pk)").and(format!("NOT ({void})"));
    Action::Delete(key, with_values(condition, values))
}

/// Holds for a membership that does not count under a group that is not locked and has
/// these aborted changes.
fn void(aborted: &[u64]) -> (String, Vec<(String, AttributeValue)>) {
    if aborted.is_empty() {
        // Without a lock and aborted changes, every tag is of a change that happened.
        return ("attribute_exists(removed_by)".to_owned(), Vec::new());
    }
    let values: Vec<(String, AttributeValue)> =
        aborted.iter().enumerate().map(|(n, epoch)| (format!(":x{n}"), number(*epoch))).collect();
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    let list = names.join(", ");
    (format!("(attribute_exists(removed_by) AND NOT removed_by IN ({list})) OR added_by IN ({list})"), values)
}

fn with_values(expression: Expression, values: Vec<(String, AttributeValue)>) -> Expression {
    values.into_iter().fold(expression, |expression, (name, value)| expression.value(name, value))
}

impl ResolvedMember {
    pub(crate) fn to_element(&self) -> Value {
        let Self { id, kind, display } = self.clone();
        Member { id, kind: Some(kind), display }.into_element()
    }
}

/// Returns the types that a member may have: those that its `$ref` may lead to.
pub(crate) fn member_types(kind: &ResourceType) -> impl Iterator<Item = &str> {
    let reference = kind
        .members
        .as_ref()
        .and_then(|name| kind.schema.attribute(name))
        .and_then(|attribute| attribute.sub_attribute("$ref"));
    reference.into_iter().flat_map(|reference| reference.reference_types.iter().map(String::as_str))
}

/// Returns true if a text can be the id of a member, which need not be a resource of ours.
pub(crate) fn is_member_id(text: &str) -> bool {
    (1..=MAX_MEMBER_ID_BYTES).contains(&text.len())
}
