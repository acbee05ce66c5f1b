//! Resources by what is not a whole value: a prefix, the time of their last
//! change, or the order of a unique attribute; and all of them, a page at a time.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::scim::attr_path::AttrPath;
use crate::scim::query::Side;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::table::keys::{self, Key, TenantName};
use crate::store::table::resource_item::{Item, ResourceItem, hour};

const OPERATION: &str = "Query";

/// Ranges of ids that a scan reads at the same time.
const RANGES: [(&str, &str); 4] = [("!", "4"), ("4", "8"), ("8", "c"), ("c", "~")];

/// Pages of 1 MB that a scan reads of each range: 12 MB of resources, some
/// 12,000 users, in the time of three reads.
const PAGES_OF_A_RANGE: usize = 3;

/// Pages of 1 MB that are read for one page of a list under cursor pagination.
const PAGES_OF_A_STRETCH: usize = 3;

/// Rows that lead to resources. What more resources share is found by a scan as soon.
pub(crate) const MAX_HITS: usize = 1_000;

/// Some of the resources of a type in the order of their ids, or against it.
pub struct Stretch {
    pub resources: Vec<Resource>,
    /// The id from which to go on; `None` at the end.
    pub resume: Option<String>,
}

impl Store {
    /// Those of all resources of a type for which `keep` holds, in the order of
    /// their ids.
    pub async fn scan(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        keep: impl Fn(&Resource) -> bool + Send + Sync,
    ) -> Result<Vec<Resource>, Error> {
        let [a, b, c, d] = RANGES.map(|range| Box::pin(self.scan_range(tenant, kind, range, &keep)));
        let (a, b, c, d) = tokio::try_join!(a, b, c, d)?;
        Ok([a, b, c, d].into_iter().flatten().collect())
    }

