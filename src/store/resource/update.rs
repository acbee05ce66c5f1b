//! Changing a resource that exists: one conditional `UpdateItem`, or one
//! transaction where its rows change with it.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure,
};

use crate::scim::etag::{Precondition, Version};
use crate::scim::resource::Attributes;
use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::dynamo::transaction::{self, Outcome};
use crate::store::error::Error;
use crate::store::resource::actions::{Revision, SEEN, UNMARKED, taken};
use crate::store::resource::{Unseen, Write, checked_keys, gained};
use crate::store::table::audit_trail::differing;
use crate::store::table::keys::{IndexKeys, Key};
use crate::store::table::resource_item::{ResourceItem, attribute_value, hour, number};

const OPERATION: &str = "UpdateItem";

/// What DynamoDB takes in one `IN`.
const MAX_OPERANDS: usize = 100;

pub(crate) enum Written {
    Done(ResourceItem),
    /// The condition did not hold; what is there instead.
    Failed(Option<ResourceItem>),
}

/// Whether a condition can hold all that the client demands.
pub(crate) fn is_expressible(precondition: &Precondition) -> bool {
    match precondition {
        Precondition::Exists => true,
        Precondition::OneOf(versions) => (1..=MAX_OPERANDS).contains(&versions.len()),
    }
}

