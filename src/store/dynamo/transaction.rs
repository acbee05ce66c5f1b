//! `TransactWriteItems`, with each outcome told apart.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::error::{Error, is_contention};
use crate::store::table::resource_item::Item;

pub(crate) const OPERATION: &str = "TransactWriteItems";

pub(crate) enum Outcome {
    Done,
    /// A condition did not hold: the place of the first such action and its old item.
    Failed {
        action: usize,
        old: Option<Item>,
        /// The places of the others.
        others: Vec<usize>,
    },
}

/// Why the same transaction is sent once more.
enum Again {
    /// Nothing was written: a new attempt with a new token.
    Cancelled,
    /// An attempt that got no answer is still under way: its token asks for its result.
    UnderWay,
}

impl Store {
    /// All or nothing. The token makes one of all attempts of the SDK, so that a
    /// transaction whose answer was lost is not applied twice.
    pub(crate) async fn transact(
        &self,
        actions: Vec<TransactWriteItem>,
        retry: &mut Retry<'_>,
    ) -> Result<Outcome, Error> {
        let request = self.client.transact_write_items().set_transact_items(Some(actions));
        let mut token = self.request_token();
        loop {
            let Err(error) = request.clone().client_request_token(&token).send().await else {
                return Ok(Outcome::Done);
            };
            match again(&error) {
                Some(Again::Cancelled) => token = self.request_token(),
                Some(Again::UnderWay) => {}
                None => return failed(&error).ok_or_else(|| Error::sdk(OPERATION, &error)),
            }
            if !retry.pause().await {
                return Err(Error::Busy { operation: OPERATION });
            }
        }
    }

    /// DynamoDB knows tokens by account, and two tables may hold the same ids.
    fn request_token(&self) -> String {
        crate::store::sha256(&format!("{} {}", self.table, (self.ids)())).split_off(32)
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

/// A failed condition beside a conflict was judged against a state that is about
/// to change: only a cancellation for nothing but conditions is an outcome.
fn again(error: &SdkError<TransactWriteItemsError>) -> Option<Again> {
    match reasons(error) {
        Some(reasons) => {
            reasons.iter().filter_map(CancellationReason::code).any(is_contention).then_some(Again::Cancelled)
        }
        None => (error.code() == Some("TransactionInProgressException")).then_some(Again::UnderWay),
    }
}

fn failed(error: &SdkError<TransactWriteItemsError>) -> Option<Outcome> {
    let reasons = reasons(error)?;
    let mut failed =
        reasons.iter().enumerate().filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"));
    let (action, first) = failed.next()?;
    let others = failed.map(|(action, _)| action).collect();
    Some(Outcome::Failed { action, old: first.item().cloned(), others })
}
