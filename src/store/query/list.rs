//! Many resources: by a value, by place in the order of ids, or all of them.
//!
//! The census counts the resources of a type by the first twelve bits of their
//! ids: 64 rows of 64 counters, kept by the transactions that create and delete.
//! Its sum is the exact total, and its prefix sums say at which id a page begins,
//! so that page 1,000 costs what page 1 costs.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::scim::attr_path::AttrPath;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::query::lookup::MAX_HITS;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::resource_item::{Item, ResourceItem};

const OPERATION: &str = "Query";

/// Bits of an id that choose its counter in a row, and its row.
const COUNTERS: u16 = 64;

/// Row and counter of an id.
pub(crate) fn counter_of(id: &str) -> (u16, u16) {
    // Ids are UUIDs that the store made, so the first three digits are there.
    let prefix = id.get(..3).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    (prefix / COUNTERS, prefix % COUNTERS)
}

pub(crate) fn counter_name(counter: u16) -> String {
    format!("c{counter:02x}")
}

/// The counters of the census in the order of the ids that they count.
struct Census(Vec<(u16, usize)>);

impl Census {
    fn read(items: &[Item]) -> Self {
        let mut counters: Vec<(u16, usize)> = items
            .iter()
            .filter_map(|item| {
                let row = u16::from_str_radix(item.get("sk")?.as_s().ok()?, 16).ok()?;
                Some((row, item))
            })
            .flat_map(|(row, item)| {
                (0..COUNTERS).filter_map(move |counter| {
                    let count = item.get(&counter_name(counter))?.as_n().ok()?.parse().ok()?;
                    Some((row * COUNTERS + counter, count))
                })
            })
            .collect();
        counters.sort_unstable();
        Self(counters)
    }

    fn total(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The id prefix under which the resource with this place (from 0) stands,
    /// and how many of that prefix come before it.
    fn find(&self, place: usize) -> Option<(String, usize)> {
        let mut before = 0;
        for (prefix, count) in &self.0 {
            if place < before + count {
                return Some((format!("{prefix:03x}"), place - before));
            }
            before += count;
        }
        None
    }
}

impl Store {
    /// The resource that owns a value of a unique attribute.
    pub async fn owner(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        path: &AttrPath,
        value: &str,
    ) -> Result<Option<Resource>, Error> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(Key::unique(tenant, kind, path, value).into_map()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Error::sdk("GetItem", &error))?;
        match answer.item.as_ref().and_then(|item| item.get("owner")?.as_s().ok()) {
            Some(owner) => self.get(tenant, kind, owner).await,
            None => Ok(None),
        }
    }

    /// The resources that a look-up value leads to, in the order of their ids.
    pub async fn look_up(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        path: &AttrPath,
        value: &str,
    ) -> Result<Vec<Resource>, Error> {
        let Key { pk, sk } = keys::look_up(tenant, kind, path, value);
        let rows = self.texts(self.rows_from(pk, &sk), "sk", MAX_HITS).await?;
        let ids = rows.iter().filter_map(|row| row.strip_prefix(&sk).map(str::to_owned)).collect();
        self.by_ids(tenant, kind, ids).await
    }

    /// A page of all resources of a type in the order of their ids, and how many
    /// there are. `start` counts from 0.
    pub async fn page(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        start: usize,
        count: usize,
    ) -> Result<(usize, Vec<Resource>), Error> {
        if start == 0 {
            let (census, first) =
                tokio::try_join!(self.census(tenant, kind), self.from(tenant, kind, "", 0, count))?;
            return Ok((census.total(), first));
        }
        let census = self.census(tenant, kind).await?;
        let resources = match census.find(start) {
            Some((prefix, skip)) => self.from(tenant, kind, &prefix, skip, count).await?,
            None => Vec::new(),
        };
        Ok((census.total(), resources))
    }

    /// How many resources of a type there are.
    pub async fn total(&self, tenant: &TenantName, kind: &ResourceType) -> Result<usize, Error> {
        Ok(self.census(tenant, kind).await?.total())
    }

    async fn census(&self, tenant: &TenantName, kind: &ResourceType) -> Result<Census, Error> {
        // 64 rows of 64 counters are some 40 kB: one page.
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(keys::census(tenant, kind)))
            .send()
            .await
            .map_err(|error| Error::sdk(OPERATION, &error))?;
        Ok(Census::read(&answer.items.unwrap_or_default()))
    }

    /// `count` resources from the id `from` on, after `skip` others.
    async fn from(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        from: &str,
        skip: usize,
        count: usize,
    ) -> Result<Vec<Resource>, Error> {
        let mut items: Vec<Item> = Vec::new();
        let mut start: Option<HashMap<String, AttributeValue>> = None;
        let wanted = skip + count;
        if count == 0 {
            return Ok(Vec::new());
        }
        loop {
            let limit = i32::try_from(wanted - items.len()).unwrap_or(i32::MAX);
            // DynamoDB takes no empty key; `!` sorts before every digit.
            let from = if from.is_empty() { "!" } else { from };
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk >= :sk")
                .expression_attribute_values(":pk", AttributeValue::S(keys::resources(tenant, kind)))
                .expression_attribute_values(":sk", AttributeValue::S(from.to_owned()))
                .limit(limit)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| Error::sdk(OPERATION, &error))?;
            items.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key;
            if items.len() >= wanted || start.is_none() {
                break;
            }
        }
        items
            .into_iter()
            .skip(skip)
            .map(|item| Ok(ResourceItem::read(OPERATION, item)?.into_resource()))
            .collect()
    }
}