impl Store {
    /// One trip, with no read: the condition holds if the resource exists in a
    /// version that is asked for, keeps its index rows and really changes.
    pub(crate) async fn write_unseen(
        &self,
        write: Write<'_>,
        id: &str,
        precondition: &Precondition,
        unseen: &Unseen<'_>,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Written, Error> {
        let mut sets = vec!["#version = #version + :one".to_owned()];
        // A second attempt after a lost answer may find that another writer has
        // come upon the first one.
        let mut conditions =
            vec![format!("attribute_exists(pk) AND previous_write_id <> :write_id AND {UNMARKED}")];
        let mut update = self
            .update_item(write, id, write_id)
            .expression_attribute_names("#resource", "resource")
            .expression_attribute_values(":one", number(1));
        match unseen {
            Unseen::Replace(attributes) => {
                let digest = checked_keys(write, id, attributes)?.digest();
                sets.push("#resource = :resource".to_owned());
                conditions.push("index_digest = :digest AND #resource <> :resource".to_owned());
                update = update
                    .expression_attribute_values(":resource", attribute_value(OPERATION, attributes)?)
                    .expression_attribute_values(":digest", AttributeValue::S(digest));
            }
            Unseen::Set(values) => {
                let mut changes = Vec::with_capacity(values.len());
                for (index, (name, value)) in values.iter().enumerate() {
                    sets.push(format!("#resource.#a{index} = :a{index}"));
                    changes.push(format!("#resource.#a{index} <> :a{index}"));
                    update = update
                        .expression_attribute_names(format!("#a{index}"), *name)
                        .expression_attribute_values(
                            format!(":a{index}"),
                            attribute_value(OPERATION, value)?,
                        );
                }
                conditions.push(format!("({})", changes.join(" OR ")));
            }
        }
        if let Precondition::OneOf(versions) = precondition {
            let names: Vec<String> = (0..versions.len()).map(|index| format!(":v{index}")).collect();
            conditions.push(format!("#version IN ({})", names.join(", ")));
            for (name, version) in names.into_iter().zip(versions) {
                update = update.expression_attribute_values(name, number(version.0));
            }
        }
        let update =
            update.update_expression(set_expression(&sets)).condition_expression(conditions.join(" AND "));
        let written = self.send_update(update, retry).await?;
        let Written::Done(seen) = written else {
            return Ok(written);
        };
        let mut attributes = seen.resource.clone();
        match unseen {
            Unseen::Replace(new) => attributes.clone_from(new),
            Unseen::Set(values) => {
                attributes.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())));
            }
        }
        let index_digest = seen.index_digest.clone();
        let changed = seen.followed(write, attributes, index_digest, write_id);
        Ok(done(write, &seen, changed))
    }

    /// One conditional write from a state that was seen; a transaction if index
    /// rows change with it.
    pub(crate) async fn write_seen(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        attributes: Attributes,
        write_id: &str,
        retry: &mut Retry<'_>,
    ) -> Result<Written, Error> {
        let keys = checked_keys(write, &seen.sk, &attributes)?;
        let index_digest = keys.digest();
        if index_digest != seen.index_digest {
            let changed = seen.followed(write, attributes, index_digest, write_id);
            return self.move_rows(write, seen, changed, &keys, retry).await;
        }
        let update = self
            .update_item(write, &seen.sk, write_id)
            .update_expression(set_expression(&[
                "#version = #version + :one".to_owned(),
                "#resource = :resource".to_owned(),
            ]))
            .condition_expression(format!("{SEEN} AND {UNMARKED}"))
            .expression_attribute_names("#resource", "resource")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":resource", attribute_value(OPERATION, &attributes)?)
            .expression_attribute_values(":seen", number(seen.version));
        match self.send_update(update, retry).await? {
            Written::Done(_) => {
                let changed = seen.followed(write, attributes, index_digest, write_id);
                Ok(done(write, seen, changed))
            }
            failed @ Written::Failed(_) => Ok(failed),
        }
    }

    /// One transaction: the resource, the rows it gains and those it loses.
    async fn move_rows(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        changed: ResourceItem,
        new: &IndexKeys,
        retry: &mut Retry<'_>,
    ) -> Result<Written, Error> {
        let id = seen.sk.as_str();
        let old = IndexKeys::of(write.tenant, write.kind, id, &seen.resource);
        let gained = gained(&old, new)?;
        let mut actions = vec![self.update_resource(Revision {
            write,
            id,
            write_id: &changed.write_id,
            attributes: Some((&changed.resource, changed.index_digest.clone())),
            joins: None,
            conditions: &[SEEN, UNMARKED],
            values: vec![(":seen".to_owned(), number(seen.version))],
        })?];
        actions.extend(self.put_rows(&gained, id)?);
        actions.extend(self.delete_rows(&old.without(new), id)?);
        match self.transact(actions, retry).await? {
            Outcome::Done => Ok(done(write, seen, changed)),
            Outcome::Failed { action: 0, old, .. } => {
                let there = old.map(|item| ResourceItem::read(transaction::OPERATION, item)).transpose()?;
                Ok(Written::Failed(there))
            }
            Outcome::Failed { action, old, .. } => Err(taken(write.kind, &gained, action, old.as_ref())),
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
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
    }

    /// `Done` with what was there before.
    async fn send_update(
        &self,
        update: UpdateItemFluentBuilder,
        retry: &mut Retry<'_>,
    ) -> Result<Written, Error> {
        loop {
            let error = match update.clone().send().await {
                Ok(answer) => {
                    let item = answer
                        .attributes
                        .ok_or_else(|| Error::fault(OPERATION, "no attributes came back"))?;
                    return Ok(Written::Done(ResourceItem::read(OPERATION, item)?));
                }
                Err(error) => error,
            };
            if let SdkError::ServiceError(context) = &error
                && let UpdateItemError::ConditionalCheckFailedException(failed) = context.err()
            {
                let there =
                    failed.item.clone().map(|item| ResourceItem::read(OPERATION, item)).transpose()?;
                return Ok(Written::Failed(there));
            }
            let conflict = error.code() == Some("TransactionConflictException");
            if !(conflict && retry.pause().await) {
                return Err(Error::sdk(OPERATION, &error));
            }
        }
    }
}

/// Notes that it happened.
fn done(write: Write<'_>, seen: &ResourceItem, changed: ResourceItem) -> Written {
    write.note_changed(&seen.sk, Some(seen.version), differing(&seen.resource, &changed.resource));
    Written::Done(changed)
}

impl ResourceItem {
    /// The next version.
    fn followed(
        &self,
        write: Write<'_>,
        attributes: Attributes,
        index_digest: String,
        write_id: &str,
    ) -> Self {
        Self {
            version: Version(self.version).next().0,
            write_id: write_id.to_owned(),
            previous_write_id: Some(self.write_id.clone()),
            modified: write.now,
            hour: hour(write.now),
            index_digest,
            resource: attributes,
            ..self.clone()
        }
    }
}

pub(crate) fn set_expression(sets: &[String]) -> String {
    format!(
        "SET {}, previous_write_id = write_id, write_id = :write_id, modified = :now, #hour = :hour",
        sets.join(", ")
    )
}
