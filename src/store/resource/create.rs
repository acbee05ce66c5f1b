//! Creating a resource by one transaction: its item, its rows, its count, its members.

use std::collections::BTreeSet;

use crate::scim::etag::Version;
use crate::scim::member::Member;
use crate::scim::resource::{Attributes, Resource};
use crate::store::dynamo::item::item;
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::group::initial::InitialMembers;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::job::Work;
use crate::store::table::resource_item::{ResourceItem, is_id};
use crate::store::table::write_context::Writer;

/// The result of a creation under a given id or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    /// The existing one is left as it is.
    AlreadyExists,
}

/// The result of a creation under the id of a resource that existed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    Created,
    /// The existing one is left as it is.
    AlreadyExists,
    /// The memberships of the deleted resource are still being removed.
    IsDeparting,
}

impl From<Outcome> for Created {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Created,
            Outcome::Failed(_) => Self::AlreadyExists,
        }
    }
}

impl Writer<'_> {
    /// Creates a resource under a new id.
    pub async fn create(self, attributes: Attributes, members: Vec<Member>) -> Result<Resource, Error> {
        let (table, now) = (self.table(), self.context.now);
        let id = table.new_id();
        let mut rows = IndexRows::of_new(self.collection, &id, &attributes)?;
        let new = Resource {
            id: id.clone(),
            version: Version::FIRST,
            created: now,
            last_modified: now,
            attributes,
            derived: None,
            members: 0,
        };
        let mut new = ResourceItem::new(self.collection, new, &rows);
        let mut retry = table.retry();
        let mut may_guess = true;
        let elements = loop {
            let InitialMembers { actions: member_actions, elements } =
                self.initial_members(&mut new, 2 + rows.len(), &members, may_guess).await?;
            let mut actions = self.create_actions(&new, &rows)?;
            actions.extend(member_actions);
            match table.transact_with(actions, &mut retry).await {
                // No other writer makes this id: if it exists, an attempt whose answer was
                // lost has created it.
                Ok(Outcome::Applied | Outcome::Failed(Failure { action: 0, .. })) => break elements,
                Ok(Outcome::Failed(failure)) if failure.action <= rows.len() => {
                    rows.settle_new(&failure, 1)?;
                    new.index_digest = rows.digest();
                }
                // A member does not have the type that was guessed.
                Ok(Outcome::Failed(_)) if may_guess => may_guess = false,
                // Only the end of the job is left to fail: a sweep has claimed the job, and deletes
                // the memberships.
                Ok(Outcome::Failed(_)) => return Err(Error::Busy { operation: "TransactWriteItems" }),
                Err(error) => {
                    self.collection.resolve_ambiguous(&id, error, |current| current.map(drop)).await?;
                    break elements;
                }
            }
        };
        let mut resource = new.into_resource();
        if let Some(name) = self.collection.kind.members.as_ref().filter(|_| !elements.is_empty()) {
            resource.attributes.insert(name.clone(), elements.into());
        }
        self.record_created(&id, Version::FIRST.0, resource.attributes.keys().cloned().collect());
        Ok(resource)
    }

    /// Creates a resource under its own id and version. Members are not restored with it. An id
    /// whose deletion has not ended is refused: its job would take the new resource out of its
    /// groups.
    pub async fn restore(self, resource: Resource) -> Result<Restored, Error> {
        if !is_id(&resource.id) {
            return Err(Error::NotFound);
        }
        let (id, version) = (resource.id.clone(), resource.version.0);
        let names: BTreeSet<String> = resource.attributes.keys().cloned().collect();
        let mut rows = IndexRows::of_new(self.collection, &id, &resource.attributes)?;
        let mut new = ResourceItem::new(self.collection, resource, &rows);
        loop {
            let mut actions = self.create_actions(&new, &rows)?;
            let job = actions.len();
            actions.push(Action::check_absent(self.collection.directory.job_key(Work::Departed(&id))));
            match self.table().transact(actions).await? {
                Outcome::Applied => {
                    self.record_created(&id, version, names);
                    return Ok(Restored::Created);
                }
                Outcome::Failed(Failure { action: 0, .. }) => return Ok(Restored::AlreadyExists),
                Outcome::Failed(failure) if failure.action == job => return Ok(Restored::IsDeparting),
                Outcome::Failed(failure) => rows.settle_new(&failure, 1)?,
            }
            new.index_digest = rows.digest();
        }
    }

    /// Makes the actions that create a resource: the item first, then its rows.
    fn create_actions(self, new: &ResourceItem, rows: &IndexRows) -> Result<Vec<Action>, Error> {
        let mut actions = vec![Action::create(item(new)?)];
        actions.extend(rows.put_actions(&new.sk));
        actions.push(self.collection.count_action(&new.sk, 1));
        Ok(actions)
    }
}
