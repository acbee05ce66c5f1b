//! Reading and writing one resource, of any type.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::{DeleteBuilder, PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure, Update,
};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::item::{Stored, attributes_value, check_size, hour};
use super::keys::{self, IndexKeys, Key, TenantName};
use super::retry::Retry;
use super::transaction::{Action, Outcome};
use super::{Store, listing};
use crate::scim::error::Result as ScimResult;
use crate::scim::etag::{Precondition, Version};
use crate::scim::resource::{Attributes, Resource};
use crate::scim::schema::ResourceType;

/// Rows of unique and look-up values that a resource may have. A change of all
/// of them deletes and puts each in one transaction, which holds 100 actions.
pub const MAX_INDEX_ROWS: usize = 48;

/// One write: who asks, for which type, and when.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    pub tenant: &'a TenantName,
    pub kind: &'a ResourceType,
    pub now: Timestamp,
}

/// A change of one resource.
pub struct Change<'a> {
    /// The whole change as one conditional write, where it can be told without
    /// the present state.
    pub unseen: Option<Unseen<'a>>,
    /// The attributes after the change, from those before; `None` if there is
    /// nothing to change. Called again for each state that the resource is found
    /// in, until a write meets the state that it was made from.
    pub apply: &'a (dyn Fn(&Attributes) -> ScimResult<Option<Attributes>> + Sync),
}

pub enum Unseen<'a> {
    /// These attributes in the place of all others.
    Replace(&'a Attributes),
    /// These values, of attributes that have no index rows.
    Set(Vec<(&'a str, &'a Value)>),
}

enum Written {
    Done(Stored),
    /// The condition did not hold; what is there instead.
    Failed(Option<Stored>),
    Contention,
}

