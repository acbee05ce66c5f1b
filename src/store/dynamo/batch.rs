//! `BatchGetItem` and `BatchExecuteStatement`: many items in few trips.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest, KeysAndAttributes,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::store::Store;
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;
use crate::store::table::keys::Key;
use crate::store::table::resource_item::Item;

const GET: &str = "BatchGetItem";
const EXECUTE: &str = "BatchExecuteStatement";

/// What DynamoDB takes in one request.
const MAX_KEYS: usize = 100;
const MAX_STATEMENTS: usize = 25;

/// Requests under way at the same time.
const AT_ONCE: usize = 16;

/// One conditional write of a batch. There is no other way to write many items
/// in one request, each with a condition of its own.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) parameters: Vec<AttributeValue>,
}

impl Store {
    /// Those items that there are, strongly consistent.
    pub(crate) async fn items(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, Error> {
        let found = self.batch_get(keys, None).await?;
        Ok(found.into_iter().filter_map(|item| Some((Key::of(&item)?, item))).collect())
    }

    /// Which of these items there are.
    pub(crate) async fn existing(&self, keys: Vec<Key>) -> Result<HashSet<Key>, Error> {
        let found = self.batch_get(keys, Some("pk, sk")).await?;
        Ok(found.iter().filter_map(Key::of).collect())
    }

    async fn batch_get(&self, mut keys: Vec<Key>, attributes: Option<&str>) -> Result<Vec<Item>, Error> {
        // BatchGetItem refuses a key that is named twice.
        keys.sort_unstable();
        keys.dedup();
        let batches = keys.chunks(MAX_KEYS).map(|keys| {
            let keys = keys.iter().cloned().map(Key::into_map).collect();
            Box::pin(self.get_batch(keys, attributes))
        });
        let found: Vec<Vec<Item>> =
            stream::iter(batches.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What DynamoDB leaves out for lack of capacity is asked for again, never
    /// taken for missing.
    async fn get_batch(
        &self,
        keys: Vec<HashMap<String, AttributeValue>>,
        attributes: Option<&str>,
    ) -> Result<Vec<Item>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted = keys;
        let mut retry = Retry::new(&*self.jitter);
        while !wanted.is_empty() {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .set_projection_expression(attributes.map(str::to_owned))
                .build()
                .map_err(|error| Error::fault(GET, error))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|error| Error::sdk(GET, &error))?;
            found.extend(answer.responses.unwrap_or_default().into_values().flatten());
            wanted = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|rest| rest.keys)
                .collect();
            if !wanted.is_empty() && !retry.pause().await {
                return Err(Error::Busy { operation: GET });
            }
        }
        Ok(found)
    }

    /// Puts an item that is not there.
    pub(crate) fn insert_statement(&self, item: Item) -> Statement {
        let (names, parameters): (Vec<String>, Vec<AttributeValue>) =
            item.into_iter().map(|(name, value)| (format!("'{name}': ?"), value)).unzip();
        let text = format!(r#"INSERT INTO "{}" VALUE {{{}}}"#, self.table, names.join(", "));
        Statement { text, parameters }
    }

    /// Carries out all statements, each of its own item. The answer says of each
    /// whether its condition held; those that met contention are sent again alone.
    pub(crate) async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<bool>, Error> {
        let batches: Vec<_> = statements
            .chunks(MAX_STATEMENTS)
            .map(|batch| Box::pin(self.execute_batch(batch.to_vec())))
            .collect();
        let held: Vec<Vec<bool>> = stream::iter(batches).buffered(AT_ONCE).try_collect().await?;
        Ok(held.into_iter().flatten().collect())
    }

    async fn execute_batch(&self, statements: Vec<Statement>) -> Result<Vec<bool>, Error> {
        let mut held = vec![false; statements.len()];
        let mut wanted: Vec<(usize, Statement)> = statements.into_iter().enumerate().collect();
        let mut retry = Retry::new(&*self.jitter);
        loop {
            let requests: Vec<BatchStatementRequest> = wanted
                .iter()
                .map(|(_, statement)| {
                    BatchStatementRequest::builder()
                        .statement(&statement.text)
                        .set_parameters(Some(statement.parameters.clone()))
                        .build()
                })
                .collect::<Result<_, _>>()
                .map_err(|error| Error::fault(EXECUTE, error))?;
            let request = self.client.batch_execute_statement().set_statements(Some(requests));
            let answer = request.send().await.map_err(|error| Error::sdk(EXECUTE, &error))?;
            let mut answers = answer.responses.unwrap_or_default().into_iter();
            let mut again = Vec::new();
            for (place, statement) in wanted {
                let answer = answers.next().ok_or_else(|| Error::fault(EXECUTE, "an answer is missing"))?;
                let error = answer.error;
                match error.as_ref().map(|error| error.code.as_ref()) {
                    None => {
                        if let Some(held) = held.get_mut(place) {
                            *held = true;
                        }
                    }
                    Some(Some(Code::ConditionalCheckFailed | Code::DuplicateItem)) => {}
                    Some(Some(
                        Code::TransactionConflict
                        | Code::ThrottlingError
                        | Code::ProvisionedThroughputExceeded
                        | Code::RequestLimitExceeded
                        | Code::InternalServerError,
                    )) => again.push((place, statement)),
                    Some(_) => return Err(Error::fault(EXECUTE, format!("{error:?}"))),
                }
            }
            if again.is_empty() {
                return Ok(held);
            }
            if !retry.pause().await {
                return Err(Error::Busy { operation: EXECUTE });
            }
            wanted = again;
        }
    }
}
