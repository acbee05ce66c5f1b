//! What a transaction on a resource consists of: the resource, its rows, its
//! place in the census.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::{DeleteBuilder, PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
};

use super::Store;
use super::error::Error;
use super::item::{Item, Stored, number};
use super::keys::{IndexKeys, Key};
use super::listing::{counter_name, counter_of};
use super::resources::Write;
use super::transaction::OPERATION;
use crate::scim::schema::ResourceType;

impl Store {
    pub(super) fn put_new(&self, stored: Stored) -> Result<TransactWriteItem, Error> {
        put(self.put(stored.into_item(OPERATION)?).condition_expression("attribute_not_exists(pk)"))
    }

    pub(super) fn put_changed(&self, seen: &Stored, changed: Stored) -> Result<TransactWriteItem, Error> {
        put(self
            .put(changed.into_item(OPERATION)?)
            .condition_expression("#version = :seen")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":seen", number(seen.version)))
    }

    pub(super) fn delete_seen(&self, seen: &Stored) -> Result<TransactWriteItem, Error> {
        let key = Key { pk: seen.pk.clone(), sk: seen.sk.clone() };
        delete(
            self.delete_key(key)
                .condition_expression("#version = :seen")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":seen", number(seen.version)),
        )
    }

    /// The unique rows first and in their order: see [`taken`]. A look-up row needs
    /// no condition of its own, since its key ends in the id of the resource whose
    /// condition the same transaction checks.
    pub(super) fn put_rows(&self, keys: &IndexKeys, id: &str) -> Result<Vec<TransactWriteItem>, Error> {
        let unique = keys.unique.iter().map(|(key, _)| {
            let mut item = key.clone().into_map();
            item.insert("owner".to_owned(), AttributeValue::S(id.to_owned()));
            put(self.put(item).condition_expression("attribute_not_exists(pk)"))
        });
        let look_up = keys.look_up.iter().map(|key| put(self.put(key.clone().into_map())));
        unique.chain(look_up).collect()
    }

    pub(super) fn delete_rows(&self, keys: &IndexKeys, id: &str) -> Result<Vec<TransactWriteItem>, Error> {
        let unique = keys.unique.iter().map(|(key, _)| {
            delete(
                self.delete_key(key.clone())
                    .condition_expression("#owner = :owner")
                    .expression_attribute_names("#owner", "owner")
                    .expression_attribute_values(":owner", AttributeValue::S(id.to_owned())),
            )
        });
        let look_up = keys.look_up.iter().map(|key| delete(self.delete_key(key.clone())));
        unique.chain(look_up).collect()
    }

    pub(super) fn count(&self, write: Write<'_>, id: &str, change: i8) -> Result<TransactWriteItem, Error> {
        let (row, counter) = counter_of(id);
        update(
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(Key::census(write.tenant, write.kind, row).into_map()))
                .update_expression("ADD #counter :change")
                .expression_attribute_names("#counter", counter_name(counter))
                .expression_attribute_values(":change", number(change)),
        )
    }

    fn put(&self, item: Item) -> PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(item))
    }

    fn delete_key(&self, key: Key) -> DeleteBuilder {
        Delete::builder().table_name(&self.table).set_key(Some(key.into_map()))
    }
}

/// The error for a transaction of the resource and then [`Store::put_rows`] of
/// these keys, of which the condition of an action after the first failed.
pub(super) fn taken(kind: &ResourceType, keys: &IndexKeys, action: usize, old: Option<&Item>) -> Error {
    let row = action.checked_sub(1).and_then(|place| keys.unique.iter().nth(place));
    let owner = old.and_then(|row| row.get("owner")?.as_s().ok());
    match (row.and_then(|(_, place)| kind.unique.get(*place)), owner) {
        (Some(path), Some(owner)) => Error::Taken { attribute: path.to_string(), owner: owner.clone() },
        _ => not_owned(action),
    }
}

/// A row that belongs to a resource by its attributes and to another, or to
/// nobody, by its owner. No write leaves that behind.
pub(super) fn not_owned(action: usize) -> Error {
    Error::fault(OPERATION, format!("the row of action {action} is not the resource's"))
}

/// The old item comes with a failed condition, in the place of a read.
fn put(action: PutBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.return_values_on_condition_check_failure(OnFailure::AllOld).build().map_err(built)?;
    Ok(TransactWriteItem::builder().put(action).build())
}

fn delete(action: DeleteBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.return_values_on_condition_check_failure(OnFailure::AllOld).build().map_err(built)?;
    Ok(TransactWriteItem::builder().delete(action).build())
}

fn update(action: UpdateBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.build().map_err(built)?;
    Ok(TransactWriteItem::builder().update(action).build())
}

fn built(error: BuildError) -> Error {
    Error::fault(OPERATION, error)
}
