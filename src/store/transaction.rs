//! TransactWriteItems, with each outcome told apart.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem,
    Update,
};

use super::Store;
use super::error::{Error, is_contention};
use super::item::Item;

const OPERATION: &str = "TransactWriteItems";

pub(super) enum Outcome {
    Done,
    /// A condition did not hold: the place of the action and its old item.
    Failed {
        action: usize,
        old: Option<Item>,
    },
    /// Nothing was written, and the same transaction can succeed later.
    Contention,
}

impl Store {
    pub(super) async fn transact(&self, actions: Vec<TransactWriteItem>) -> Result<Outcome, Error> {
        // One token for all attempts of the SDK, so that a transaction whose
        // answer was lost is not applied twice. DynamoDB knows tokens by account,
        // and directories side by side may make the same ids.
        let token = super::sha256(&format!("{} {}", self.table, (self.ids)())).split_off(32);
        let answer = self
            .client
            .transact_write_items()
            .set_transact_items(Some(actions))
            .client_request_token(token)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(Outcome::Done);
        };
        if let SdkError::ServiceError(context) = &error
            && let TransactWriteItemsError::TransactionCanceledException(cancelled) = context.err()
        {
            return read(cancelled.cancellation_reasons());
        }
        match Error::sdk(OPERATION, &error) {
            Error::Busy { .. } => Ok(Outcome::Contention),
            error => Err(error),
        }
    }
}

/// A failed condition beside a conflict was judged against a state that is about
/// to change: only a cancellation for nothing but conditions is an outcome.
fn read(reasons: &[CancellationReason]) -> Result<Outcome, Error> {
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    if reasons.iter().any(|reason| is_contention(&code(reason))) {
        return Ok(Outcome::Contention);
    }
    let failed = reasons.iter().enumerate().find(|(_, reason)| code(reason) == "ConditionalCheckFailed");
    match failed {
        Some((action, reason)) => Ok(Outcome::Failed { action, old: reason.item().cloned() }),
        None => {
            let codes: Vec<String> = reasons.iter().map(code).collect();
            Err(Error::fault(OPERATION, format!("cancelled: {}", codes.join(", "))))
        }
    }
}

/// The old item comes with a failed condition, in the place of a read.
pub(super) trait Action {
    fn action(self) -> Result<TransactWriteItem, Error>;
}

impl Action for aws_sdk_dynamodb::types::builders::PutBuilder {
    fn action(self) -> Result<TransactWriteItem, Error> {
        let put: Put = self
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .map_err(|error| Error::fault(OPERATION, error))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

impl Action for aws_sdk_dynamodb::types::builders::UpdateBuilder {
    fn action(self) -> Result<TransactWriteItem, Error> {
        let update: Update = self
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .map_err(|error| Error::fault(OPERATION, error))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

impl Action for aws_sdk_dynamodb::types::builders::DeleteBuilder {
    fn action(self) -> Result<TransactWriteItem, Error> {
        let delete: Delete = self
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .build()
            .map_err(|error| Error::fault(OPERATION, error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
