//! Deleting a resource.

use std::sync::OnceLock;

use crate::scim::etag::Precondition;
use crate::scim::schema::ResourceType;
use crate::store::cleanup::Cleanup;
use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{number, read};
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::limits::MAX_ACTIONS;
use crate::store::table::index_rows::IndexRows;
use crate::store::table::job::Work;
use crate::store::table::pending_edit::{Attempt, Edit, PendingEdit};
use crate::store::table::resource_item::{ResourceItem, SEEN};
use crate::store::table::write_context::Writer;

impl Writer<'_> {
    /// Deletes a resource, its rows and its count by one transaction, and then removes its
    /// memberships. A staged change of its members is lost with it. `groups` are the
    /// tenant's types that have members.
    pub async fn delete(
        self,
        id: &str,
        precondition: &Precondition,
        groups: &[&ResourceType],
    ) -> Result<(), Error> {
        let mut edit = self.deletion(id, precondition)?;
        let context = self.context;
        let cleanup = self.collection.directory.cleanup(groups, context.now, context.audit);
        let deletion = Deletion { cleanup, memberships: OnceLock::new() };
        Box::pin(edit.read_modify_write(None, &deletion)).await?;
        cleanup.leave_at_once(id, deletion.memberships.get().map_or(&[], Vec::as_slice)).await;
        Ok(())
    }
}

struct Deletion<'a> {
    cleanup: Cleanup<'a>,
    /// The partitions of the memberships that are marked.
    memberships: OnceLock<Vec<String>>,
}

impl Edit for Deletion<'_> {
    type Done = ();

    async fn attempt(
        &self,
        edit: &mut PendingEdit<'_>,
        observed: ResourceItem,
    ) -> Result<Attempt<()>, Error> {
        // Marked before the resource is gone: a reader never misses a member that is deleted.
        if self.memberships.get().is_none() {
            let marked = Box::pin(self.cleanup.mark_leaving(edit.id)).await?;
            let _first = self.memberships.set(marked);
        }
        edit.delete_observed(&observed).await
    }

    fn resolve(&self, edit: &PendingEdit<'_>, current: Option<ResourceItem>) -> Option<()> {
        // Another writer may have deleted it. The outcome is the same, but the version is unknown.
        current.is_none().then(|| edit.writer.record_deleted(edit.id, None))
    }
}

impl PendingEdit<'_> {
    async fn delete_observed(&mut self, observed: &ResourceItem) -> Result<Attempt<()>, Error> {
        let collection = self.writer.collection;
        let rows = IndexRows::possible(collection, &observed.sk, &observed.resource);
        let (mut rows, rest) = rows.split();
        loop {
            let seen = Expression::when(SEEN).value(":seen", number(observed.version));
            let mut actions = vec![Action::Delete(observed.key(), seen)];
            actions.extend(rows.delete_actions(&observed.sk));
            actions.push(collection.count_action(&observed.sk, -1));
            // Readers hide the memberships of the resource as long as this job exists.
            actions.push(self.writer.job(Work::Departed(&observed.sk)).put_action()?);
            match collection.table().transact_with(actions, &mut self.retry).await? {
                Outcome::Applied => {
                    self.writer.record_deleted(&observed.sk, Some(observed.version));
                    self.delete_rest(&observed.sk, &rest).await;
                    return Ok(Attempt::Applied(()));
                }
                Outcome::Failed(Failure { action: 0, current: None, .. }) => return Err(Error::NotFound),
                Outcome::Failed(Failure { action: 0, current: Some(current), .. }) => {
                    return Ok(Attempt::Conflict(Some(Box::new(read(current)?))));
                }
                // A row that is another's stays, and is no reason to refuse a deletion.
                Outcome::Failed(failure) => rows.settle(&failure, 1)?,
            }
        }
    }

    /// Deletes rows for which the transaction of the deletion had no room. The resource is gone,
    /// so that those which remain if this fails lead nowhere, and `scimctl check` finds them.
    async fn delete_rest(&self, id: &str, rest: &IndexRows) {
        let actions: Vec<Action> = rest.delete_actions(id).collect();
        for part in actions.chunks(MAX_ACTIONS) {
            if let Err(error) = self.writer.table().transact(part.to_vec()).await {
                tracing::warn!(%id, %error, "index rows of a deleted resource remain");
                return;
            }
        }
    }
}
