//! The items of one partition, page by page: the only loop over `LastEvaluatedKey`
//! of a query.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::store::dynamo::client::Table;
use crate::store::dynamo::item::{Item, Key, text};
use crate::store::dynamo::retry::Retry;
use crate::store::error::Error;

/// A query of one partition of the table or of an index.
pub(crate) struct Query {
    request: QueryFluentBuilder,
    start: Option<Item>,
    is_done: bool,
    retry: Retry,
}

impl Table {
    /// Queries a partition of the table.
    pub(crate) fn query(&self, partition: impl Into<String>) -> Query {
        let request = self.client.query().table_name(&self.name).key_condition_expression("pk = :pk");
        Query::new(request.expression_attribute_values(":pk", text(partition)), self.retry())
    }

    /// Queries a partition of an index, where `hash` is the index's partition key.
    pub(crate) fn query_index(&self, index: &str, hash: &str, partition: impl Into<String>) -> Query {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .key_condition_expression(format!("{hash} = :pk"));
        Query::new(request.expression_attribute_values(":pk", text(partition)), self.retry())
    }
}

impl Query {
    fn new(request: QueryFluentBuilder, retry: Retry) -> Self {
        Self { request, start: None, is_done: false, retry }
    }

    /// Restricts the query to sort keys that begin with `prefix`.
    pub(crate) fn beginning(mut self, prefix: impl Into<String>) -> Self {
        self.request = self
            .request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":prefix", text(prefix));
        self
    }

    /// Restricts the query to sort keys from `from` on.
    pub(crate) fn from(mut self, from: impl Into<String>) -> Self {
        self.request = self
            .request
            .key_condition_expression("pk = :pk AND sk >= :from")
            .expression_attribute_values(":from", text(from));
        self
    }

    /// Restricts the query to sort keys from `from` to `to`, both included.
    pub(crate) fn between(mut self, from: &str, to: &str) -> Self {
        self.request = self
            .request
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to));
        self
    }

    /// Restricts a query of the index `changes` to this hour and later ones.
    pub(crate) fn since(mut self, hour: String) -> Self {
        self.request = self
            .request
            .key_condition_expression("change_pk = :pk AND #hour >= :hour")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":hour", text(hour));
        self
    }

    /// Restricts a query of the index `changes` to this hour and earlier ones.
    pub(crate) fn until(mut self, hour: String) -> Self {
        self.request = self
            .request
            .key_condition_expression("change_pk = :pk AND #hour <= :hour")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":hour", text(hour));
        self
    }

    /// Makes the query strongly consistent, which no query of an index can be.
    pub(crate) fn consistent(mut self) -> Self {
        self.request = self.request.consistent_read(true);
        self
    }

    pub(crate) fn descending(mut self, descending: bool) -> Self {
        self.request = self.request.scan_index_forward(!descending);
        self
    }

    /// Starts after this key, in the direction of the query.
    pub(crate) fn after(mut self, key: Option<Key>) -> Self {
        self.start = key.map(Key::into_item);
        self
    }

    /// Limits the items of each page.
    pub(crate) fn page_size(mut self, items: usize) -> Self {
        self.request = self.request.limit(i32::try_from(items).unwrap_or(i32::MAX));
        self
    }

    /// Reads the next page; `None` after the last one.
    pub(crate) async fn next_page(&mut self) -> Result<Option<Vec<Item>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let request = self.request.clone().set_exclusive_start_key(self.start.take());
        // A long query would have spent the time of its retries before it is throttled.
        self.retry = self.retry.renewed();
        let answer = self.retry.until_answered("Query", || request.clone().send()).await?;
        self.start = answer.last_evaluated_key;
        self.is_done = self.start.is_none();
        Ok(Some(answer.items.unwrap_or_default()))
    }

    /// Returns true if the last page was read.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(crate) async fn all(self) -> Result<Vec<Item>, Error> {
        self.first(usize::MAX).await
    }

    /// Reads up to `count` items.
    pub(crate) async fn first(mut self, count: usize) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        while items.len() < count {
            // Capacity is consumed by what DynamoDB reads, so no page reads beyond `count`.
            if count < usize::MAX {
                self = self.page_size(count - items.len());
            }
            let Some(page) = self.next_page().await? else { break };
            items.extend(page);
        }
        Ok(items)
    }

    /// Reads one attribute of up to `count` items.
    pub(crate) async fn first_texts(self, attribute: &str, count: usize) -> Result<Vec<String>, Error> {
        let text = |mut item: Item| match item.remove(attribute)? {
            AttributeValue::S(text) => Some(text),
            _ => None,
        };
        Ok(self.first(count).await?.into_iter().filter_map(text).collect())
    }

    /// Reads one attribute of every item, and fails with `TooMuchToRead` if there are
    /// more than `most`.
    pub(crate) async fn texts(self, attribute: &str, most: usize) -> Result<Vec<String>, Error> {
        // One more item than is wanted tells whether there are too many.
        let texts = self.first_texts(attribute, most.saturating_add(1)).await?;
        if texts.len() > most { Err(Error::TooMuchToRead) } else { Ok(texts) }
    }
}
