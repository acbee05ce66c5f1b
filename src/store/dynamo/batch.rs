//! `BatchGetItem` and `BatchExecuteStatement`: many items in few round trips.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest, KeysAndAttributes,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::store::dynamo::client::Table;
use crate::store::dynamo::item::{Item, Key};
use crate::store::error::Error;
use crate::store::limits::{BATCHES_AT_ONCE, MAX_KEYS, MAX_STATEMENTS};

const GET: &str = "BatchGetItem";
const EXECUTE: &str = "BatchExecuteStatement";

/// A conditional write of a batch. `PartiQL` is the only way to write many items in
/// one request with a condition each.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) parameters: Vec<AttributeValue>,
}

/// The state of an item that a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// That of every write answered before.
    Strong,
    /// One from a moment ago, at half the units.
    Eventual,
}

impl Table {
    /// Reads those of the items that exist, strongly consistent.
    pub(crate) async fn get_all(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, Error> {
        let found = self.batch_get(keys, None, Consistency::Strong).await?;
        Ok(found.into_iter().filter_map(|item| Some((Key::of(&item)?, item))).collect())
    }

    /// Reads parts of those of the items that exist. `#resource` stands for the attribute
    /// `resource`.
    pub(crate) async fn get_parts(
        &self,
        keys: Vec<Key>,
        parts: &str,
        consistency: Consistency,
    ) -> Result<Vec<Item>, Error> {
        self.batch_get(keys, Some(parts), consistency).await
    }

    /// Reads those of the items that exist, one batch after another, and hands over each
    /// batch before the next is read. `take` returns the number of keys of the next one.
    pub(crate) async fn get_in_turn(
        &self,
        keys: &[Key],
        first: usize,
        mut take: impl FnMut(Vec<Item>) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        let (mut keys, mut next) = (keys, first);
        while !keys.is_empty() {
            let (batch, rest) = keys.split_at(next.clamp(1, MAX_KEYS).min(keys.len()));
            next = take(Box::pin(self.get_batch(batch, None, Consistency::Strong)).await?)?;
            keys = rest;
        }
        Ok(())
    }

    async fn batch_get(
        &self,
        mut keys: Vec<Key>,
        parts: Option<&str>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, Error> {
        // BatchGetItem refuses a key that is named twice.
        keys.sort_unstable();
        keys.dedup();
        let batches = keys.chunks(MAX_KEYS).map(|keys| Box::pin(self.get_batch(keys, parts, consistency)));
        let found: Vec<Vec<Item>> =
            stream::iter(batches.collect::<Vec<_>>()).buffer_unordered(BATCHES_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn get_batch(
        &self,
        keys: &[Key],
        parts: Option<&str>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, Error> {
        // DynamoDB refuses a name that no expression uses.
        let names = parts.map(|_| HashMap::from([("#resource".to_owned(), "resource".to_owned())]));
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted: Vec<Item> = keys.iter().cloned().map(Key::into_item).collect();
        let mut retry = self.retry();
        while !wanted.is_empty() {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(consistency == Consistency::Strong)
                .set_projection_expression(parts.map(str::to_owned))
                .set_expression_attribute_names(names.clone())
                .build()
                .map_err(|error| Error::fault(GET, error))?;
            let request = self.client.batch_get_item().request_items(&self.name, request);
            let answer = retry.until_answered(GET, || request.clone().send()).await?;
            found.extend(answer.responses.unwrap_or_default().into_values().flatten());
            // DynamoDB leaves keys out for lack of capacity. They are asked for again: an
            // item that was not read is not a missing item.
            wanted = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|rest| rest.keys)
                .collect();
            if !wanted.is_empty() {
                retry.pause(GET).await?;
            }
        }
        Ok(found)
    }

    /// Makes the statement that puts an item which does not exist.
    pub(crate) fn insert_statement(&self, item: Item) -> Statement {
        let (names, parameters): (Vec<String>, Vec<AttributeValue>) =
            item.into_iter().map(|(name, value)| (format!("'{name}': ?"), value)).unzip();
        let text = format!(r#"INSERT INTO "{}" VALUE {{{}}}"#, self.name, names.join(", "));
        Statement { text, parameters }
    }

    /// Makes the statement that deletes an item, whatever it holds.
    pub(crate) fn delete_statement(&self, Key { pk, sk }: Key) -> Statement {
        let text = format!(r#"DELETE FROM "{}" WHERE pk = ? AND sk = ?"#, self.name);
        Statement { text, parameters: vec![AttributeValue::S(pk), AttributeValue::S(sk)] }
    }

    /// Executes statements, each on an item of its own. The answer says of each
    /// whether its condition held.
    pub(crate) async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<bool>, Error> {
        let batches: Vec<_> =
            statements.chunks(MAX_STATEMENTS).map(|batch| Box::pin(self.execute_batch(batch))).collect();
        // In order, unlike the reads: a caller matches answers and statements by their place.
        let held: Vec<Vec<bool>> = stream::iter(batches).buffered(BATCHES_AT_ONCE).try_collect().await?;
        Ok(held.into_iter().flatten().collect())
    }

    async fn execute_batch(&self, statements: &[Statement]) -> Result<Vec<bool>, Error> {
        let mut held = vec![false; statements.len()];
        let mut wanted: Vec<(usize, &Statement)> = statements.iter().enumerate().collect();
        let mut retry = self.retry();
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
            let answer = retry.until_answered(EXECUTE, || request.clone().send()).await?;
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
                    // DynamoDB reports an `INSERT` of an existing item under a code of its own.
                    Some(Some(Code::ConditionalCheckFailed | Code::DuplicateItem)) => {}
                    // Statements of a batch succeed and fail one by one: only those that met
                    // contention are sent again.
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
            retry.pause(EXECUTE).await?;
            wanted = again;
        }
    }
}
