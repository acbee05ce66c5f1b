//! The members that a group is created with.

use serde_json::Value;

use crate::scim::member::Member;
use crate::store::dynamo::batch::Statement;
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::group::resolve::guess;
use crate::store::limits::{MAX_ACTIONS, MAX_STAGED};
use crate::store::table::membership::{Membership, ResolvedMember};
use crate::store::table::resource_item::ResourceItem;
use crate::store::table::write_context::Writer;

/// The members' part of the transaction that creates their group.
pub(crate) struct InitialMembers {
    pub(crate) actions: Vec<Action>,
    /// The members as the answer shows them.
    pub(crate) elements: Vec<Value>,
}

impl Writer<'_> {
    /// Prepares the members of a group that is about to be created by a transaction of
    /// `own` actions. A few members are written and checked by that transaction. Many are
    /// checked before it, and very many are also written before it: no reader knows the
    /// group yet, so they do not count until it exists.
    pub(crate) async fn initial_members(
        self,
        group: &mut ResourceItem,
        own: usize,
        members: &[Member],
        may_guess: bool,
    ) -> Result<InitialMembers, Error> {
        if members.len() > MAX_STAGED {
            return Err(Error::TooManyChanges { changes: members.len() });
        }
        // A guessed type costs no read, but an action that checks it.
        let fits = may_guess && own + 2 * members.len() <= MAX_ACTIONS;
        let guessed = guess(self.collection, members).filter(|_| fits);
        let is_guessed = guessed.is_some();
        let resolved = match guessed {
            Some(guessed) => guessed,
            None => self.resolve(members.to_vec()).await?,
        };
        if let Some(visibility) = &mut group.visibility {
            visibility.members = resolved.len().try_into().unwrap_or(u64::MAX);
            // No check for cycles: no group contains one that does not exist yet.
            visibility.nests = resolved.iter().any(|member| member.kind == self.collection.kind.name);
        }
        let elements = resolved.iter().map(ResolvedMember::to_element).collect();
        let mut actions = Vec::new();
        if own + resolved.len() <= MAX_ACTIONS {
            for member in &resolved {
                if is_guessed {
                    let key = self.collection.directory.resource_key(&member.kind, &member.id);
                    actions.push(Action::check_exists(key));
                }
                actions.push(Membership::new(self.collection, &group.sk, member).put_action(&[])?);
            }
        } else {
            // If this process dies, the job deletes the memberships of a group that never was.
            self.put_staged_job(&group.sk, 0).await?;
            let statement = |member| {
                let membership = Membership::new(self.collection, &group.sk, member);
                Ok(self.table().insert_statement(membership.to_item()?))
            };
            let statements: Vec<Statement> = resolved.iter().map(statement).collect::<Result<_, Error>>()?;
            // A membership that exists was written by an attempt whose answer was lost.
            self.table().execute(statements).await?;
            actions.push(self.end_staged_job_action(&group.sk)?);
        }
        Ok(InitialMembers { actions, elements })
    }
}
