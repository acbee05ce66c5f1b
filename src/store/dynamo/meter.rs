//! The cost of a request in DynamoDB. An interceptor of the SDK counts it, so that no call
//! can be missed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_execute_statement::{
    BatchExecuteStatementInput, BatchExecuteStatementOutput,
};
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use serde_json::Value;

// A task local, because the SDK passes nothing of ours to an interceptor. Tasks do not inherit
// it: work that is spawned is not counted.
tokio::task_local! {
    static METER: Meter;
}

/// A counter of the calls of one request.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Reading>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// HTTP requests to DynamoDB, retries included.
    pub calls: u32,
    /// Operations, without the retries of the SDK.
    operations: u32,
    /// Retries by the store.
    repeated: u32,
    /// Errors because another transaction was in progress on the item.
    pub conflicts: u32,
    /// Errors because there was no capacity.
    pub throttles: u32,
    /// Items that reads returned.
    pub items: usize,
    /// Capacity units, as DynamoDB reports them.
    pub read_units: f64,
    pub write_units: f64,
    /// The steps by which a filter was evaluated.
    pub plan: Option<String>,
}

impl Reading {
    /// Returns the number of retries, by the SDK and by the store.
    pub fn retries(&self) -> u32 {
        self.calls.saturating_sub(self.operations) + self.repeated
    }
}

impl Meter {
    /// Runs `work` and counts its calls.
    pub async fn measure<T>(work: impl Future<Output = T>) -> (T, Reading) {
        let meter = Self::default();
        let done = METER.scope(meter.clone(), work).await;
        let reading = meter.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (done, reading)
    }

    pub fn note_plan(plan: &impl fmt::Display) {
        Self::count(|reading| {
            let before = reading.plan.take().map_or(String::new(), |before| before + "; ");
            reading.plan = Some(format!("{before}{plan}"));
        });
    }

    pub(crate) fn note_retry() {
        Self::count(|reading| reading.repeated += 1);
    }

    /// Applies a change to the reading; does nothing outside a measurement.
    fn count(change: impl FnOnce(&mut Reading)) {
        let _outside =
            METER.try_with(|meter| change(&mut meter.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

/// An interceptor that requests the consumed capacity of every call, and adds it up.
pub(crate) struct Metering;

impl fmt::Debug for Metering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metering")
    }
}

// DynamoDB omits the consumed capacity unless the request asks for it.
macro_rules! ask {
    ($context:expr, $($input:ty),*) => {
        $(if let Some(input) = $context.input_mut().downcast_mut::<$input>() {
            input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
        })*
    };
}

impl Intercept for Metering {
    fn name(&self) -> &'static str {
        "Metering"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Once per operation, but `read_before_transmit` once per attempt: the difference is
        // the retries of the SDK.
        Meter::count(|reading| reading.operations += 1);
        ask!(
            context,
            BatchExecuteStatementInput,
            BatchGetItemInput,
            DeleteItemInput,
            GetItemInput,
            PutItemInput,
            QueryInput,
            TransactWriteItemsInput,
            UpdateItemInput
        );
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        Meter::count(|reading| reading.calls += 1);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Read from each attempt: the SDK hides an error if its retry succeeds.
        let refused = context.response().filter(|response| !response.status().is_success());
        let text = refused.and_then(|response| response.body().bytes());
        let error: Option<Value> = text.and_then(|text| serde_json::from_slice(text).ok());
        let reasons = error.iter().filter_map(|error| error["CancellationReasons"].as_array()).flatten();
        let codes = error.iter().map(|error| &error["__type"]).chain(reasons.map(|reason| &reason["Code"]));
        for code in codes.filter_map(Value::as_str) {
            // `__type` has the namespace of the API before a `#`; cancellation reasons have none.
            let code = code.rsplit('#').next().unwrap_or_default();
            Meter::count(|reading| {
                reading.conflicts += u32::from(code.starts_with("TransactionConflict"));
                let is_throttled = ["Throttling", "ProvisionedThroughput", "RequestLimit"];
                reading.throttles +=
                    u32::from(is_throttled.iter().any(|throttled| code.starts_with(throttled)));
            });
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else {
            return Ok(());
        };
        if let Some(output) = output.downcast_ref::<GetItemOutput>() {
            read(output.consumed_capacity().into_iter(), output.item.iter().len());
        } else if let Some(output) = output.downcast_ref::<QueryOutput>() {
            read(output.consumed_capacity().into_iter(), output.items().len());
        } else if let Some(output) = output.downcast_ref::<BatchGetItemOutput>() {
            let items = output.responses().map_or(0, |tables| tables.values().map(Vec::len).sum());
            read(output.consumed_capacity().iter(), items);
        } else if let Some(output) = output.downcast_ref::<PutItemOutput>() {
            write(output.consumed_capacity().into_iter());
        } else if let Some(output) = output.downcast_ref::<DeleteItemOutput>() {
            write(output.consumed_capacity().into_iter());
        } else if let Some(output) = output.downcast_ref::<BatchExecuteStatementOutput>() {
            write(output.consumed_capacity().iter());
        } else if let Some(output) = output.downcast_ref::<UpdateItemOutput>() {
            write(output.consumed_capacity().into_iter());
        } else if let Some(output) = output.downcast_ref::<TransactWriteItemsOutput>() {
            write(output.consumed_capacity().iter());
        }
        Ok(())
    }
}

fn read<'a>(consumed: impl Iterator<Item = &'a ConsumedCapacity>, items: usize) {
    Meter::count(|reading| {
        reading.items += items;
        reading.read_units += units(consumed);
    });
}

fn write<'a>(consumed: impl Iterator<Item = &'a ConsumedCapacity>) {
    Meter::count(|reading| reading.write_units += units(consumed));
}

fn units<'a>(consumed: impl Iterator<Item = &'a ConsumedCapacity>) -> f64 {
    consumed.filter_map(ConsumedCapacity::capacity_units).sum()
}
