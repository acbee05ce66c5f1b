//! The item of a resource, and the expression that writes its next version.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::scim::etag::Version;
use crate::scim::resource::{Attributes, Resource};
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, number, text};
use crate::store::error::Error;
use crate::store::limits::MAX_RESOURCE_BYTES;
use crate::store::table::directory::Collection;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::keys::stripe_of;
use crate::store::table::visibility::Visibility;

/// Holds where the item still has the version that was observed, `:seen`.
pub(crate) const SEEN: &str = "#version = :seen";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    pub(crate) version: u64,
    /// Random per logical write. After a time-out, finding our own id proves that the
    /// write was applied.
    pub(crate) write_id: String,
    /// The ids of the writes before this one. A writer that looks for its own id, because an
    /// answer was lost, may come after several more writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) w1: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) w2: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) w3: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// The digest of the index rows, see [`IndexRows::digest`].
    pub(crate) index_digest: String,
    pub(crate) change_pk: String,
    /// The hour of the last change. Moving an index entry costs two units, so the index
    /// `changes` is sorted by the hour, and most changes do not move their entry.
    pub(crate) hour: String,
    pub(crate) resource: Attributes,
    /// Present for a type that has members.
    #[serde(rename = "roster", skip_serializing_if = "Option::is_none")]
    pub(crate) visibility: Option<Visibility>,
}

impl ResourceItem {
    /// Makes the item of a resource that does not exist yet.
    pub(crate) fn new(collection: Collection<'_>, resource: Resource, rows: &IndexRows) -> Self {
        let Resource { id, version, created, last_modified, attributes, derived: _, members: _ } = resource;
        Self {
            pk: collection.partition(),
            version: version.0,
            write_id: collection.table().new_write_id(),
            w1: None,
            w2: None,
            w3: None,
            created,
            modified: last_modified,
            index_digest: rows.digest(),
            change_pk: collection.changes_partition(stripe_of(&id)),
            hour: hour(last_modified),
            sk: id,
            resource: attributes,
            visibility: collection.kind.members.is_some().then(Visibility::default),
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key { pk: self.pk.clone(), sk: self.sk.clone() }
    }

    pub(crate) fn visibility(&self) -> &Visibility {
        Visibility::of(self.visibility.as_ref())
    }

    /// Returns true if the write with this id was applied: it is one of the last.
    pub(crate) fn is_by(&self, write_id: &str) -> bool {
        self.version_of(write_id).is_some()
    }

    /// Returns the version that the write with this id made, as far as the item tells.
    pub(crate) fn version_of(&self, write_id: &str) -> Option<Version> {
        let before = [&self.w1, &self.w2, &self.w3];
        let all = std::iter::once(Some(self.write_id.as_str())).chain(before.map(Option::as_deref));
        let place = all.zip(0..).find(|(id, _)| *id == Some(write_id));
        place.map(|(_, place)| Version(self.version.saturating_sub(place)))
    }

    /// Returns true if a staged change has locked the group.
    pub(crate) fn is_locked(&self) -> bool {
        self.visibility.as_ref().is_some_and(|visibility| visibility.staged.is_some())
    }

    pub(crate) fn into_resource(self) -> Resource {
        Resource {
            members: self.visibility().members,
            id: self.sk,
            version: Version(self.version),
            created: self.created,
            last_modified: self.modified,
            attributes: self.resource,
            derived: None,
        }
    }

    /// The item after a write of these attributes.
    pub(crate) fn followed_by(
        self,
        write_id: &str,
        now: Timestamp,
        attributes: Attributes,
        index_digest: String,
    ) -> Self {
        Self {
            version: Version(self.version).next().0,
            write_id: write_id.to_owned(),
            w1: Some(self.write_id),
            w2: self.w1,
            w3: self.w2,
            modified: now,
            hour: hour(now),
            index_digest,
            resource: attributes,
            ..self
        }
    }
}

/// Makes the expression of every change of a resource: the next version, and its write id.
pub(crate) fn next_version(write_id: &str, now: Timestamp) -> Expression {
    Expression::default()
        .set("#version = #version + :one")
        // DynamoDB reads all right sides from the item as it was before the update.
        .set("w3 = if_not_exists(w2, :none)")
        .set("w2 = if_not_exists(w1, :none)")
        .set("w1 = write_id")
        .set("write_id = :write_id")
        .set("modified = :now")
        .set("#hour = :hour")
        .value(":one", number(1))
        .value(":none", text("-"))
        .value(":write_id", text(write_id))
        .value(":now", text(now.to_string()))
        .value(":hour", text(hour(now)))
}

pub(crate) fn hour(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H").to_string()
}

/// Returns true if a text can be the id of a resource: every id is a UUID that the store made.
pub(crate) fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

pub(crate) fn check_size(attributes: &Attributes) -> Result<(), Error> {
    let bytes = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_RESOURCE_BYTES { Err(Error::TooLarge { bytes }) } else { Ok(()) }
}
