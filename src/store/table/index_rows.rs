//! The rows that a resource has besides its own item: one for each unique value and
//! each value that it is looked up by; for an attribute of many values, one for all of
//! them together.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::scim::attr_path::AttrPath;
use crate::scim::quirks;
use crate::scim::resource::{Attributes, get};
use crate::scim::schema::{Place, ResourceType, Target};
use crate::store::digest::hex;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, text};
use crate::store::dynamo::transaction::{Action, Failure};
use crate::store::error::Error;
use crate::store::limits::{MAX_INDEX_ROWS, MAX_MANY_ROWS};
use crate::store::table::directory::Collection;
use crate::store::table::resource_item::{ResourceItem, check_size};

/// The keys of the rows of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexRows {
    /// Each with the place in `kind.unique` of the attribute that it guards.
    pub(crate) unique: BTreeSet<(Key, usize)>,
    pub(crate) look_up: BTreeSet<Key>,
}

/// The rows that a change adds and removes.
#[derive(Default)]
pub(crate) struct MovedRows {
    pub(crate) added: IndexRows,
    removed: IndexRows,
}

/// The attributes of a resource after a change, and the rows that change with them.
pub(crate) struct NewAttributes {
    pub(crate) attributes: Attributes,
    pub(crate) index_digest: String,
    pub(crate) rows: MovedRows,
}

impl NewAttributes {
    /// Checks attributes that are about to take the place of the observed ones.
    pub(crate) fn checked(
        collection: Collection<'_>,
        observed: &ResourceItem,
        attributes: Attributes,
    ) -> Result<Self, Error> {
        let rows = IndexRows::checked(collection, &observed.sk, &attributes)?;
        let index_digest = rows.digest();
        if index_digest == observed.index_digest {
            return Ok(Self { attributes, index_digest, rows: MovedRows::default() });
        }
        let rows = IndexRows::of(collection, &observed.sk, &observed.resource).moved_to(&rows)?;
        Ok(Self { attributes, index_digest, rows })
    }
}

impl IndexRows {
    /// Returns the rows of a resource. They follow from its attributes alone, so that the
    /// rows to remove are known without a read.
    pub(crate) fn of(collection: Collection<'_>, id: &str, attributes: &Attributes) -> Self {
        let kind = collection.kind;
        let mut rows = Self::default();
        for (place, path) in kind.unique.iter().enumerate() {
            let keys = texts(kind, path, attributes).map(|value| (collection.unique_key(path, value), place));
            rows.unique.extend(keys);
        }
        let keys = |path: &AttrPath| -> BTreeSet<Key> {
            let keys = texts(kind, path, attributes).map(|value| collection.look_up_key(path, value));
            keys.map(|Key { pk, sk }| Key { pk, sk: sk + id }).collect()
        };
        for path in &kind.look_up {
            rows.look_up.extend(keys(path));
        }
        let mut room = MAX_MANY_ROWS.min(MAX_INDEX_ROWS.saturating_sub(rows.len()));
        for path in &kind.look_up_many {
            let mut keys = keys(path);
            if keys.len() > room {
                // A look-up of any value reads the resources of this partition as well.
                keys = BTreeSet::from([Key { pk: collection.many_partition(path), sk: id.to_owned() }]);
            }
            room = room.saturating_sub(keys.len());
            rows.look_up.extend(keys);
        }
        rows
    }

    /// Returns the rows of a resource that is about to be written, after the checks of its
    /// size and of their number.
    pub(crate) fn checked(
        collection: Collection<'_>,
        id: &str,
        attributes: &Attributes,
    ) -> Result<Self, Error> {
        check_size(attributes)?;
        let rows = Self::of(collection, id, attributes);
        match rows.len() {
            values if values > MAX_INDEX_ROWS => Err(Error::TooManyValues { values }),
            _ => Ok(rows),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.unique.len() + self.look_up.len()
    }

    /// Returns the rows that a change to `new` adds and removes.
    fn moved_to(&self, new: &Self) -> Result<MovedRows, Error> {
        // Rows of both states are in neither set: a transaction must not name an item twice.
        let change = MovedRows { added: new.without(self), removed: self.without(new) };
        match change.len() {
            moves if moves > MAX_INDEX_ROWS => Err(Error::TooManyMoves { moves }),
            _ => Ok(change),
        }
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            unique: self.unique.difference(&other.unique).cloned().collect(),
            look_up: self.look_up.difference(&other.look_up).cloned().collect(),
        }
    }

