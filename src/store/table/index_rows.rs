//! The rows that a resource has besides its own item: one for each unique value and
//! each value that it is looked up by; for an attribute of many values, one for all of
//! them together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::scim::attr_path::AttrPath;
use crate::scim::quirks;
use crate::scim::resource::{Attributes, get};
use crate::scim::schema::{OtherIndex, OtherUse, Place, ResourceType, Target};
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
    /// Each with the path of the attribute that it guards.
    pub(crate) unique: BTreeMap<Key, String>,
    /// Rows of unique values under rules that are not in force: another resource may own them.
    pub(crate) soft: BTreeSet<Key>,
    pub(crate) look_up: BTreeSet<Key>,
}

/// The rows that a change adds and removes.
#[derive(Default)]
pub(crate) struct MovedRows {
    added: IndexRows,
    removed: IndexRows,
}

/// The attributes of a resource after a change, and the rows that change with them.
pub(crate) struct NewAttributes {
    pub(crate) attributes: Attributes,
    pub(crate) index_digest: String,
    pub(crate) rows: MovedRows,
    /// All rows after the change.
    wanted: IndexRows,
    /// The unique values that the resource keeps, even if another owns their rows.
    kept: BTreeSet<Key>,
}

impl NewAttributes {
    /// Attributes that have the rows of the observed ones.
    pub(crate) fn with_rows_of(observed: &ResourceItem, attributes: Attributes) -> Self {
        let index_digest = observed.index_digest.clone();
        let (rows, wanted, kept) = Default::default();
        Self { attributes, index_digest, rows, wanted, kept }
    }

    /// Checks attributes that are about to take the place of the observed ones.
    pub(crate) fn checked(
        collection: Collection<'_>,
        observed: &ResourceItem,
        attributes: Attributes,
    ) -> Result<Self, Error> {
        let wanted = IndexRows::checked(collection, &observed.sk, &attributes)?;
        let index_digest = wanted.digest();
        if index_digest == observed.index_digest {
            return Ok(Self::with_rows_of(observed, attributes));
        }
        let before = IndexRows::of(collection, &observed.sk, &observed.resource);
        let kept = before.unique.keys().filter(|key| wanted.unique.contains_key(*key)).cloned().collect();
        if before.digest() != observed.index_digest {
            // Written under other rules: which of its rows exist is unknown.
            let all = IndexRows::possible(collection, &observed.sk, &observed.resource);
            let rows = MovedRows { removed: all.without(&wanted), added: wanted.clone() };
            if rows.len() <= MAX_INDEX_ROWS {
                return Ok(Self { attributes, index_digest, rows, wanted, kept });
            }
        }
        let rows = before.moved_to(&wanted)?;
        let is_known = before.digest() == observed.index_digest;
        let index_digest = if is_known { index_digest } else { UNKNOWN.to_owned() };
        Ok(Self { attributes, index_digest, rows, wanted, kept })
    }

    /// Leaves out rows whose actions failed and need not be written: that of a value which the
    /// resource keeps although another has it too, and those to remove which are another's.
    /// `first` is the place of the first action on rows. Fails if a new value is taken.
    pub(crate) fn settle(&mut self, failure: &Failure, first: usize) -> Result<(), Error> {
        let places = failure.places().filter_map(|place| self.rows.at(place.checked_sub(first)?));
        // All of them before the first is left out, which moves the others.
        let failed: Vec<(bool, Key)> = places.collect();
        let mut left_out = false;
        for (is_added, key) in failed {
            if !is_added {
                left_out |= self.rows.removed.remove(&key);
            } else if self.kept.contains(&key) || self.rows.added.soft.contains(&key) {
                self.rows.added.remove(&key);
                left_out |= self.wanted.remove(&key);
            }
        }
        if !left_out {
            return Err(self.rows.added.taken(failure, first));
        }
        if self.index_digest != UNKNOWN {
            self.index_digest = self.wanted.digest();
        }
        Ok(())
    }
}

/// The digest of a resource whose rows are not all known.
const UNKNOWN: &str = "-";