    async fn scan_range(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        (from, to): (&str, &str),
        keep: &(impl Fn(&Resource) -> bool + Send + Sync),
    ) -> Result<Vec<Resource>, Error> {
        let query = self
            .rows(keys::resources(tenant, kind))
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_owned()));
        let mut kept = Vec::new();
        let mut start = None;
        for _ in 0..PAGES_OF_A_RANGE {
            let query = query.clone().set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| Error::sdk(OPERATION, &error))?;
            for item in answer.items.unwrap_or_default() {
                let resource = ResourceItem::read(OPERATION, item)?.into_resource();
                if keep(&resource) {
                    kept.push(resource);
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(kept);
            }
        }
        Err(Error::TooMuchToRead)
    }

    /// Up to `count` of the resources on this side of an id for which `keep` holds,
    /// away from that id; fewer when too many do not. An empty id is the end of the
    /// order where reading begins.
    pub async fn stretch(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        side: Side<&str>,
        count: usize,
        keep: Option<&(dyn Fn(&Resource) -> bool + Send + Sync)>,
    ) -> Result<Stretch, Error> {
        let (from, forward) = match side {
            Side::After(id) => (id, true),
            Side::Before(id) => (id, false),
        };
        let query = self
            .rows(keys::resources(tenant, kind))
            .key_condition_expression("pk = :pk")
            .scan_index_forward(forward);
        // One more than is wanted tells whether there is more.
        let limit = keep.is_none().then(|| i32::try_from(count + 1).unwrap_or(i32::MAX));
        let mut resources: Vec<Resource> = Vec::new();
        let mut start = Some(Key::resource(tenant, kind, from).into_map()).filter(|_| !from.is_empty());
        let mut resume = from.to_owned();
        for _ in 0..PAGES_OF_A_STRETCH {
            let query = query.clone().set_limit(limit).set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| Error::sdk(OPERATION, &error))?;
            for item in answer.items.unwrap_or_default() {
                let resource = ResourceItem::read(OPERATION, item)?.into_resource();
                let kept = keep.is_none_or(|keep| keep(&resource));
                if kept && resources.len() == count {
                    return Ok(Stretch { resources, resume: Some(resume) });
                }
                resume.clone_from(&resource.id);
                if kept {
                    resources.push(resource);
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(Stretch { resources, resume: None });
            }
        }
        Ok(Stretch { resources, resume: Some(resume) })
    }

    /// The resources whose value of a unique attribute begins so. `prefix` is folded.
    pub async fn by_prefix(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        path: &AttrPath,
        prefix: &str,
    ) -> Result<Vec<Resource>, Error> {
        let query = self
            .rows(keys::values(tenant, kind, path))
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()));
        let owners = self.texts(query, "owner", MAX_HITS).await?;
        self.by_ids(tenant, kind, owners).await
    }

    /// The resources that changed at this time or later. Their index entries are
    /// eventually consistent, and say the hour.
    pub async fn changed_since(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        since: Timestamp,
    ) -> Result<Vec<Resource>, Error> {
        let query = self
            .rows(keys::changes(tenant, kind))
            .index_name("changes")
            .key_condition_expression("change_pk = :pk AND #hour >= :hour")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":hour", AttributeValue::S(hour(since)));
        let ids = self.texts(query, "sk", MAX_HITS).await?;
        self.by_ids(tenant, kind, ids).await
    }

    /// A page of all resources of a type in the order of a unique attribute that
    /// is required, so that every resource has a row. `start` counts from 0.
    pub async fn page_by_value(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        path: &AttrPath,
        descending: bool,
        (start, count): (usize, usize),
    ) -> Result<Vec<Resource>, Error> {
        let end = start.saturating_add(count);
        // DynamoDB takes no limit of 0.
        if count == 0 {
            return Ok(Vec::new());
        }
        let query = self
            .rows(keys::values(tenant, kind, path))
            .key_condition_expression("pk = :pk")
            .scan_index_forward(!descending)
            .limit(i32::try_from(end).unwrap_or(i32::MAX));
        let owners: Vec<String> =
            self.first_texts(query, "owner", end).await?.into_iter().skip(start).collect();
        let mut resources = self.by_ids(tenant, kind, owners.clone()).await?;
        resources.sort_by_cached_key(|resource| owners.iter().position(|owner| *owner == resource.id));
        Ok(resources)
    }

    /// Those of these ids that there are, in their order.
    pub async fn by_ids(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        mut ids: Vec<String>,
    ) -> Result<Vec<Resource>, Error> {
        // BatchGetItem refuses a key that is named twice.
        ids.sort_unstable();
        ids.dedup();
        let keys = ids.iter().map(|id| Key::resource(tenant, kind, id)).collect();
        let items = self.items(keys).await?.into_values();
        let mut resources: Vec<Resource> = items
            .map(|item| Ok(ResourceItem::read("BatchGetItem", item)?.into_resource()))
            .collect::<Result<_, Error>>()?;
        resources.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(resources)
    }

    /// One attribute of every row of a query, of at most `most` rows.
    pub(crate) async fn texts(
        &self,
        query: QueryFluentBuilder,
        attribute: &str,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let texts = self.first_texts(query, attribute, most + 1).await?;
        if texts.len() > most { Err(Error::TooMuchToRead) } else { Ok(texts) }
    }

    /// One attribute of the first rows of a query.
    pub(crate) async fn first_texts(
        &self,
        query: QueryFluentBuilder,
        attribute: &str,
        wanted: usize,
    ) -> Result<Vec<String>, Error> {
        let mut texts: Vec<String> = Vec::new();
        let mut start = None;
        loop {
            let query = query.clone().set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| Error::sdk(OPERATION, &error))?;
            let text = |row: &Item| row.get(attribute)?.as_s().ok().cloned();
            texts.extend(answer.items.unwrap_or_default().iter().filter_map(text));
            start = answer.last_evaluated_key;
            if start.is_none() || texts.len() >= wanted {
                texts.truncate(wanted);
                return Ok(texts);
            }
        }
    }

    /// How many resources have any of these values of a look-up attribute. The rows
    /// are written with the resources, so that the number is exact.
    pub async fn holders(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        path: &AttrPath,
        values: &[String],
    ) -> Result<usize, Error> {
        let mut holders = HashSet::new();
        for value in values {
            let Key { pk, sk } = keys::look_up(tenant, kind, path, value);
            let rows = self.first_texts(self.rows_from(pk, &sk), "sk", usize::MAX).await?;
            // An id has no `#`, which a longer value may have.
            let ids = rows.iter().filter_map(|row| row.strip_prefix(&sk)).filter(|id| !id.contains('#'));
            holders.extend(ids.map(str::to_owned));
        }
        Ok(holders.len())
    }

    /// The rows of one partition whose sort keys begin so, as they are now.
    pub(crate) fn rows_from(&self, partition: String, beginning: &str) -> QueryFluentBuilder {
        self.rows(partition)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :beginning)")
            .expression_attribute_values(":beginning", AttributeValue::S(beginning.to_owned()))
    }

    /// A query of one partition, its condition yet to come.
    pub(crate) fn rows(&self, partition: String) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .expression_attribute_values(":pk", AttributeValue::S(partition))
    }
}
