//! Resources as an export writes them.

use serde_json::Value;

use crate::scim::resource::Resource;
use crate::store::error::Error;
use crate::store::table::directory::Collection;
use crate::store::table::membership::Membership;

impl Collection<'_> {
    /// Reads a resource and all of its members, however many, as they were together at one
    /// time.
    pub async fn get_entire(self, id: &str) -> Result<Option<(Resource, Vec<Value>)>, Error> {
        let departed = self.directory.departed().await?;
        let mut retry = self.table().retry();
        let mut observed = self.observe(id).await?;
        while let Some(group) = observed {
            let Some(visibility) = group.visibility.as_ref().filter(|visibility| visibility.members > 0)
            else {
                return Ok(Some((group.into_resource(), Vec::new())));
            };
            let mut members = self.all_memberships(id).await?;
            members.retain(|one| visibility.shows(one.tags()) && !departed.contains(&one.sk));
            let after = self.observe(id).await?;
            // Stricter than a GET, which shows a busy group as it is after a few reads: an export
            // fails rather than hold a state that never existed.
            if after.as_ref().is_some_and(|after| after.version == group.version) {
                let members = members.into_iter().map(Membership::into_element).collect();
                return Ok(Some((group.into_resource(), members)));
            }
            retry.pause("Query").await?;
            observed = after;
        }
        Ok(None)
    }
}
