//! Groups within groups: a group must not become its own member, through however many
//! others.
//!
//! Every change that puts a group into another increments one item of the tenant, which
//! it reads before it follows the groups down. Of two such changes at once one fails,
//! and checks again.

use std::collections::HashSet;

use crate::store::dynamo::expression::Expression;
use crate::store::dynamo::item::{number, read};
use crate::store::dynamo::transaction::Action;
use crate::store::error::Error;
use crate::store::limits::MAX_NESTED_GROUPS;
use crate::store::table::directory::{Collection, Directory};
use crate::store::table::resource_item::ResourceItem;

/// The version of a tenant's nesting, as it was before the groups were followed; 0 if no
/// group was ever a member.
#[derive(Clone, Copy)]
pub(crate) struct Nesting(u64);

impl Collection<'_> {
    /// Refuses new members that would make the group `id` a member of itself.
    pub(crate) async fn check_cycles(self, id: &str, new: Vec<String>) -> Result<Nesting, Error> {
        let nesting = self.table().get_all(vec![self.directory.nesting_key()]).await?.into_values().next();
        let version = nesting.and_then(|item| item.get("version")?.as_n().ok()?.parse().ok());
        let mut level = new;
        let mut visited: HashSet<String> = level.iter().cloned().collect();
        while !level.is_empty() {
            if visited.contains(id) {
                return Err(Error::Cycle);
            }
            if visited.len() > MAX_NESTED_GROUPS {
                return Err(Error::TooManyGroups);
            }
            let keys = level.drain(..).map(|id| self.key(&id)).collect();
            for group in self.table().get_all(keys).await?.into_values() {
                let group: ResourceItem = read(group)?;
                let visibility = group.visibility.filter(|visibility| visibility.nests).unwrap_or_default();
                for member in self.memberships(&group.sk, &visibility).await? {
                    if member.kind == self.kind.name && visited.insert(member.sk.clone()) {
                        level.push(member.sk);
                    }
                }
            }
        }
        Ok(Nesting(version.unwrap_or_default()))
    }
}

impl Directory<'_> {
    /// Makes the action that puts a group into another, if no other nesting has changed.
    pub(crate) fn nest_action(self, Nesting(seen): Nesting) -> Action {
        let unchanged = match seen {
            0 => Expression::when("attribute_not_exists(pk)"),
            seen => Expression::when("#version = :seen").value(":seen", number(seen)),
        };
        let next = unchanged.set("#version = :next").value(":next", number(seen + 1));
        Action::Update(self.nesting_key(), next)
    }
}
