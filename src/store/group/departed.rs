//! The members of a group that are deleted, and whose memberships are still there.
//!
//! A deletion marks the memberships of its resource before it deletes it, so readers ask
//! about marked members alone, and what they read does not grow with the number of
//! deletions. The deletion finds the memberships by an index that may be a moment behind,
//! and a change of several members that began before it may still add one. Of a group that
//! has grown a short time ago, readers therefore ask about every member.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::store::error::Error;
use crate::store::limits::{MAX_ASKED, UNSETTLED};
use crate::store::table::directory::Directory;
use crate::store::table::job::Work;
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::{ResourceItem, is_id};

impl Directory<'_> {
    /// Returns the ids of deleted members, among memberships that were read of a group.
    pub(crate) async fn departed_among(
        self,
        group: &ResourceItem,
        memberships: &[Membership],
        now: Timestamp,
    ) -> Result<HashSet<String>, Error> {
        let grown = group.visibility().grown.into_iter().chain([group.created]).max();
        let has_grown = grown.is_some_and(|grown| now.duration_since(grown) < UNSETTLED);
        let doubtful = memberships.iter().filter(|one| (has_grown || one.leaving) && is_id(&one.sk));
        let doubtful: Vec<&str> = doubtful.map(|one| one.sk.as_str()).collect();
        if doubtful.len() > MAX_ASKED {
            return self.departed().await;
        }
        if doubtful.is_empty() {
            return Ok(HashSet::new());
        }
        let keys = doubtful.iter().map(|id| self.job_key(Work::Departed(id))).collect();
        let jobs = self.table.get_all(keys).await?;
        Ok(jobs.into_keys().filter_map(|key| Some(Work::parse(&key.sk)?.id().to_owned())).collect())
    }

    /// Reads the ids of all deleted resources that may still have memberships.
    pub(crate) async fn departed(self) -> Result<HashSet<String>, Error> {
        let jobs = self.table.query(self.jobs_partition()).consistent();
        let names = jobs.beginning(Work::Departed("").to_string()).first_texts("sk", usize::MAX).await?;
        Ok(names.iter().filter_map(|name| Some(Work::parse(name)?.id().to_owned())).collect())
    }
}
