//! What a transaction on a resource consists of: the resource, its rows, its
//! place in the census.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::{DeleteBuilder, PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, Update,
};

use crate::scim::resource::Attributes;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::dynamo::transaction::OPERATION;
use crate::store::error::Error;
use crate::store::query::list::{counter_name, counter_of};
use crate::store::resource::Write;
use crate::store::resource::update::set_expression;
use crate::store::table::keys::{IndexKeys, Key};
use crate::store::table::resource_item::{Item, ResourceItem, attribute_value, hour, number};

/// The group is not in the hands of a staged change.
pub(crate) const UNMARKED: &str = "attribute_not_exists(roster.staged)";
/// The group is in the hands of the staged change with this write id.
pub(crate) const MARKED: &str = "roster.staged.write_id = :write_id";
/// With the value `:seen`.
pub(crate) const SEEN: &str = "#version = :seen";

/// A new version of a resource that exists.
pub(crate) struct Revision<'a> {
    pub(crate) write: Write<'a>,
    pub(crate) id: &'a str,
    pub(crate) write_id: &'a str,
    /// With the digest of their index keys; `None` where they stay.
    pub(crate) attributes: Option<(&'a Attributes, String)>,
    pub(crate) joins: Option<Joins>,
    pub(crate) conditions: &'a [&'a str],
    pub(crate) values: Vec<(String, AttributeValue)>,
}

/// How the members of a group change.
#[derive(Clone, Copy)]
pub(crate) struct Joins {
    /// How many more there are, or fewer.
    pub(crate) members: i64,
    /// Whether one of the new ones has members itself.
    pub(crate) nest: bool,
}

impl Store {
    pub(crate) fn put_new(&self, stored: ResourceItem) -> Result<TransactWriteItem, Error> {
        put(self.put(stored.into_item(OPERATION)?).condition_expression("attribute_not_exists(pk)"))
    }

    /// A new version of a resource, where the conditions hold.
    pub(crate) fn update_resource(&self, change: Revision<'_>) -> Result<TransactWriteItem, Error> {
        let Revision { write, id, write_id, attributes, joins, conditions, values } = change;
        let mut sets = vec!["#version = #version + :one".to_owned()];
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::resource(write.tenant, write.kind, id).into_map()))
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":write_id", AttributeValue::S(write_id.to_owned()))
            .expression_attribute_values(":now", AttributeValue::S(write.now.to_string()))
            .expression_attribute_values(":hour", AttributeValue::S(hour(write.now)));
        if let Some((attributes, index_digest)) = attributes {
            sets.push("#resource = :resource, index_digest = :digest".to_owned());
            update = update
                .expression_attribute_names("#resource", "resource")
                .expression_attribute_values(":resource", attribute_value(OPERATION, attributes)?)
                .expression_attribute_values(":digest", AttributeValue::S(index_digest));
        }
        if let Some(Joins { members, nest }) = joins {
            sets.push("roster.members = roster.members + :joins".to_owned());
            update = update.expression_attribute_values(":joins", number(members));
            if nest {
                sets.push("roster.nests = :true".to_owned());
                update = update.expression_attribute_values(":true", AttributeValue::Bool(true));
            }
        }
        let unmark = if conditions.contains(&MARKED) { " REMOVE roster.staged" } else { "" };
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        let conditions: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        let update = update
            .update_expression(format!("{}{unmark}", set_expression(&sets)))
            .condition_expression(conditions.join(" AND "))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .map_err(built)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    pub(crate) fn delete_seen(&self, seen: &ResourceItem) -> Result<TransactWriteItem, Error> {
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
    pub(crate) fn put_rows(&self, keys: &IndexKeys, id: &str) -> Result<Vec<TransactWriteItem>, Error> {
        let unique = keys.unique.iter().map(|(key, _)| {
            let mut item = key.clone().into_map();
            item.insert("owner".to_owned(), AttributeValue::S(id.to_owned()));
            put(self.put(item).condition_expression("attribute_not_exists(pk)"))
        });
        let look_up = keys.look_up.iter().map(|key| put(self.put(key.clone().into_map())));
        unique.chain(look_up).collect()
    }

    pub(crate) fn delete_rows(&self, keys: &IndexKeys, id: &str) -> Result<Vec<TransactWriteItem>, Error> {
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

    pub(crate) fn count(&self, write: Write<'_>, id: &str, change: i8) -> Result<TransactWriteItem, Error> {
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

    pub(crate) fn put(&self, item: Item) -> PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(item))
    }

    pub(crate) fn delete_key(&self, key: Key) -> DeleteBuilder {
        Delete::builder().table_name(&self.table).set_key(Some(key.into_map()))
    }
}

/// The error for a transaction of the resource and then [`Store::put_rows`] of
/// these keys, of which the condition of an action after the first failed.
pub(crate) fn taken(kind: &ResourceType, keys: &IndexKeys, action: usize, old: Option<&Item>) -> Error {
    let row = action.checked_sub(1).and_then(|place| keys.unique.iter().nth(place));
    let owner = old.and_then(|row| row.get("owner")?.as_s().ok());
    match (row.and_then(|(_, place)| kind.unique.get(*place)), owner) {
        (Some(path), Some(owner)) => Error::Taken { attribute: path.to_string(), owner: owner.clone() },
        _ => not_owned(action),
    }
}

/// A row that belongs to a resource by its attributes and to another, or to
/// nobody, by its owner. No write leaves that behind.
pub(crate) fn not_owned(action: usize) -> Error {
    Error::fault(OPERATION, format!("the row of action {action} is not the resource's"))
}

/// The old item comes with a failed condition, in the place of a read.
pub(crate) fn put(action: PutBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.return_values_on_condition_check_failure(OnFailure::AllOld).build().map_err(built)?;
    Ok(TransactWriteItem::builder().put(action).build())
}

pub(crate) fn delete(action: DeleteBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.return_values_on_condition_check_failure(OnFailure::AllOld).build().map_err(built)?;
    Ok(TransactWriteItem::builder().delete(action).build())
}

pub(crate) fn update(action: UpdateBuilder) -> Result<TransactWriteItem, Error> {
    let action = action.build().map_err(built)?;
    Ok(TransactWriteItem::builder().update(action).build())
}

pub(crate) fn built(error: BuildError) -> Error {
    Error::fault(OPERATION, error)
}