    /// Stands for all rows in the condition of a write: a write that keeps the digest
    /// keeps the rows.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for Key { pk, sk } in self.unique.iter().map(|(key, _)| key).chain(&self.look_up) {
            for part in [pk, sk] {
                // The length keeps ("ab", "c") and ("a", "bc") apart.
                hash.update(part.len().to_be_bytes());
                hash.update(part);
            }
        }
        hex(hash.finalize().get(..16).unwrap_or_default())
    }

    /// Makes the actions that put the rows. The unique rows come first and in their order,
    /// which [`IndexRows::taken`] relies on.
    pub(crate) fn put_actions<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Action> + 'a {
        let unique = self.unique.iter().map(move |(key, _)| {
            let mut item = key.clone().into_item();
            item.insert("owner".to_owned(), text(id));
            Action::create(item)
        });
        // A look-up row needs no condition: its key ends in the id of the resource, whose
        // condition the same transaction checks.
        let look_up =
            self.look_up.iter().map(|key| Action::Put(key.clone().into_item(), Expression::default()));
        unique.chain(look_up)
    }

    pub(crate) fn delete_actions<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Action> + 'a {
        let unique = self.unique.iter().map(move |(key, _)| {
            Action::Delete(key.clone(), Expression::when("#owner = :owner").value(":owner", text(id)))
        });
        let look_up = self.look_up.iter().map(|key| Action::Delete(key.clone(), Expression::default()));
        unique.chain(look_up)
    }

    /// Names the error of a transaction on the resource and then these rows, of which an
    /// action after the first failed.
    pub(crate) fn taken(&self, kind: &ResourceType, failure: &Failure) -> Error {
        let row = failure.action.checked_sub(1).and_then(|place| self.unique.iter().nth(place));
        let owner = failure.current.as_ref().and_then(|row| row.get("owner")?.as_s().ok());
        match (row.and_then(|(_, place)| kind.unique.get(*place)), owner) {
            (Some(path), Some(owner)) => Error::Taken { attribute: path.to_string(), owner: owner.clone() },
            _ => not_owned(failure),
        }
    }
}

impl MovedRows {
    pub(crate) fn len(&self) -> usize {
        self.added.len() + self.removed.len()
    }

    /// Names the error of a transaction on the resource and then these rows, of which the
    /// condition of a row did not hold.
    pub(crate) fn taken(&self, kind: &ResourceType, failure: &Failure) -> Error {
        match self.added.unique.len() {
            unique if failure.action <= unique => self.added.taken(kind, failure),
            _ => not_owned(failure),
        }
    }

    pub(crate) fn actions<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Action> + 'a {
        self.added.put_actions(id).chain(self.removed.delete_actions(id))
    }
}

/// A row that is the resource's by its attributes and another's by its owner. No write
/// leaves that behind.
pub(crate) fn not_owned(failure: &Failure) -> Error {
    Error::fault("TransactWriteItems", format!("the row of action {} is not the resource's", failure.action))
}

/// Returns the non-empty strings at a path. DynamoDB accepts no empty key.
pub(crate) fn texts<'a>(
    kind: &ResourceType,
    path: &AttrPath,
    attributes: &'a Attributes,
) -> impl Iterator<Item = &'a str> {
    let (value, sub) = match kind.resolve(path) {
        Some(Target::Attribute(Place { extension, attribute, sub })) => {
            let place = Place { extension, attribute, sub: None };
            (get(attributes, &place), sub.map(|sub| sub.name.clone()))
        }
        Some(Target::Core | Target::Extension(_)) | None => (None, None),
    };
    let elements = value.map(quirks::elements).unwrap_or_default().iter();
    elements
        .filter_map(move |element| match &sub {
            Some(sub) => element.get(sub),
            None => Some(element),
        })
        // A sub-attribute may be multi-valued, too.
        .flat_map(quirks::elements)
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty())
}
