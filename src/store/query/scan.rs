//! All resources of a type, in the order of their ids: whole, by place, or a stretch at
//! a time.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::scim::error::Result as ScimResult;
use crate::scim::query::Side;
use crate::scim::resource::Resource;
use crate::store::dynamo::item::read;
use crate::store::error::Error;
use crate::store::limits::{MAX_FOUND_BYTES, MAX_PAGE_WEIGHT, PAGES_OF_A_RANGE, PAGES_OF_A_STRETCH};
use crate::store::table::directory::Collection;
use crate::store::table::resource_item::ResourceItem;

/// Ranges of ids that a scan reads at the same time.
const RANGES: [(&str, &str); 4] = [("!", "4"), ("4", "8"), ("8", "c"), ("c", "~")];

/// Decides which resources a scan returns.
pub(crate) type Keep<'a> = &'a (dyn Fn(&Resource) -> ScimResult<bool> + Send + Sync);

/// Some of the resources of a type in the order of their ids, or in reverse.
pub struct Stretch {
    pub resources: Vec<Resource>,
    /// The id after which to resume; `None` at the end.
    pub resume: Option<String>,
}

impl Collection<'_> {
    /// Reads all resources and returns those to keep, in the order of their ids.
    pub(crate) async fn scan(self, keep: Keep<'_>) -> Result<Vec<Resource>, Error> {
        let room = AtomicUsize::new(MAX_FOUND_BYTES);
        let [a, b, c, d] = RANGES.map(|range| Box::pin(self.scan_range(range, keep, &room)));
        let (a, b, c, d) = tokio::try_join!(a, b, c, d)?;
        Ok([a, b, c, d].into_iter().flatten().collect())
    }

    async fn scan_range(
        self,
        (from, to): (&str, &str),
        keep: Keep<'_>,
        room: &AtomicUsize,
    ) -> Result<Vec<Resource>, Error> {
        // Eventually consistent, here and below: a strong read would cost twice as much.
        let mut query = self.table().query(self.partition()).between(from, to);
        let mut kept = Vec::new();
        let mut pages = 0;
        while let Some(page) = query.next_page().await? {
            pages += 1;
            for item in page {
                let resource = read::<ResourceItem>(item)?.into_resource();
                if keep(&resource)? {
                    let weight = resource.weight();
                    let left = |room: usize| room.checked_sub(weight);
                    room.fetch_update(Relaxed, Relaxed, left).map_err(|_| Error::TooMuchToRead)?;
                    kept.push(resource);
                }
            }
            if pages == PAGES_OF_A_RANGE && !query.is_done() {
                return Err(Error::TooMuchToRead);
            }
        }
        Ok(kept)
    }

    /// Reads up to `count` resources to keep on one side of an id, away from it; fewer when
    /// too many are not kept. An empty id is the end of the order where reading begins.
    pub async fn stretch(
        self,
        side: Side<&str>,
        count: usize,
        keep: Option<Keep<'_>>,
    ) -> Result<Stretch, Error> {
        let (from, is_descending) = match side {
            Side::After(id) => (id, false),
            Side::Before(id) => (id, true),
        };
        let start = (!from.is_empty()).then(|| self.key(from));
        let mut query = self.table().query(self.partition()).descending(is_descending).after(start);
        if keep.is_none() {
            // One more than is wanted tells whether there are more.
            query = query.page_size(count + 1);
        }
        let mut resources: Vec<Resource> = Vec::new();
        let mut weight = 0;
        let mut resume = from.to_owned();
        for _ in 0..PAGES_OF_A_STRETCH {
            let Some(page) = query.next_page().await? else {
                return Ok(Stretch { resources, resume: None });
            };
            for item in page {
                let resource = read::<ResourceItem>(item)?.into_resource();
                let is_kept = match keep.map_or(Ok(true), |keep| keep(&resource)) {
                    // The comparisons of the request are used up: the next page begins here.
                    Err(_) if resume != from => return Ok(Stretch { resources, resume: Some(resume) }),
                    is_kept => is_kept?,
                };
                if is_kept && (resources.len() == count || weight > MAX_PAGE_WEIGHT) {
                    return Ok(Stretch { resources, resume: Some(resume) });
                }
                resume.clone_from(&resource.id);
                if is_kept {
                    weight += resource.weight();
                    resources.push(resource);
                }
            }
        }
        let resume = (!query.is_done()).then_some(resume);
        Ok(Stretch { resources, resume })
    }

    /// Reads a page of all resources, and the number of all. `start` counts from 0. The page
    /// is shorter than `count` at the end, and where its resources take much memory.
    pub(crate) async fn page(self, start: usize, count: usize) -> Result<(usize, Vec<Resource>), Error> {
        if start == 0 {
            let (census, first) =
                tokio::try_join!(Box::pin(self.census()), Box::pin(self.starting_at("", 0, count)))?;
            return Ok((census.total(), first));
        }
        let census = self.census().await?;
        let resources = match census.find(start) {
            Some((prefix, skip)) => self.starting_at(&prefix, skip, count).await?,
            None => Vec::new(),
        };
        Ok((census.total(), resources))
    }

    async fn starting_at(self, from: &str, skip: usize, count: usize) -> Result<Vec<Resource>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        // DynamoDB refuses an empty key; `!` sorts before every digit.
        let from = if from.is_empty() { "!" } else { from };
        let mut query = self.table().query(self.partition()).from(from);
        let mut resources: Vec<Resource> = Vec::new();
        let (mut wanted, mut weight) = (skip + count, 0);
        // Capacity is consumed by what DynamoDB reads, so no read is beyond the page.
        while wanted > 0 && weight <= MAX_PAGE_WEIGHT {
            query = query.page_size(wanted);
            let Some(items) = query.next_page().await? else { break };
            for item in items {
                wanted -= 1;
                if wanted < count && weight <= MAX_PAGE_WEIGHT {
                    let resource = read::<ResourceItem>(item)?.into_resource();
                    weight += resource.weight();
                    resources.push(resource);
                }
            }
        }
        Ok(resources)
    }
}
