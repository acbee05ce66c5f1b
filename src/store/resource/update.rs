//! Changing a resource that exists: one conditional `UpdateItem`, or one transaction
//! where its rows change with it.

use crate::scim::etag::Precondition;
use crate::scim::resource::Resource;
use crate::store::dynamo::client::Written;
use crate::store::dynamo::item::{Item, number, read, text, value};
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::group::change::Apply;
use crate::store::resource::{Blind, Change};
use crate::store::table::audit_trail::differing;
use crate::store::table::index_rows::{IndexRows, NewAttributes};
use crate::store::table::lock::UNLOCKED;
use crate::store::table::pending_edit::{Attempt, Edit, PendingEdit};
use crate::store::table::resource_item::{ResourceItem, SEEN};
use crate::store::table::write_context::Writer;

impl Writer<'_> {
    /// Changes a resource. If another writer wins, the change is applied to the state that
    /// it left, and tried again.
    pub async fn update(
        self,
        id: &str,
        precondition: &Precondition,
        change: Change<'_>,
    ) -> Result<Resource, Error> {
        let mut edit = self.edit(id, precondition)?;
        let mut observed = None;
        if let Some(blind) = change
            .blind
            .filter(|blind| blind.is_expressible(self.collection.kind) && precondition.is_expressible())
        {
            match edit.write_blind(&blind).await {
                Ok(Attempt::Applied(resource)) => return Ok(resource),
                Ok(Attempt::Conflict(None)) => return Err(Error::NotFound),
                Ok(Attempt::Conflict(current)) => observed = current,
                Err(error) => return edit.resolve_ambiguous(error, &Update(change.apply)).await,
            }
        }
        Box::pin(edit.read_modify_write(observed, &Update(change.apply))).await
    }
}

/// A change of the attributes.
struct Update<'a>(Apply<'a>);

impl Edit for Update<'_> {
    type Done = Resource;

    async fn attempt(
        &self,
        edit: &mut PendingEdit<'_>,
        observed: ResourceItem,
    ) -> Result<Attempt<Resource>, Error> {
        match (self.0)(&observed.resource)? {
            Some(attributes) => {
                let new = NewAttributes::checked(edit.writer.collection, &observed, attributes)?;
                edit.write_observed(observed, new).await
            }
            // A no-op keeps the version (RFC 7644 s3.5.2.1).
            None => Ok(Attempt::Applied(observed.into_resource())),
        }
    }

    fn resolve(&self, edit: &PendingEdit<'_>, current: Option<ResourceItem>) -> Option<Resource> {
        let current = current.filter(|current| current.is_by(&edit.write_id))?;
        edit.writer.record_found(&current, &edit.write_id);
        Some(current.into_resource())
    }
}

impl PendingEdit<'_> {
    /// Writes without a read, in one round trip. The condition holds if the resource exists
    /// in a version that the client asks for, keeps its index rows and really changes.
    async fn write_blind(&mut self, blind: &Blind<'_>) -> Result<Attempt<Resource>, Error> {
        let collection = self.writer.collection;
        let mut next = self
            .next_version()
            // An `UpdateItem` creates an item that does not exist.
            .and("attribute_exists(pk)")
            // A second attempt after a lost answer may find that other writers have followed
            // the first one.
            // A resource that has never changed lacks the attributes: `<>` holds there.
            .and("w1 <> :write_id")
            .and("w2 <> :write_id")
            .and("w3 <> :write_id")
            .and(UNLOCKED);
        match blind {
            Blind::Replace(attributes) => {
                let digest = IndexRows::checked(collection, self.id, attributes)?.digest();
                next = next
                    .set("#resource = :resource")
                    .and("index_digest = :digest")
                    // A no-op must keep the version. It fails here, and the item that comes back
                    // shows the loop that nothing changes.
                    .and("#resource <> :resource")
                    .value(":resource", value(attributes)?)
                    .value(":digest", text(digest));
            }
            Blind::Set(values) => {
                let mut changes = Vec::with_capacity(values.len());
                for (index, (name, new)) in values.iter().enumerate() {
                    changes.push(format!("#resource.#a{index} <> :a{index}"));
                    next = next
                        .set(format!("#resource.#a{index} = :a{index}"))
                        .name(format!("#a{index}"), *name)
                        .value(format!(":a{index}"), value(new)?);
                }
                next = next.and(format!("({})", changes.join(" OR ")));
            }
        }
        next = self.precondition.add_to(next);
        let observed =
            match collection.table().update_with(collection.key(self.id), next, &mut self.retry).await? {
                Written::Applied(before) => {
                    before.ok_or_else(|| Error::fault("UpdateItem", "no attributes came back"))?
                }
                Written::Conflict(current) => return conflict(current),
            };
        // The item before the write rather than after it: the audit log names what differs.
        let observed: ResourceItem = read(observed)?;
        let mut attributes = observed.resource.clone();
        match blind {
            Blind::Replace(new) => attributes.clone_from(new),
            Blind::Set(values) => {
                attributes.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())));
            }
        }
        let new = NewAttributes::with_rows_of(&observed, attributes);
        Ok(self.applied(observed, new))
    }

    /// Writes attributes that were made from an observed state, on the condition that it is
    /// the current state.
    async fn write_observed(
        &mut self,
        observed: ResourceItem,
        mut new: NewAttributes,
    ) -> Result<Attempt<Resource>, Error> {
        let table = self.writer.table();
        let next = self
            .next_version()
            .and(SEEN)
            // A lock keeps the version, so the version alone would not show it.
            .and(UNLOCKED)
            .set("#resource = :resource")
            .value(":resource", value(&new.attributes)?)
            .value(":seen", number(observed.version));
        loop {
            if new.index_digest == observed.index_digest && new.rows.len() == 0 {
                // A transaction would cost twice the write units.
                return match table.update_with(observed.key(), next, &mut self.retry).await? {
                    Written::Applied(_) => Ok(self.applied(observed, new)),
                    Written::Conflict(current) => conflict(current),
                };
            }
            let digest = text(new.index_digest.as_str());
            let next = next.clone().set("index_digest = :digest").value(":digest", digest);
            let mut actions = vec![Action::Update(observed.key(), next)];
            actions.extend(new.rows.actions(&observed.sk));
            match table.transact_with(actions, &mut self.retry).await? {
                Outcome::Applied => return Ok(self.applied(observed, new)),
                Outcome::Failed(Failure { action: 0, current, .. }) => return conflict(current),
                Outcome::Failed(failure) => new.settle(&failure, 1)?,
            }
        }
    }

    /// Records a change, and returns the resource after it.
    fn applied(&self, observed: ResourceItem, new: NewAttributes) -> Attempt<Resource> {
        let names = differing(&observed.resource, &new.attributes);
        self.writer.record_changed(&observed.sk, Some(observed.version), names);
        let now = self.writer.context.now;
        let after = observed.followed_by(&self.write_id, now, new.attributes, new.index_digest);
        Attempt::Applied(after.into_resource())
    }
}

/// Returns the current item to the loop. Without one the resource is gone.
fn conflict<T>(current: Option<Item>) -> Result<Attempt<T>, Error> {
    let current: ResourceItem = read(current.ok_or(Error::NotFound)?)?;
    Ok(Attempt::Conflict(Some(Box::new(current))))
}