impl Store {
    pub async fn get(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        id: &str,
    ) -> Result<Option<Resource>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        Ok(self.read(Key::resource(tenant, kind, id)).await?.map(Stored::into_resource))
    }

    async fn read(&self, key: Key) -> Result<Option<Stored>, Error> {
        const OPERATION: &str = "GetItem";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Error::sdk(OPERATION, &error))?;
        answer.item.map(|item| Stored::read(OPERATION, item)).transpose()
    }

    /// One transaction: the resource, its rows, and one more in the census.
    pub async fn create(&self, write: Write<'_>, attributes: Attributes) -> Result<Resource, Error> {
        let id = (self.ids)().to_string();
        let keys = checked_keys(write, &id, &attributes)?;
        let stored = Stored {
            pk: keys::resources(write.tenant, write.kind),
            sk: id.clone(),
            version: Version::FIRST.0,
            write_id: (self.ids)().to_string(),
            created: write.now,
            modified: write.now,
            index_digest: keys.digest(),
            change_pk: keys::changes(write.tenant, write.kind),
            hour: hour(write.now),
            resource: attributes,
        };
        let mut retry = Retry::new(&*self.dice);
        loop {
            let mut actions = vec![self.put_new(stored.clone().into_item("TransactWriteItems")?).action()?];
            for (key, _) in &keys.unique {
                actions.push(self.put_unique(key, &id).action()?);
            }
            for key in &keys.look_up {
                actions.push(self.put_look_up(key).action()?);
            }
            actions.push(self.count(write, &id, 1).action()?);
            match self.transact(actions).await {
                Ok(Outcome::Done) => return Ok(stored.into_resource()),
                Ok(Outcome::Failed { action, old }) => {
                    let owner = owner(old);
                    if owner.as_deref() == Some(id.as_str()) {
                        return Ok(stored.into_resource());
                    }
                    return Err(taken(write.kind, &keys, action, owner));
                }
                Ok(Outcome::Contention) if retry.pause().await => {}
                Ok(Outcome::Contention) => return Err(Error::Busy { operation: "TransactWriteItems" }),
                Err(error) => {
                    let found = self.after_no_answer(error, write, &id).await;
                    return found.map(|(error, there)| match there {
                        Some(there) if there.write_id == stored.write_id => Ok(there.into_resource()),
                        Some(_) | None => Err(error),
                    })?;
                }
            }
        }
    }

    /// A conditional write that another writer may win: then the change is
    /// applied to what that one left, and tried again.
    pub async fn update(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        change: Change<'_>,
    ) -> Result<Resource, Error> {
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let write_id = (self.ids)().to_string();
        let mut retry = Retry::new(&*self.dice);
        let mut unseen = change.unseen;
        let mut seen: Option<Stored> = None;
        loop {
            let written = if let Some(unseen) = &unseen {
                self.write_unseen(write, id, precondition, unseen, &write_id).await
            } else {
                let current = match seen.take() {
                    Some(current) => current,
                    None => self
                        .read(Key::resource(write.tenant, write.kind, id))
                        .await?
                        .ok_or(Error::NotFound)?,
                };
                if current.write_id == write_id {
                    return Ok(current.into_resource());
                }
                if !precondition.holds(Version(current.version)) {
                    return Err(Error::VersionMismatch);
                }
                let Some(attributes) = (change.apply)(&current.resource)? else {
                    return Ok(current.into_resource());
                };
                self.write_seen(write, current, attributes, &write_id).await
            };
            match written {
                Ok(Written::Done(stored)) => return Ok(stored.into_resource()),
                Ok(Written::Failed(None)) => return Err(Error::NotFound),
                Ok(Written::Failed(Some(there))) => {
                    // Only the first failure of an unseen write costs no other
                    // writer anything; after that, somebody was faster.
                    if unseen.take().is_none() && there.write_id != write_id && !retry.pause().await {
                        return Err(Error::Busy { operation: "UpdateItem" });
                    }
                    seen = Some(there);
                }
                Ok(Written::Contention) => {
                    if !retry.pause().await {
                        return Err(Error::Busy { operation: "UpdateItem" });
                    }
                }
                Err(error) => {
                    let (error, there) = self.after_no_answer(error, write, id).await?;
                    return match there {
                        Some(there) if there.write_id == write_id => Ok(there.into_resource()),
                        Some(_) | None => Err(error),
                    };
                }
            }
        }
    }

    /// Deletes the resource and its rows, and takes one from the census.
    pub async fn delete(&self, write: Write<'_>, id: &str, precondition: &Precondition) -> Result<(), Error> {
        if !is_id(id) {
            return Err(Error::NotFound);
        }
        let mut retry = Retry::new(&*self.dice);
        let mut seen = None;
        loop {
            let current = match seen.take() {
                Some(current) => current,
                None => {
                    self.read(Key::resource(write.tenant, write.kind, id)).await?.ok_or(Error::NotFound)?
                }
            };
            if !precondition.holds(Version(current.version)) {
                return Err(Error::VersionMismatch);
            }
            let keys = IndexKeys::of(write.tenant, write.kind, id, &current.resource);
            let mut actions = vec![self.delete_resource(&current).action()?];
            for (key, _) in &keys.unique {
                actions.push(self.delete_unique(key, id).action()?);
            }
            for key in &keys.look_up {
                actions.push(self.delete_look_up(key).action()?);
            }
            actions.push(self.count(write, id, -1).action()?);
            match self.transact(actions).await {
                Ok(Outcome::Done) => return Ok(()),
                Ok(Outcome::Failed { action: 0, old }) => {
                    seen = old.map(|item| Stored::read("TransactWriteItems", item)).transpose()?;
                    if seen.is_none() {
                        return Err(Error::NotFound);
                    }
                    if !retry.pause().await {
                        return Err(Error::Busy { operation: "TransactWriteItems" });
                    }
                }
                Ok(Outcome::Failed { action, .. }) => {
                    return Err(Error::fault(
                        "TransactWriteItems",
                        format!("delete: row {action} is not the resource's"),
                    ));
                }
                Ok(Outcome::Contention) if retry.pause().await => {}
                Ok(Outcome::Contention) => return Err(Error::Busy { operation: "TransactWriteItems" }),
                Err(error) => {
                    let (error, there) = self.after_no_answer(error, write, id).await?;
                    return if there.is_none() { Ok(()) } else { Err(error) };
                }
            }
        }
    }

    /// After a write whose fate is unknown: what is there now, for the caller to
    /// find its own write in. Any other error passes.
    async fn after_no_answer(
        &self,
        error: Error,
        write: Write<'_>,
        id: &str,
    ) -> Result<(Error, Option<Stored>), Error> {
        if !matches!(error, Error::Unavailable { .. }) {
            return Err(error);
        }
        match self.read(Key::resource(write.tenant, write.kind, id)).await {
            Ok(there) => Ok((error, there)),
            Err(_) => Err(error),
        }
    }

    /// One trip, with no read: the condition holds if the resource exists in a
    /// version that is asked for, keeps its index rows and really changes.
    async fn write_unseen(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        unseen: &Unseen<'_>,
        write_id: &str,
    ) -> Result<Written, Error> {
        const OPERATION: &str = "UpdateItem";
        let mut update = self.update_item(write, id, write_id).expression_attribute_values(":one", number(1));
        let mut sets = vec!["#version = #version + :one".to_owned()];
        let mut conditions = vec!["attribute_exists(pk)".to_owned()];
        match unseen {
            Unseen::Replace(attributes) => {
                check_size(attributes)?;
                let digest = checked_keys(write, id, attributes)?.digest();
                sets.push("#resource = :resource".to_owned());
                conditions.push("index_digest = :digest AND #resource <> :resource".to_owned());
                update = update
                    .expression_attribute_names("#resource", "resource")
                    .expression_attribute_values(":resource", attributes_value(OPERATION, attributes)?)
                    .expression_attribute_values(":digest", AttributeValue::S(digest));
            }
            Unseen::Set(values) => {
                let mut changes = Vec::with_capacity(values.len());
                update = update.expression_attribute_names("#resource", "resource");
                for (index, (name, value)) in values.iter().enumerate() {
                    let value = serde_dynamo::to_attribute_value(value)
                        .map_err(|error| Error::fault(OPERATION, error))?;
                    sets.push(format!("#resource.#a{index} = :a{index}"));
                    changes.push(format!("#resource.#a{index} <> :a{index}"));
                    update = update
                        .expression_attribute_names(format!("#a{index}"), *name)
                        .expression_attribute_values(format!(":a{index}"), value);
                }
                conditions.push(format!("({})", changes.join(" OR ")));
            }
        }
        if let Precondition::OneOf(versions) = precondition {
            // DynamoDB takes no empty list, and 0 is no version.
            let versions = if versions.is_empty() { &[Version(0)] } else { versions.as_slice() };
            let names: Vec<String> = (0..versions.len()).map(|index| format!(":v{index}")).collect();
            conditions.push(format!("#version IN ({})", names.join(", ")));
            for (name, version) in names.into_iter().zip(versions) {
                update = update.expression_attribute_values(name, number(version.0));
            }
        }
        update =
            update.update_expression(set_expression(&sets)).condition_expression(conditions.join(" AND "));
        self.send_update(update).await
    }

    /// One conditional write from a state that was seen; a transaction if index
    /// rows change with it.
    async fn write_seen(
        &self,
        write: Write<'_>,
        current: Stored,
        attributes: Attributes,
        write_id: &str,
    ) -> Result<Written, Error> {
        check_size(&attributes)?;
        let new_keys = checked_keys(write, &current.sk, &attributes)?;
        let digest = new_keys.digest();
        let changed = Stored {
            version: Version(current.version).next().0,
            write_id: write_id.to_owned(),
            modified: write.now,
            hour: hour(write.now),
            index_digest: digest,
            resource: attributes,
            ..current.clone()
        };
        if changed.index_digest != current.index_digest {
            return self.move_rows(write, &current, changed, &new_keys).await;
        }
        let update = self
            .update_item(write, &current.sk, write_id)
            .update_expression(set_expression(&[
                "#version = :version".to_owned(),
                "#resource = :resource".to_owned(),
            ]))
            .condition_expression("#version = :seen")
            .expression_attribute_names("#resource", "resource")
            .expression_attribute_values(":version", number(changed.version))
            .expression_attribute_values(":resource", attributes_value("UpdateItem", &changed.resource)?)
            .expression_attribute_values(":seen", number(current.version));
        self.send_update(update).await
    }

    /// One transaction: the resource, the rows it gains and those it loses.
    async fn move_rows(
        &self,
        write: Write<'_>,
        current: &Stored,
        changed: Stored,
        new: &IndexKeys,
    ) -> Result<Written, Error> {
        const OPERATION: &str = "TransactWriteItems";
        let id = current.sk.as_str();
        let old = IndexKeys::of(write.tenant, write.kind, id, &current.resource);
        let gained: Vec<_> = new.unique.difference(&old.unique).cloned().collect();
        let mut actions = vec![self.put_changed(current, changed.clone())?.action()?];
        for (key, _) in &gained {
            actions.push(self.put_unique(key, id).action()?);
        }
        for (key, _) in old.unique.difference(&new.unique) {
            actions.push(self.delete_unique(key, id).action()?);
        }
        for key in new.look_up.difference(&old.look_up) {
            actions.push(self.put_look_up(key).action()?);
        }
        for key in old.look_up.difference(&new.look_up) {
            actions.push(self.delete_look_up(key).action()?);
        }
        match self.transact(actions).await? {
            Outcome::Done => Ok(Written::Done(changed)),
            Outcome::Contention => Ok(Written::Contention),
            Outcome::Failed { action: 0, old } => {
                Ok(Written::Failed(old.map(|item| Stored::read(OPERATION, item)).transpose()?))
            }
            Outcome::Failed { action, old } => {
                let gained = IndexKeys { unique: gained.into_iter().collect(), ..IndexKeys::default() };
                Err(taken(write.kind, &gained, action, owner(old)))
            }
        }
    }

    /// What every change of a resource sets.
    fn update_item(&self, write: Write<'_>, id: &str, write_id: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::resource(write.tenant, write.kind, id).into_map()))
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":write_id", AttributeValue::S(write_id.to_owned()))
            .expression_attribute_values(":now", AttributeValue::S(write.now.to_string()))
            .expression_attribute_values(":hour", AttributeValue::S(hour(write.now)))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
    }

    async fn send_update(&self, update: UpdateItemFluentBuilder) -> Result<Written, Error> {
        const OPERATION: &str = "UpdateItem";
        let error = match update.send().await {
            Ok(answer) => {
                let item =
                    answer.attributes.ok_or_else(|| Error::fault(OPERATION, "no attributes came back"))?;
                return Ok(Written::Done(Stored::read(OPERATION, item)?));
            }
            Err(error) => error,
        };
        if let SdkError::ServiceError(context) = &error
            && let UpdateItemError::ConditionalCheckFailedException(failed) = context.err()
        {
            let old = failed.item.clone().map(|item| Stored::read(OPERATION, item)).transpose()?;
            return Ok(Written::Failed(old));
        }
        match Error::sdk(OPERATION, &error) {
            Error::Busy { .. } => Ok(Written::Contention),
            error => Err(error),
        }
    }

    fn put_new(&self, item: super::item::Item) -> PutBuilder {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
    }

    fn put_changed(&self, current: &Stored, changed: Stored) -> Result<PutBuilder, Error> {
        Ok(Put::builder()
            .table_name(&self.table)
            .set_item(Some(changed.into_item("TransactWriteItems")?))
            .condition_expression("#version = :seen")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":seen", number(current.version)))
    }

    fn delete_resource(&self, current: &Stored) -> DeleteBuilder {
        let key = Key { pk: current.pk.clone(), sk: current.sk.clone() };
        Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression("#version = :seen")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":seen", number(current.version))
    }

    fn put_unique(&self, key: &Key, owner: &str) -> PutBuilder {
        let mut item = key.clone().into_map();
        item.insert("owner".to_owned(), AttributeValue::S(owner.to_owned()));
        self.put_new(item)
    }

    fn delete_unique(&self, key: &Key, owner: &str) -> DeleteBuilder {
        Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.clone().into_map()))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner.to_owned()))
    }

    /// No condition of its own: the key ends in the id of the resource, whose
    /// condition the same transaction checks.
    fn put_look_up(&self, key: &Key) -> PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(key.clone().into_map()))
    }

    fn delete_look_up(&self, key: &Key) -> DeleteBuilder {
        Delete::builder().table_name(&self.table).set_key(Some(key.clone().into_map()))
    }

    fn count(&self, write: Write<'_>, id: &str, change: i8) -> UpdateBuilder {
        let (row, counter) = listing::counter_of(id);
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::census(write.tenant, write.kind, row).into_map()))
            .update_expression("ADD #counter :change")
            .expression_attribute_names("#counter", listing::counter_name(counter))
            .expression_attribute_values(":change", number(change))
    }
}

