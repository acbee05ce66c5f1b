//! What a request costs in DynamoDB: counted under the SDK, so that no call can
//! be forgotten.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
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

tokio::task_local! {
    static METER: Meter;
}

/// Counts what one request does.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Reading>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// HTTP requests to DynamoDB, retries included.
    pub calls: u32,
    /// Items that came back from reads.
    pub items: usize,
    /// Capacity units, as DynamoDB reports them.
    pub read_units: f64,
    pub write_units: f64,
    /// How a filter was answered, step by step.
    pub plan: Option<String>,
}

impl Meter {
    /// Counts whatever `work` does.
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

    /// Outside of a measurement nothing is counted.
    fn count(change: impl FnOnce(&mut Reading)) {
        let _outside =
            METER.try_with(|meter| change(&mut meter.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

/// Asks for the consumed capacity of every call, and adds it up.
pub(super) struct Metering;

impl fmt::Debug for Metering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metering")
    }
}

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
