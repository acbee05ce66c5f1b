//! Deleted resources leave a group, several by one transaction.

use crate::scim::etag::Precondition;
use crate::store::dynamo::transaction::{Action, Failure, Outcome};
use crate::store::error::Error;
use crate::store::group::planned_edits::{Edits, difference};
use crate::store::limits::MAX_ACTIONS;
use crate::store::table::lock::UNLOCKED;
use crate::store::table::membership::delete_membership;
use crate::store::table::pending_edit::{Attempt, Edit, PendingEdit};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::visibility::Tags;
use crate::store::table::write_context::Writer;

/// Resources that leave by one transaction: each takes its membership, and the check that it
/// does not exist.
pub(crate) const MAX_LEAVERS: usize = (MAX_ACTIONS - 1) / 2;

/// A deleted resource.
#[derive(Clone, Copy)]
pub(crate) struct Departed<'a> {
    /// The name of its type.
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
}

impl Writer<'_> {
    /// Removes the memberships of deleted resources, at most [`MAX_LEAVERS`]. A resource that
    /// exists stays.
    pub(crate) async fn remove_departed(self, group: &str, departed: &[Departed<'_>]) -> Result<(), Error> {
        let mut edit = self.edit(group, &Precondition::Exists)?;
        Box::pin(edit.read_modify_write(None, &Leaving(departed))).await
    }
}

struct Leaving<'a>(&'a [Departed<'a>]);

impl Edit for Leaving<'_> {
    type Done = ();

    async fn attempt(
        &self,
        edit: &mut PendingEdit<'_>,
        observed: ResourceItem,
    ) -> Result<Attempt<()>, Error> {
        edit.remove_observed(&observed, self.0).await
    }

    fn resolve(&self, edit: &PendingEdit<'_>, current: Option<ResourceItem>) -> Option<()> {
        let current = current.filter(|current| current.is_by(&edit.write_id))?;
        edit.writer.record_found(&current, &edit.write_id);
        Some(())
    }
}

impl PendingEdit<'_> {
    async fn remove_observed(
        &mut self,
        observed: &ResourceItem,
        departed: &[Departed<'_>],
    ) -> Result<Attempt<()>, Error> {
        let groups = self.writer.collection;
        let aborted = observed.visibility().aborted.as_slice();
        let mut departed = departed.to_vec();
        while !departed.is_empty() {
            let removed = departed.iter().map(|gone| (gone.id.to_owned(), Tags::default())).collect();
            let edits = Edits { removed, ..Edits::default() };
            let mut actions =
                vec![self.group_action(observed, &edits, difference(0, departed.len()), UNLOCKED)?];
            for Departed { kind, id } in &departed {
                actions.push(delete_membership(groups.membership_key(self.id, id), aborted));
                actions.push(Action::check_absent(groups.directory.resource_key(kind, id)));
            }
            let failure = match groups.table().transact_with(actions, &mut self.retry).await? {
                Outcome::Applied => {
                    edits.record(self.writer, observed, false);
                    return Ok(Attempt::Applied(()));
                }
                Outcome::Failed(failure) => failure,
            };
            match &failure {
                Failure { action: 0, current: None, .. } => return Err(Error::NotFound),
                Failure { action: 0, .. } => return Ok(Attempt::Conflict(None)),
                _ => {}
            }
            // A membership that is gone or void needs no removal, and a resource that exists is
            // none of ours: the rest is sent again without them.
            let failed: Vec<usize> = failure.places().collect();
            let mut place = 1;
            departed.retain(|_| {
                place += 2;
                !failed.contains(&(place - 2)) && !failed.contains(&(place - 1))
            });
        }
        Ok(Attempt::Applied(()))
    }
}
