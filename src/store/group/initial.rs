//! The members that a group is created with.

use aws_sdk_dynamodb::types::TransactWriteItem;
use serde_json::Value;

use crate::scim::member::Member;
use crate::store::Store;
use crate::store::dynamo::batch::Statement;
use crate::store::error::Error;
use crate::store::group::change::MAX_ACTIONS;
use crate::store::group::staged::MAX_STAGED;
use crate::store::resource::{Write, is_id};
use crate::store::table::keys::{IndexKeys, Key};
use crate::store::table::membership::{Membership, ResolvedMember, member_types};
use crate::store::table::resource_item::ResourceItem;

/// What the members add to the transaction that creates their group.
pub(crate) struct Enrolled {
    pub(crate) actions: Vec<TransactWriteItem>,
    /// For the answer.
    pub(crate) elements: Vec<Value>,
}

impl Store {
    /// Few members are written and looked for by the transaction itself. Many are
    /// looked for before, and very many are also written before: nobody knows the
    /// group yet, so they do not count until it is there.
    pub(crate) async fn enrol(
        &self,
        write: Write<'_>,
        stored: &mut ResourceItem,
        keys: &IndexKeys,
        members: &[Member],
        guess: bool,
    ) -> Result<Enrolled, Error> {
        if members.len() > MAX_STAGED {
            return Err(Error::TooManyChanges { changes: members.len() });
        }
        let group = Key { pk: stored.pk.clone(), sk: stored.sk.clone() };
        let own = 2 + keys.len();
        let fits = guess && own + 2 * members.len() <= MAX_ACTIONS;
        let (known, checked) = match guessed(write, members).filter(|_| fits) {
            Some(guessed) => (guessed, false),
            None => (self.known(write, members.to_vec()).await?, true),
        };
        if let Some(visibility) = &mut stored.visibility {
            visibility.members = known.len().try_into().unwrap_or(u64::MAX);
            visibility.nests = known.iter().any(|known| known.kind == write.kind.name);
        }
        let elements = known.iter().map(ResolvedMember::to_element).collect();
        let mut actions = Vec::new();
        if own + known.len() <= MAX_ACTIONS {
            for known in known {
                if !checked {
                    actions.push(self.check_there(Key::of_type(write.tenant, &known.kind, &known.id))?);
                }
                actions.push(self.put_membership(Membership::new(write.tenant, &group, known), &[])?);
            }
        } else {
            self.put_staged(write, &stored.sk).await?;
            let statements: Vec<Statement> = known
                .into_iter()
                .map(|known| {
                    let membership = Membership::new(write.tenant, &group, known);
                    Ok(self.insert_statement(membership.into_item()?))
                })
                .collect::<Result<_, Error>>()?;
            // What is there already, an attempt whose answer was lost has written.
            self.execute(statements).await?;
            actions.push(self.end_staged(write, &stored.sk)?);
        }
        Ok(Enrolled { actions, elements })
    }
}

/// Their types without a read, if that is possible: a member that a client says
/// nothing about is a user.
fn guessed(write: Write<'_>, members: &[Member]) -> Option<Vec<ResolvedMember>> {
    let mut known = Vec::with_capacity(members.len());
    for member in members {
        let mut kinds = member_types(write.kind);
        let kind = match &member.kind {
            Some(named) => kinds.find(|kind| kind.eq_ignore_ascii_case(named))?,
            None => kinds.next()?,
        };
        if !is_id(&member.id) {
            return None;
        }
        known.push(ResolvedMember {
            id: member.id.clone(),
            kind: kind.to_owned(),
            display: member.display.clone(),
        });
    }
    Some(known)
}
