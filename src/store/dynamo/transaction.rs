//! `TransactWriteItems`: several conditional writes, all or none, with an
//! outcome for each.

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure as OnFailure,
    TransactWriteItem, Update,
};

use crate::store::digest::sha256;
use crate::store::dynamo::client::{Applied, Table};
use crate::store::dynamo::expression::{Expression, Rendered};
use crate::store::dynamo::item::{Item, Key};
use crate::store::dynamo::retry::Retry;
use crate::store::error::{Error, is_contention};

const OPERATION: &str = "TransactWriteItems";

/// A conditional write of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Put(Item, Expression),
    Update(Key, Expression),
    Delete(Key, Expression),
    /// Writes nothing. The transaction fails where the condition does not hold.
    Check(Key, Expression),
}

/// The result of a transaction.
pub(crate) enum Outcome {
    Applied,
    Failed(Failure),
}

/// A transaction that wrote nothing because conditions did not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The place of the first action whose condition did not hold.
    pub(crate) action: usize,
    /// The current item of that action.
    pub(crate) current: Option<Item>,
    /// The places of the other actions whose conditions did not hold.
    pub(crate) others: Vec<usize>,
}

impl Failure {
    /// Counts actions that an earlier transaction has applied, but for the first of each.
    #[cfg(feature = "cli")]
    pub(crate) fn after(mut self, applied: usize) -> Self {
        if self.action > 0 {
            self.action += applied;
            self.others.iter_mut().for_each(|place| *place += applied);
        }
        self
    }

    /// Returns the places of all actions whose conditions did not hold.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.action).chain(self.others.iter().copied())
    }
}

impl Outcome {
    /// Fails with `Busy` unless the actions were applied.
    pub(crate) fn applied(self) -> Result<(), Error> {
        match self {
            Self::Applied => Ok(()),
            Self::Failed(_) => Err(Error::Busy { operation: OPERATION }),
        }
    }
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Failed(_) => Self::Conflict,
        }
    }
}

impl Action {
    /// Puts an item that does not exist.
    pub(crate) fn create(item: Item) -> Self {
        Self::Put(item, Expression::when("attribute_not_exists(pk)"))
    }

    pub(crate) fn check_exists(key: Key) -> Self {
        Self::Check(key, Expression::when("attribute_exists(pk)"))
    }

    /// Deletes an item, whatever it holds.
    pub(crate) fn delete(key: Key) -> Self {
        Self::Delete(key, Expression::default())
    }

    pub(crate) fn check_absent(key: Key) -> Self {
        Self::Check(key, Expression::when("attribute_not_exists(pk)"))
    }

    fn render(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let action = TransactWriteItem::builder();
        // A failed condition returns the current item, in place of a read.
        Ok(match self {
            Self::Put(item, expression) => {
                let Rendered { condition, names, values, .. } = expression.render();
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(OnFailure::AllOld);
                action.put(put.build()?)
            }
            Self::Update(key, expression) => {
                let Rendered { update, condition, names, values } = expression.render();
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .set_update_expression(update)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(OnFailure::AllOld);
                action.update(update.build()?)
            }
            Self::Delete(key, expression) => {
                let Rendered { condition, names, values, .. } = expression.render();
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(OnFailure::AllOld);
                action.delete(delete.build()?)
            }
            Self::Check(key, expression) => {
                let Rendered { condition, names, values, .. } = expression.render();
                // A check is of another resource, whose item no caller needs.
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key.into_item()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                action.condition_check(check.build()?)
            }
        }
        .build())
    }
}

/// Why the same transaction is sent again.
enum Again {
    /// Nothing was written: a new attempt with a new token.
    Cancelled,
    /// An attempt may still be in progress: its token asks for its result.
    InProgress,
}

impl Table {
    /// Writes all actions or none, with retries of its own.
    pub(crate) async fn transact(&self, actions: Vec<Action>) -> Result<Outcome, Error> {
        self.transact_with(actions, &mut self.retry()).await
    }

    /// Writes all actions or none, within the retries of a larger write. One token
    /// joins all attempts of the SDK, so that a transaction whose answer was lost is
    /// not applied twice.
    pub(crate) async fn transact_with(
        &self,
        actions: Vec<Action>,
        retry: &mut Retry,
    ) -> Result<Outcome, Error> {
        let actions = actions.into_iter().map(|action| action.render(&self.name));
        let actions: Vec<TransactWriteItem> =
            actions.collect::<Result<_, _>>().map_err(|error| Error::fault(OPERATION, error))?;
        let request = self.client.transact_write_items().set_transact_items(Some(actions));
        let mut token = self.request_token();
        loop {
            let Err(error) = request.clone().client_request_token(&token).send().await else {
                return Ok(Outcome::Applied);
            };
            match again(&error) {
                Some(Again::Cancelled) => token = self.request_token(),
                Some(Again::InProgress) => {}
                None => {
                    let failure = failure(&error).ok_or_else(|| Error::sdk(OPERATION, &error))?;
                    return Ok(Outcome::Failed(failure));
                }
            }
            retry.pause(OPERATION).await?;
        }
    }

    fn request_token(&self) -> String {
        // DynamoDB keeps tokens per account, and two tables may be given the same ids.
        sha256(&format!("{} {}", self.name, self.new_id())).split_off(32)
    }
}

fn reasons(error: &SdkError<TransactWriteItemsError>) -> Option<&[CancellationReason]> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            Some(cancelled.cancellation_reasons())
        }
        _ => None,
    }
}

/// Decides whether to repeat a transaction.
fn again(error: &SdkError<TransactWriteItemsError>) -> Option<Again> {
    match reasons(error) {
        // A failed condition next to a conflict was judged against a state that is about
        // to change: only a cancellation for conditions alone is an outcome.
        Some(reasons) => {
            reasons.iter().filter_map(CancellationReason::code).any(is_contention).then_some(Again::Cancelled)
        }
        // The whole call was refused, or is in progress.
        None => error.code().is_some_and(is_contention).then_some(Again::InProgress),
    }
}

fn failure(error: &SdkError<TransactWriteItemsError>) -> Option<Failure> {
    let reasons = reasons(error)?;
    let mut failed =
        reasons.iter().enumerate().filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"));
    let (action, first) = failed.next()?;
    let others = failed.map(|(action, _)| action).collect();
    Some(Failure { action, current: first.item().cloned(), others })
}