/// Every id is a UUID of the store's making. No other text leads anywhere, and
/// some is no key at all: `DynamoDB` takes none that is empty or over 1,024 bytes.
fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

fn set_expression(sets: &[String]) -> String {
    format!("SET {}, write_id = :write_id, modified = :now, #hour = :hour", sets.join(", "))
}

fn checked_keys(write: Write<'_>, id: &str, attributes: &Attributes) -> Result<IndexKeys, Error> {
    check_size(attributes)?;
    let keys = IndexKeys::of(write.tenant, write.kind, id, attributes);
    match keys.len() {
        values if values > MAX_INDEX_ROWS => Err(Error::TooManyValues { values }),
        _ => Ok(keys),
    }
}

/// The error for a transaction whose action 0 is the resource and whose next
/// ones put these unique rows.
fn taken(kind: &ResourceType, keys: &IndexKeys, action: usize, owner: Option<String>) -> Error {
    let row = action.checked_sub(1).and_then(|index| keys.unique.iter().nth(index));
    match (row.and_then(|(_, path)| kind.unique.get(*path)), owner) {
        (Some(path), Some(owner)) => Error::Taken { attribute: path.to_string(), owner },
        _ => Error::fault("TransactWriteItems", format!("the condition of action {action} failed")),
    }
}

fn owner(item: Option<super::item::Item>) -> Option<String> {
    item?.get("owner")?.as_s().ok().cloned()
}

fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}
