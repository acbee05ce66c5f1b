//! The one table, its client, and conditional calls on a single item.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};

use tokio::sync::Semaphore;

use crate::sources::{Ids, Jitter, Sources};
use crate::store::dynamo::expression::{Expression, Rendered};
use crate::store::dynamo::item::{Item, Key};
use crate::store::dynamo::meter::Metering;
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;
use crate::store::limits::MAX_MEMBERS_COMPARED;

/// The table, the client that reaches it, and the sources of randomness that a writer
/// needs.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    ids: Arc<Ids>,
    jitter: Arc<Jitter>,
    /// Room for the members that the changes of groups compare. The operations of a bulk
    /// request share it.
    pub(crate) members: Arc<Semaphore>,
}

/// The result of a conditional write of one item.
pub(crate) enum Written {
    /// The write was applied; the item before it.
    Applied(Option<Item>),
    /// The condition did not hold; the current item.
    Conflict(Option<Item>),
}

/// The result of a write on the condition that a record is as it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Applied,
    /// The record has changed since it was observed.
    Conflict,
}

impl From<Written> for Applied {
    fn from(written: Written) -> Self {
        match written {
            Written::Applied(_) => Self::Applied,
            Written::Conflict(_) => Self::Conflict,
        }
    }
}

impl Table {
    pub(crate) fn new(client: Client, name: String, sources: &Sources) -> Self {
        let Sources { ids, jitter, .. } = sources;
        let members = Arc::new(Semaphore::new(MAX_MEMBERS_COMPARED));
        Self { client, name, ids: Arc::clone(ids), jitter: Arc::clone(jitter), members }
    }

    pub(crate) fn new_id(&self) -> String {
        (self.ids)().to_string()
    }

    /// Returns the id of a write, unlike those of the few other writes of the same item.
    pub(crate) fn new_write_id(&self) -> String {
        (self.ids)().simple().to_string().split_off(16)
    }

    pub(crate) fn retry(&self) -> Retry {
        Retry::new(Arc::clone(&self.jitter))
    }

    /// Reads an item, strongly consistent.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, Error> {
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key.into_item()));
        let get = get.consistent_read(true);
        let answer = self.retry().until_answered("GetItem", || get.clone().send()).await?;
        Ok(answer.item)
    }

    /// Puts an item where the condition holds.
    pub(crate) async fn put(&self, item: Item, expression: Expression) -> Result<Written, Error> {
        const OPERATION: &str = "PutItem";
        let Rendered { condition, names, values, .. } = expression.render();
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let mut retry = self.retry();
        loop {
            match put.clone().send().await {
                Ok(_) => return Ok(Written::Applied(None)),
                Err(error) => {
                    if let Some(PutItemError::ConditionalCheckFailedException(failed)) =
                        error.as_service_error()
                    {
                        return Ok(Written::Conflict(failed.item.clone()));
                    }
                    retry.pause_after(OPERATION, &error).await?;
                }
            }
        }
    }

    /// Updates an item where the condition holds, with retries of its own.
    pub(crate) async fn update(&self, key: Key, expression: Expression) -> Result<Written, Error> {
        self.update_with(key, expression, &mut self.retry()).await
    }

    /// Updates an item where the condition holds, within the retries of a larger write.
    pub(crate) async fn update_with(
        &self,
        key: Key,
        expression: Expression,
        retry: &mut Retry,
    ) -> Result<Written, Error> {
        const OPERATION: &str = "UpdateItem";
        let Rendered { update, condition, names, values } = expression.render();
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.into_item()))
            .set_update_expression(update)
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        loop {
            match update.clone().send().await {
                Ok(answer) => return Ok(Written::Applied(answer.attributes)),
                Err(error) => {
                    if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) =
                        error.as_service_error()
                    {
                        return Ok(Written::Conflict(failed.item.clone()));
                    }
                    retry.pause_after(OPERATION, &error).await?;
                }
            }
        }
    }

    /// Deletes an item where the condition holds.
    pub(crate) async fn delete(&self, key: Key, expression: Expression) -> Result<Written, Error> {
        const OPERATION: &str = "DeleteItem";
        let Rendered { condition, names, values, .. } = expression.render();
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.into_item()))
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(OnFailure::AllOld);
        let mut retry = self.retry();
        loop {
            match delete.clone().send().await {
                Ok(_) => return Ok(Written::Applied(None)),
                Err(error) => {
                    if let Some(DeleteItemError::ConditionalCheckFailedException(failed)) =
                        error.as_service_error()
                    {
                        return Ok(Written::Conflict(failed.item.clone()));
                    }
                    retry.pause_after(OPERATION, &error).await?;
                }
            }
        }
    }
}

/// The settings of the client. API Gateway waits at most 29 s, and a request makes up
/// to four calls in sequence. Retries are those of the standard mode: in the adaptive
/// mode a throttled tenant slows all others down.
pub(crate) fn client_config(shared: &SdkConfig) -> Builder {
    Builder::from(shared)
        .interceptor(Metering)
        .retry_config(
            RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(25)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_millis(800))
                .operation_attempt_timeout(Duration::from_secs(2))
                .operation_timeout(Duration::from_secs(6))
                .build(),
        )
}

/// The same settings for an endpoint that checks no credentials.
#[cfg(feature = "cli")]
pub fn local_config(endpoint: &str) -> Builder {
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_dynamodb::config::Credentials;

    let shared = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .build();
    client_config(&shared).credentials_provider(Credentials::new("local", "local", None, None, "local"))
}
