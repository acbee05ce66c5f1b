//! The members that a client names, found in the directory.

use crate::scim::member::Member;
use crate::scim::policy::UnknownMembers;
use crate::store::error::Error;
use crate::store::table::directory::Collection;
use crate::store::table::membership::{ResolvedMember, member_types};
use crate::store::table::resource_item::is_id;
use crate::store::table::write_context::Writer;

impl Writer<'_> {
    /// Finds the type of each member. Members that do not exist are refused or accepted
    /// by the tenant's policy.
    pub(crate) async fn resolve(self, members: Vec<Member>) -> Result<Vec<ResolvedMember>, Error> {
        let (mut resolved, missing) = self.collection.find_members(members).await?;
        match self.context.policy.unknown_members {
            UnknownMembers::Refuse if !missing.is_empty() => {
                let ids = missing.into_iter().map(|member| member.id).collect();
                return Err(Error::UnknownMembers { ids });
            }
            UnknownMembers::Refuse | UnknownMembers::Accept => {}
        }
        resolved.extend(missing.into_iter().map(|member| {
            let kind = named_type(self.collection, &member).unwrap_or_default().to_owned();
            ResolvedMember { id: member.id, kind, display: member.display }
        }));
        Ok(resolved)
    }
}

impl Collection<'_> {
    /// Finds each member under the first type that a member may have. Returns the members
    /// that do not exist as well.
    pub(crate) async fn find_members(
        self,
        members: Vec<Member>,
    ) -> Result<(Vec<ResolvedMember>, Vec<Member>), Error> {
        let mut resolved = Vec::with_capacity(members.len());
        let (mut rest, mut missing): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| is_id(&member.id));
        for name in member_types(self.kind) {
            let wanted: Vec<(&str, &str)> = rest.iter().map(|member| (name, member.id.as_str())).collect();
            let names = self.directory.current_names(&wanted).await?;
            let (found, others): (Vec<Member>, Vec<Member>) =
                rest.into_iter().partition(|member| names.get(name, &member.id).is_some());
            resolved.extend(found.into_iter().map(|Member { id, display, .. }| {
                // The item is read anyway, so its name is known where the client sends none.
                let known = || names.get(name, &id)?.display().map(str::to_owned);
                ResolvedMember { display: display.or_else(known), kind: name.to_owned(), id }
            }));
            rest = others;
        }
        missing.extend(rest);
        Ok((resolved, missing))
    }
}

/// Returns the type that a client names for a member, or else the first possible type: a
/// client that names none means a user.
fn named_type<'k>(collection: Collection<'k>, member: &Member) -> Option<&'k str> {
    let named = |kind: &&str| member.kind.as_ref().is_some_and(|named| named.eq_ignore_ascii_case(kind));
    member_types(collection.kind).find(named).or(member_types(collection.kind).next())
}

/// Resolves members without a read, if their types follow from what the client says.
pub(crate) fn guess(collection: Collection<'_>, members: &[Member]) -> Option<Vec<ResolvedMember>> {
    let mut guessed = Vec::with_capacity(members.len());
    for member in members {
        let mut kinds = member_types(collection.kind);
        let kind = match &member.kind {
            Some(named) => kinds.find(|kind| kind.eq_ignore_ascii_case(named))?,
            None => kinds.next()?,
        };
        if !is_id(&member.id) {
            return None;
        }
        let Member { id, display, .. } = member.clone();
        guessed.push(ResolvedMember { id, kind: kind.to_owned(), display });
    }
    Some(guessed)
}
