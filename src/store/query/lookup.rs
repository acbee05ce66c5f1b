//! Resources by a value, by the beginning of one, or by the time of their last change.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::scim::attr_path::AttrPath;
use crate::scim::resource::Resource;
use crate::store::dynamo::item::Key;
use crate::store::error::Error;
use crate::store::limits::MAX_HITS;
use crate::store::table::directory::Collection;
use crate::store::table::index_rows::texts;
use crate::store::table::keys::STRIPES;
use crate::store::table::resource_item::hour;

impl Collection<'_> {
    /// Reads the resource that owns a value of a unique attribute.
    pub async fn owner(self, path: &AttrPath, value: &str) -> Result<Option<Resource>, Error> {
        let row = self.table().get(self.unique_key(path, value)).await?;
        match row.as_ref().and_then(|row| row.get("owner")?.as_s().ok()) {
            Some(owner) => self.get(owner).await,
            None => Ok(None),
        }
    }

    /// Reads the resources that may have a look-up value, in the order of their ids.
    pub(crate) async fn look_up(self, path: &AttrPath, value: &str) -> Result<Vec<Resource>, Error> {
        let Key { pk, sk } = self.look_up_key(path, value);
        let rows = self.table().query(pk).consistent().beginning(sk.as_str()).texts("sk", MAX_HITS);
        let (rows, many) = tokio::try_join!(Box::pin(rows), Box::pin(self.ids_of_many(path)))?;
        // The row of a longer value that has a `#` at this place leaves a text that is no id, and
        // finds nothing.
        let ids = rows.iter().filter_map(|row| row.strip_prefix(&sk).map(str::to_owned));
        self.by_ids(ids.chain(many)).await
    }

    /// Reads the ids of the resources that have more values of an attribute than rows.
    async fn ids_of_many(self, path: &AttrPath) -> Result<Vec<String>, Error> {
        if !self.kind.look_up_many.contains(path) {
            return Ok(Vec::new());
        }
        self.table().query(self.many_partition(path)).consistent().texts("sk", MAX_HITS).await
    }

    /// Reads the resources that have more values of an attribute than rows.
    pub async fn of_many(self, path: &AttrPath) -> Result<Vec<Resource>, Error> {
        self.by_ids(self.ids_of_many(path).await?).await
    }

    /// Reads the resources whose value of a unique attribute begins with this folded text.
    pub(crate) async fn by_prefix(self, path: &AttrPath, prefix: &str) -> Result<Vec<Resource>, Error> {
        let rows = self.table().query(self.values_partition(path)).consistent().beginning(prefix);
        self.by_ids(rows.texts("owner", MAX_HITS).await?).await
    }

    /// Reads the resources that changed at this time or later, and those of the hour before
    /// it. The index is eventually consistent.
    pub(crate) async fn changed_since(self, since: Timestamp) -> Result<Vec<Resource>, Error> {
        let stripe = |stripe| {
            let entries = self.table().query_index("changes", "change_pk", self.changes_partition(stripe));
            Box::pin(entries.since(hour(since)).texts("sk", MAX_HITS))
        };
        let ids = try_join_all((0..STRIPES).map(stripe)).await?.concat();
        if ids.len() > MAX_HITS {
            return Err(Error::TooMuchToRead);
        }
        self.by_ids(ids).await
    }

    /// Reads a page of all resources in the order of a unique attribute that is required,
    /// so that every resource has a row. `start` counts from 0.
    pub(crate) async fn page_by_value(
        self,
        path: &AttrPath,
        is_descending: bool,
        (start, count): (usize, usize),
    ) -> Result<Vec<Resource>, Error> {
        // DynamoDB refuses a limit of 0.
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = self.table().query(self.values_partition(path)).descending(is_descending);
        let owners = rows.first_texts("owner", start.saturating_add(count)).await?;
        let owners: Vec<String> = owners.into_iter().skip(start).collect();
        let mut shown = owners.len();
        let mut resources = loop {
            match self.by_ids(owners.iter().take(shown).cloned()).await {
                // The page is shorter where its resources take much memory.
                Err(Error::TooMuchToRead) if shown > 1 => shown = shown.div_ceil(4),
                resources => break resources?,
            }
        };
        resources.sort_by_cached_key(|resource| owners.iter().position(|owner| *owner == resource.id));
        Ok(resources)
    }

    /// Counts the resources that have any of these values of a look-up attribute. The rows
    /// are written with the resources, so the number is exact. `many` are the resources
    /// that have more values than rows.
    pub async fn count_holders(
        self,
        path: &AttrPath,
        values: &[String],
        many: &[Resource],
    ) -> Result<usize, Error> {
        let keys: HashSet<Key> = values.iter().map(|value| self.look_up_key(path, value)).collect();
        let has_any = |resource: &&Resource| {
            let mut texts = texts(self.kind, path, &resource.attributes);
            texts.any(|text| keys.contains(&self.look_up_key(path, text)))
        };
        let mut holders: HashSet<String> =
            many.iter().filter(has_any).map(|resource| resource.id.clone()).collect();
        for Key { pk, sk } in &keys {
            let rows = self.table().query(pk.as_str()).consistent().beginning(sk.as_str());
            let rows = rows.first_texts("sk", usize::MAX).await?;
            // An id has no `#`, but a longer value may have one.
            let ids = rows.iter().filter_map(|row| row.strip_prefix(sk)).filter(|id| !id.contains('#'));
            holders.extend(ids.map(str::to_owned));
        }
        Ok(holders.len())
    }
}
