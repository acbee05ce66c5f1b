//! Handles: the tenant is bound once, and then the resource type.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::dynamo::client::Table;
use crate::store::dynamo::item::{Item, Key, read};
use crate::store::error::Error;
use crate::store::limits::{FIRST_KEYS, MAX_FOUND_BYTES};
use crate::store::table::resource_item::{ResourceItem, is_id};
use crate::store::table::write_context::{WriteContext, Writer};

/// The name of a tenant: 1 to 32 lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(String);

/// The items of one tenant.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    pub(crate) table: &'a Table,
    pub(crate) tenant: &'a TenantName,
}

/// The resources of one type of one tenant.
#[derive(Clone, Copy)]
pub struct Collection<'a> {
    pub(crate) directory: Directory<'a>,
    pub(crate) kind: &'a ResourceType,
}

impl TenantName {
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Directory<'a> {
    pub fn collection<'b>(self, kind: &'b ResourceType) -> Collection<'b>
    where
        'a: 'b,
    {
        Collection { directory: self, kind }
    }

    /// Returns the one of these types that has a resource with this id.
    pub async fn type_of<'b>(
        self,
        kinds: &'b [Arc<ResourceType>],
        id: &str,
    ) -> Result<Option<&'b ResourceType>, Error> {
        if !is_id(id) {
            return Ok(None);
        }
        let key = |kind: &ResourceType| self.resource_key(&kind.name, id);
        let existing = self.table.get_all(kinds.iter().map(|kind| key(kind)).collect()).await?;
        Ok(kinds.iter().find(|kind| existing.contains_key(&key(kind))).map(Arc::as_ref))
    }
}

impl<'a> Collection<'a> {
    pub(crate) fn table(self) -> &'a Table {
        self.directory.table
    }

    /// Binds a write to this collection.
    pub fn writer<'b>(self, context: WriteContext<'b>) -> Writer<'b>
    where
        'a: 'b,
    {
        Writer { collection: self, context }
    }

    pub async fn get(self, id: &str) -> Result<Option<Resource>, Error> {
        // No other text is an id, and DynamoDB refuses some texts as keys.
        if !is_id(id) {
            return Ok(None);
        }
        Ok(self.observe(id).await?.map(ResourceItem::into_resource))
    }

    /// Reads the current item of a resource.
    pub(crate) async fn observe(self, id: &str) -> Result<Option<ResourceItem>, Error> {
        self.table().get(self.key(id)).await?.map(read).transpose()
    }

    /// Reads those of the resources that exist, in the order of their ids. Fails with
    /// `TooMuchToRead` if they take too much memory.
    pub async fn by_ids(self, ids: impl IntoIterator<Item = String>) -> Result<Vec<Resource>, Error> {
        // BatchGetItem refuses a key that is named twice.
        let keys: BTreeSet<Key> = ids.into_iter().map(|id| self.key(&id)).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut resources: Vec<Resource> = Vec::new();
        let mut weight = 0;
        let take = |items: Vec<Item>| {
            for item in items {
                let resource = read::<ResourceItem>(item)?.into_resource();
                weight += resource.weight();
                resources.push(resource);
            }
            if weight > MAX_FOUND_BYTES {
                return Err(Error::TooMuchToRead);
            }
            // As many as are expected to take a quarter of the room.
            Ok(MAX_FOUND_BYTES / 4 / (weight / resources.len().max(1)).max(1))
        };
        self.table().get_in_turn(&keys, FIRST_KEYS, take).await?;
        resources.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(resources)
    }
}
