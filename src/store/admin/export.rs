//! Resources as an export writes them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::scim::resource::Resource;
use crate::store::dynamo::item::{Item, read};
use crate::store::error::Error;
use crate::store::table::directory::Collection;
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::ResourceItem;

/// Groups whose members are read at the same time. They wait in memory for those before them.
const GROUPS_AT_ONCE: usize = 4;

/// Before every id, and not empty, which DynamoDB refuses.
const FIRST: &str = "!";

/// A resource and all of its members, however many, as they were together at one time.
pub type Entire = (Resource, Vec<Value>);

impl<'a> Collection<'a> {
    /// Reads the resources from this id on, in the order of their ids. One call reads 1 MB of them; a
    /// resource with members takes two more.
    pub fn entire(self, from: &str) -> impl Stream<Item = Result<Entire, Error>> + 'a {
        let pages = self.table().query(self.partition()).consistent().from(if from.is_empty() {
            FIRST
        } else {
            from
        });
        let pages = stream::try_unfold(pages, move |mut pages| async move {
            let Some(page) = pages.next_page().await? else { return Ok(None) };
            Ok::<_, Error>(Some((self.of_page(page).await?, pages)))
        });
        pages.try_flatten()
    }

    async fn of_page(self, page: Vec<Item>) -> Result<impl Stream<Item = Result<Entire, Error>> + 'a, Error> {
        let page: Vec<ResourceItem> = page.into_iter().map(read).collect::<Result<_, _>>()?;
        // After the resources of the types before: a member that is left out here has no line either,
        // or was deleted after its line was written.
        let has_members = page.iter().any(|resource| resource.visibility().members > 0);
        let departed = if has_members { self.directory.departed().await? } else { HashSet::new() };
        let departed = Arc::new(departed);
        let all = page.into_iter().map(move |resource| {
            let departed = Arc::clone(&departed);
            async move { self.with_all_members(resource, &departed).await }
        });
        // A resource that was deleted since it was listed is left out.
        let all = stream::iter(all).buffered(GROUPS_AT_ONCE);
        Ok(all.try_filter_map(|entire| async { Ok(entire) }))
    }

    async fn with_all_members(
        self,
        observed: ResourceItem,
        departed: &HashSet<String>,
    ) -> Result<Option<Entire>, Error> {
        let mut retry = self.table().retry();
        let mut observed = Some(observed);
        while let Some(group) = observed {
            let visibility = group.visibility();
            if visibility.members == 0 {
                return Ok(Some((group.into_resource(), Vec::new())));
            }
            let mut members = self.every_membership(&group.sk, visibility).await?;
            members.retain(|one| !departed.contains(&one.sk));
            let after = self.observe(&group.sk).await?;
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
