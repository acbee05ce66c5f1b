//! All resources of a type brought into the index that its rules require.
//!
//! A write that knows of the change brings its own resource in. A pass does the others, and
//! can be interrupted at any point: the digest of a resource tells whether its rows are
//! those that are required.

use futures_util::{StreamExt, stream};

use crate::scim::etag::Version;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{Key, number, read, text};
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::limits::MAX_ACTIONS;
use crate::store::table::directory::Collection;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::resource_item::{ResourceItem, SEEN};

/// Resources that are read together.
const PAGE: usize = 500;

/// Resources that are written at the same time.
const AT_ONCE: usize = 16;

/// Times that a resource is read again because it has changed.
const TRIES: usize = 10;

/// A unique value that two resources have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duplicate {
    /// The value as it is compared.
    pub value: String,
    /// The resource that owns it.
    pub owner: String,
    /// The other.
    pub id: String,
}

/// The result for some resources.
#[derive(Debug, Default)]
pub struct Reindexed {
    pub seen: usize,
    pub duplicates: Vec<Duplicate>,
}

impl Collection<'_> {
    /// Brings the resources of the type into the index, and calls `passed` with the result for
    /// each page of them.
    pub async fn reindex(self, mut passed: impl FnMut(Reindexed)) -> Result<(), Error> {
        let mut pages = self.table().query(self.partition()).consistent().page_size(PAGE);
        while let Some(page) = pages.next_page().await? {
            let items: Vec<ResourceItem> = page.into_iter().map(read).collect::<Result<_, _>>()?;
            let seen = items.len();
            let outdated: Vec<_> = items
                .into_iter()
                .filter(|item| IndexRows::of(self, &item.sk, &item.resource).digest() != item.index_digest)
                .map(|item| Box::pin(self.reindex_one(item)))
                .collect();
            let done: Vec<Result<Vec<Duplicate>, Error>> =
                stream::iter(outdated).buffer_unordered(AT_ONCE).collect().await;
            let duplicates = done.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
            passed(Reindexed { seen, duplicates });
        }
        Ok(())
    }

    /// Puts all rows of a resource, removes those that it must not have, and notes it in its
    /// digest. Returns the values that another resource has.
    async fn reindex_one(self, mut item: ResourceItem) -> Result<Vec<Duplicate>, Error> {
        for _ in 0..TRIES {
            let mut wanted = IndexRows::of(self, &item.sk, &item.resource);
            let mut unwanted = IndexRows::possible(self, &item.sk, &item.resource).without(&wanted);
            let mut duplicates = Vec::new();
            let changed = loop {
                match self.write_rows(&item, &wanted, &unwanted).await? {
                    Outcome::Applied => return Ok(duplicates),
                    Outcome::Failed(Failure { action: 0, current, .. }) => break current,
                    Outcome::Failed(failure) => match wanted.key_at(failure.action - 1) {
                        Some(key) => {
                            duplicates.extend(self.resolve(&item, &key, &failure, &mut wanted).await?);
                        }
                        None => unwanted.settle(&failure, 1 + wanted.len())?,
                    },
                }
            };
            item = match changed {
                Some(current) => read(current)?,
                None => match self.observe(&item.sk).await? {
                    Some(current) => current,
                    // It was deleted.
                    None => return Ok(Vec::new()),
                },
            };
        }
        Err(Error::Busy { operation: "TransactWriteItems" })
    }

    /// Writes the rows of an observed resource, and its digest with the last of them.
    async fn write_rows(
        self,
        item: &ResourceItem,
        wanted: &IndexRows,
        unwanted: &IndexRows,
    ) -> Result<Outcome, Error> {
        let seen = || Expression::when(SEEN).value(":seen", number(Version(item.version).0));
        let mut rows: Vec<Action> = wanted.put_actions(&item.sk).collect();
        rows.extend(unwanted.delete_actions(&item.sk));
        let mut first = 0;
        while rows.len() - first >= MAX_ACTIONS {
            let part = rows.iter().skip(first).take(MAX_ACTIONS - 1).cloned();
            let actions = std::iter::once(Action::Check(item.key(), seen())).chain(part).collect();
            if let Outcome::Failed(failure) = self.table().transact(actions).await? {
                return Ok(Outcome::Failed(failure.after(first)));
            }
            first += MAX_ACTIONS - 1;
        }
        let digest = seen().set("index_digest = :digest").value(":digest", text(wanted.digest()));
        let actions = std::iter::once(Action::Update(item.key(), digest)).chain(rows.into_iter().skip(first));
        Ok(match self.table().transact(actions.collect()).await? {
            Outcome::Applied => Outcome::Applied,
            Outcome::Failed(failure) => Outcome::Failed(failure.after(first)),
        })
    }

    /// Decides about a row that another resource owns. If that resource no longer has the
    /// value, the row is deleted. Otherwise the value is a duplicate, and is left out.
    async fn resolve(
        self,
        item: &ResourceItem,
        key: &Key,
        failure: &Failure,
        wanted: &mut IndexRows,
    ) -> Result<Option<Duplicate>, Error> {
        let owner = failure.current.as_ref().and_then(|row| row.get("owner")?.as_s().ok());
        let Some(owner) = owner else {
            return Err(Error::fault("TransactWriteItems", "a unique row has no owner"));
        };
        let current = self.observe(owner).await?;
        let has_value =
            |other: &ResourceItem| IndexRows::possible(self, &other.sk, &other.resource).contains(key);
        if current.as_ref().is_some_and(has_value) {
            wanted.remove(key);
            let (value, owner, id) = (key.sk.clone(), owner.clone(), item.sk.clone());
            return Ok(Some(Duplicate { value, owner, id }));
        }
        let is_stale = Expression::when("#owner = :owner").value(":owner", text(owner.as_str()));
        self.table().delete(key.clone(), is_stale).await?;
        Ok(None)
    }
}