impl IndexRows {
    /// Returns the rows of a resource. They follow from its attributes alone, so that the
    /// rows to remove are known without a read.
    pub(crate) fn of(collection: Collection<'_>, id: &str, attributes: &Attributes) -> Self {
        let mut rows = Self::under(collection, id, attributes);
        let Some(OtherIndex { kind, use_of }) = collection.kind.other.as_deref() else {
            return rows;
        };
        if *use_of == OtherUse::Dropped {
            return rows;
        }
        let other = Self::under(Collection { kind, ..collection }, id, attributes).without(&rows);
        rows.look_up.extend(other.look_up);
        match use_of {
            OtherUse::Enforced => rows.unique.extend(other.unique),
            OtherUse::Kept | OtherUse::Dropped => rows.soft.extend(other.unique.into_keys()),
        }
        rows
    }

    /// Returns every row that a resource may have, whether or not its rules are in force.
    pub(crate) fn possible(collection: Collection<'_>, id: &str, attributes: &Attributes) -> Self {
        let mut rows = Self::under(collection, id, attributes);
        if let Some(other) = collection.kind.other.as_deref() {
            let other = Self::under(Collection { kind: &other.kind, ..collection }, id, attributes);
            let other = other.without(&rows);
            rows.unique.extend(other.unique);
            rows.look_up.extend(other.look_up);
        }
        rows
    }

    fn under(collection: Collection<'_>, id: &str, attributes: &Attributes) -> Self {
        let kind = collection.kind;
        let mut rows = Self::default();
        for path in &kind.unique {
            let name = path.to_string();
            let keys = texts(kind, path, attributes).map(|value| collection.unique_key(path, value));
            rows.unique.extend(keys.map(|key| (key, name.clone())));
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
    /// size and of the number of rows that the rules in force require.
    pub(crate) fn checked(
        collection: Collection<'_>,
        id: &str,
        attributes: &Attributes,
    ) -> Result<Self, Error> {
        check_size(attributes)?;
        let rows = Self::of(collection, id, attributes);
        if rows.len() > MAX_INDEX_ROWS {
            Self::under(collection, id, attributes).within_limit()?;
        }
        Ok(rows)
    }

    /// Returns the rows of a new resource, all of which one transaction puts.
    pub(crate) fn of_new(
        collection: Collection<'_>,
        id: &str,
        attributes: &Attributes,
    ) -> Result<Self, Error> {
        // Without its rows under other rules it would be missed when they are in force.
        Self::checked(collection, id, attributes)?.within_limit()
    }

    fn within_limit(self) -> Result<Self, Error> {
        match self.len() {
            values if values > MAX_INDEX_ROWS => Err(Error::TooManyValues { values }),
            _ => Ok(self),
        }
    }

    /// Parts the rows of a resource into those that a transaction holds, the unique ones first,
    /// and the rest.
    pub(crate) fn split(self) -> (Self, Self) {
        let mut first = self.clone();
        for key in self.keys().skip(MAX_INDEX_ROWS) {
            first.remove(key);
        }
        let rest = self.without(&first);
        (first, rest)
    }

    pub(crate) fn len(&self) -> usize {
        self.unique.len() + self.soft.len() + self.look_up.len()
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.unique.contains_key(key) || self.soft.contains(key) || self.look_up.contains(key)
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

    pub(crate) fn without(&self, other: &Self) -> Self {
        let unique = self.unique.iter().filter(|(key, _)| !other.contains(key));
        let rest = |keys: &BTreeSet<Key>| keys.iter().filter(|key| !other.contains(key)).cloned().collect();
        Self {
            unique: unique.map(|(key, path)| (key.clone(), path.clone())).collect(),
            soft: rest(&self.soft),
            look_up: rest(&self.look_up),
        }
    }

    /// Stands for all rows in the condition of a write: a write that keeps the digest
    /// keeps the rows.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        // A value is unique with or without being refused.
        let unique: BTreeSet<&Key> = self.unique.keys().chain(&self.soft).collect();
        for Key { pk, sk } in unique.into_iter().chain(&self.look_up) {
            for part in [pk, sk] {
                // The length keeps ("ab", "c") and ("a", "bc") apart.
                hash.update(part.len().to_be_bytes());
                hash.update(part);
            }
        }
        hex(hash.finalize().get(..16).unwrap_or_default())
    }

    /// Returns the keys in the order of the actions.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.unique.keys().chain(&self.soft).chain(&self.look_up)
    }

    /// Returns the row at a place among the actions.
    #[cfg(feature = "cli")]
    pub(crate) fn key_at(&self, place: usize) -> Option<Key> {
        self.keys().nth(place).cloned()
    }

    pub(crate) fn remove(&mut self, key: &Key) -> bool {
        self.unique.remove(key).is_some() || self.soft.remove(key) || self.look_up.remove(key)
    }

    /// Makes the actions that put the rows, in the order of [`IndexRows::keys`].
    pub(crate) fn put_actions<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Action> + 'a {
        let unique = self.unique.keys().chain(&self.soft).map(move |key| {
            let mut item = key.clone().into_item();
            item.insert("owner".to_owned(), text(id));
            Action::Put(item, is_free_for(id))
        });
        // A look-up row needs no condition: its key ends in the id of the resource, whose
        // condition the same transaction checks.
        let look_up =
            self.look_up.iter().map(|key| Action::Put(key.clone().into_item(), Expression::default()));
        unique.chain(look_up)
    }

