//! Queries (RFC 7644 s3.4.2, s3.4.3; RFC 9865): from parameters to the store, and from
//! there to a rendered page.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::context::RequestContext;
use super::response::can_be_packed;
use crate::cursor::Bound;
use crate::lambda::Response;
use crate::scim::error::{Error, Result};
use crate::scim::projection::{Projection, render};
use crate::scim::query::{self, Page as AskedPage, Paged, Parameters, Side};
use crate::scim::quirks::Leeway;
use crate::scim::schema::ResourceType;
use crate::store::MAX_MEMBERS_READ;
use crate::store::query::{Found, Leg, Page, Position, Search, Start};

/// Bytes at which a page ends early. Lambda allows 6 MB of answer, in which every quote of
/// the body takes one more byte.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Groups of a page whose members are read at the same time, and the members in memory with
/// them, unless one group alone has more.
const LISTED_AT_ONCE: usize = 8;
const MEMBERS_AT_ONCE: u64 = 20_000;

/// Members at which a page ends early: what is read in the time of a request, even if the
/// answer shows little of each.
const MAX_PAGE_MEMBERS: u64 = 100_000;

impl RequestContext<'_> {
    pub(super) async fn list(&self, kinds: &[Arc<ResourceType>]) -> Result<Response> {
        let all = |name: &str| self.request.parameters(name).map(str::to_owned).collect();
        let parameters = Parameters::of_url(all)?;
        Box::pin(self.answer_query(kinds, &parameters)).await
    }

    pub(super) async fn search(&self, kinds: &[Arc<ResourceType>]) -> Result<Response> {
        let parameters = Parameters::of_body(&self.body()?, self.leeway)?;
        Box::pin(self.answer_query(kinds, &parameters)).await
    }

    async fn answer_query(&self, kinds: &[Arc<ResourceType>], parameters: &Parameters) -> Result<Response> {
        let mut query = parameters.query(self.tenant.policy.page_size, self.leeway)?;
        query.filter = query.filter.map(|filter| filter.without_refs(kinds)).transpose()?;
        let groups = self.groups();
        let context = (self.work, self.now);
        let legs: Result<Vec<Leg<'_>>> =
            kinds.iter().map(|kind| Leg::new(kind, kinds, &groups, &query, self.leeway, context)).collect();
        let search = Search { query: &query, legs: legs? };
        let projections = projections(kinds, parameters, self.leeway)?;
        let (paged, resources) = match &query.page {
            AskedPage::Index(start) => {
                // `Parameters::query` raises a `startIndex` below 1 to 1 (RFC 7644 s3.4.2.4).
                let mut page = self.page(&search, Start::Index(start - 1)).await?;
                let resources = self.render_page(&search, &projections, &mut page).await?;
                let total = page.total.unwrap_or(resources.len());
                (Paged::Index { total, start_index: *start }, resources)
            }
            AskedPage::Cursor(cursor) => {
                self.cursor_page(
                    &search,
                    &projections,
                    cursor.as_deref(),
                    &self.bound_query(kinds, parameters),
                )
                .await?
            }
        };
        Ok(Response::json(200, &query::response(paged, resources)))
    }

    /// Opens the cursor, reads its page, and seals the cursors of the neighbouring pages.
    /// `bound` is the query that the cursors are good for.
    async fn cursor_page(
        &self,
        search: &Search<'_>,
        projections: &[Projection<'_>],
        cursor: Option<&str>,
        bound: &str,
    ) -> Result<(Paged, Vec<Value>)> {
        let (cursors, store) = (&self.app.cursors, &self.app.store);
        let bound = Bound { query: bound, count: search.query.count, now: self.now };
        let side = match cursor {
            Some(cursor) => Some(cursors.open(store, &bound, cursor).await?),
            None => None,
        };
        let mut page = self.page(search, Start::Cursor(side.as_ref())).await?;
        let resources = self.render_page(search, projections, &mut page).await?;
        let seal = async |page: Option<Side<Position>>| match page {
            Some(page) => cursors.seal(store, &bound, page).await.map(Some),
            None => Ok(None),
        };
        // After the rendering, which may end the page early and move the cursor.
        let (previous, next) = (seal(page.previous).await?, seal(page.next).await?);
        Ok((Paged::Cursor { total: page.total, previous, next }, resources))
    }

    async fn page(&self, search: &Search<'_>, start: Start<'_>) -> Result<Page> {
        match self.find_declared(search).await? {
            Some(all) => Ok(Page::of(all, search, start)),
            None => Ok(self.directory().search(search, start).await?),
        }
    }

    /// Renders as much as one answer holds. The rest is on the next page, or on the previous
    /// one if this page was reached backwards.
    async fn render_page(
        &self,
        search: &Search<'_>,
        projections: &[Projection<'_>],
        page: &mut Page,
    ) -> Result<Vec<Value>> {
        let mut found = std::mem::take(&mut page.found);
        // The nearest to the cursor come first, so that the rest is the farther part.
        if page.is_backward {
            found.reverse();
        }
        let mut resources = Vec::with_capacity(found.len());
        let (mut bytes, mut members) = (0, 0);
        let mut last: Option<Position> = None;
        let of_leg = |leg: usize| Some((search.legs.get(leg)?.kind, projections.get(leg)?));
        let listed = found.iter().filter_map(|one| {
            let (kind, projection) = of_leg(one.leg)?;
            Some((kind, projection, &one.resource))
        });
        let shared = &self.read_shared(&listed.collect::<Vec<_>>()).await?;
        let found = found.into_iter().filter_map(|one| {
            let (kind, projection) = of_leg(one.leg)?;
            Some((kind, projection, one))
        });
        let mut found = found.peekable();
        let mut is_cut = false;
        while !is_cut && found.peek().is_some() {
            let batch = next_batch(&mut found);
            members += batch.iter().map(members_to_read).sum::<u64>();
            // One resource is shown whatever its size, or a client would never get past it.
            is_cut = last.is_some() && (bytes > MAX_PAGE_BYTES || members > MAX_PAGE_MEMBERS);
            if is_cut {
                break;
            }
            let expanded = batch.into_iter().map(|(kind, projection, one)| {
                Box::pin(async move {
                    let position = one.position();
                    let expanded = self.expand_listed(kind, one.resource, projection, shared).await?;
                    Ok::<_, Error>((kind, projection, position, expanded))
                })
            });
            // In order, because the page ends at the resource that exceeds the limit.
            let mut expanded = stream::iter(expanded.collect::<Vec<_>>()).buffered(LISTED_AT_ONCE);
            while let Some((kind, projection, position, resource)) = expanded.try_next().await? {
                let Some(resource) = resource else {
                    continue;
                };
                let mut rendered = render(kind, &resource, projection, &self.location(kind, &resource.id));
                let fits = Self::fits(kind, &resource, projection, shared);
                let has_too_many = resource.members > MAX_MEMBERS_READ;
                // A group of many members takes as much memory as its rendering.
                drop(resource);
                // Serialized once more for its length: an estimate that is too low would exceed
                // what Lambda can send.
                let mut length = rendered.to_string().len();
                if has_too_many || length > MAX_PAGE_BYTES && !can_be_packed(self.request) {
                    // Alone it is more than can be read, or sent. It must not make the list impossible,
                    // and a GET of its id tells what to do.
                    self.leave_out_members(kind, &mut rendered);
                    length = rendered.to_string().len();
                }
                bytes += length;
                is_cut = last.is_some() && (bytes > MAX_PAGE_BYTES || !fits);
                if is_cut {
                    break;
                }
                last = Some(position);
                resources.push(rendered);
            }
        }
        // For cursors only: by index, a client continues after `itemsPerPage` resources.
        if is_cut && page.is_backward {
            page.previous = last.map(Side::Before);
        } else if is_cut {
            page.next = last.map(Side::After);
        }
        if page.is_backward {
            resources.reverse();
        }
        Ok(resources)
    }

    fn leave_out_members(&self, kind: &ResourceType, rendered: &mut Value) {
        let name = kind.members.as_deref().unwrap_or_default();
        let members = rendered.as_object_mut().and_then(|resource| resource.shift_remove(name));
        self.cut.members.fetch_or(members.is_some(), Ordering::Relaxed);
    }

    /// Names everything but cursor and count that the pages of a query have in common.
    fn bound_query(&self, kinds: &[Arc<ResourceType>], parameters: &Parameters) -> String {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
        // With the tenant, because all tenants share one key.
        format!("{} {} {}", self.tenant.name.as_str(), kinds.join(","), parameters.fingerprint())
    }
}

/// A resource of a page, with its type and with what the answer shows of it.
type Listed<'a> = (&'a ResourceType, &'a Projection<'a>, Found);

/// Takes the resources that are expanded next, at least one.
fn next_batch<'a>(found: &mut Peekable<impl Iterator<Item = Listed<'a>>>) -> Vec<Listed<'a>> {
    let mut batch = Vec::new();
    let mut members = 0;
    while let Some(one) = found.next_if(|next| {
        members += members_to_read(next);
        batch.is_empty() || (batch.len() < LISTED_AT_ONCE && members <= MEMBERS_AT_ONCE)
    }) {
        batch.push(one);
    }
    batch
}

fn members_to_read((kind, projection, found): &Listed<'_>) -> u64 {
    match &kind.members {
        Some(name) if found.resource.members <= MAX_MEMBERS_READ && projection.shows(kind, name) => {
            found.resource.members
        }
        _ => 0,
    }
}

/// Returns what the answer shows of the resources of each type.
fn projections<'k>(
    kinds: &'k [Arc<ResourceType>],
    parameters: &Parameters,
    leeway: Leeway<'_>,
) -> Result<Vec<Projection<'k>>> {
    let lists = (parameters.attributes.as_deref(), parameters.excluded_attributes.as_deref());
    kinds.iter().map(|kind| Projection::parse(kind, lists, leeway)).collect()
}