    pub(crate) fn delete_actions<'a>(&'a self, id: &'a str) -> impl Iterator<Item = Action> + 'a {
        let unique = self.unique.keys().chain(&self.soft);
        let unique = unique.map(move |key| Action::Delete(key.clone(), is_free_for(id)));
        let look_up = self.look_up.iter().map(|key| Action::Delete(key.clone(), Expression::default()));
        unique.chain(look_up)
    }

    /// Leaves out the rows whose deletion failed because they are another's. Fails if there is
    /// none: `first` is the place of the first action on rows.
    pub(crate) fn settle(&mut self, failure: &Failure, first: usize) -> Result<(), Error> {
        let keys: Vec<Key> = self.keys().cloned().collect();
        let failed = failure.places().filter_map(|place| keys.get(place.checked_sub(first)?));
        if failed.filter(|key| self.remove(key)).count() > 0 { Ok(()) } else { Err(not_owned(failure)) }
    }

    /// Leaves out rows that another resource owns and may own. Fails if a value is taken.
    pub(crate) fn settle_new(&mut self, failure: &Failure, first: usize) -> Result<(), Error> {
        let keys: Vec<Key> = self.keys().cloned().collect();
        let failed = failure.places().filter_map(|place| keys.get(place.checked_sub(first)?));
        if failed.filter(|key| self.soft.remove(*key)).count() > 0 {
            Ok(())
        } else {
            Err(self.taken(failure, first))
        }
    }

    /// Names the error of a transaction whose actions on these rows begin at `first`.
    fn taken(&self, failure: &Failure, first: usize) -> Error {
        let row = failure.action.checked_sub(first).and_then(|place| self.unique.iter().nth(place));
        let owner = failure.current.as_ref().and_then(|row| row.get("owner")?.as_s().ok());
        match (row, owner) {
            (Some((_, path)), Some(owner)) => Error::Taken { attribute: path.clone(), owner: owner.clone() },
            _ => not_owned(failure),
        }
    }
}

/// Holds for the row of a unique value that no other resource owns.
fn is_free_for(id: &str) -> Expression {
    Expression::when("(attribute_not_exists(pk) OR #owner = :owner)").value(":owner", text(id))
}

impl MovedRows {
    pub(crate) fn len(&self) -> usize {
        self.added.len() + self.removed.len()
    }

    /// Returns the row at a place among the actions, and whether it is added.
    fn at(&self, place: usize) -> Option<(bool, Key)> {
        match place.checked_sub(self.added.len()) {
            None => self.added.keys().nth(place).map(|key| (true, key.clone())),
            Some(place) => self.removed.keys().nth(place).map(|key| (false, key.clone())),
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
