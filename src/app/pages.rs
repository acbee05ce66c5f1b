//! Which part of what a query finds is on a page, by index (RFC 7644 s3.4.2.4)
//! and by cursor (RFC 9865).

use super::App;
use super::find::{Found, Leg, compare};
use crate::cursor::Position;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::list::Query;
use crate::scim::path::AttrPath;
use crate::scim::plan::Plan;
use crate::scim::resource::Resource;
use crate::scim::sort::{Order, Rank};
use crate::store::{Error as StoreError, TenantName};

/// How far a list goes in the order of a unique attribute: its rows, of some 100
/// bytes each, are read from the first on.
const MAX_IN_ORDER: usize = 20_000;

/// The part of a query's result that an answer shows, before it is rendered.
pub(super) struct Shown {
    pub(super) found: Vec<Found>,
    pub(super) total: Option<usize>,
    /// Where to go on if all of `found` fits the answer; `None` at the end.
    pub(super) next: Option<Position>,
}

impl App {
    pub(super) async fn by_index(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
        start: usize,
    ) -> Result<Shown> {
        if query.filter.is_none() && is_by_id(legs, query) {
            return self.page_of_all(tenant, legs, start, query.count).await;
        }
        if let ([leg], None, Some(sort)) = (legs, &query.filter, &query.sort)
            && let Some(path) = leg.order.as_ref().and_then(Order::unique)
        {
            if start.saturating_add(query.count) > MAX_IN_ORDER {
                return Err(too_far(path));
            }
            let page =
                self.store.page_by_value(tenant, leg.kind, path, sort.descending, (start, query.count));
            let (total, page) = tokio::try_join!(self.store.total(tenant, leg.kind), page)?;
            let found = page.into_iter().map(|resource| Found { leg: 0, rank: Rank::Missing, resource });
            return Ok(Shown { found: found.collect(), total: Some(total), next: None });
        }
        let all = self.all(tenant, legs, query).await?;
        let total = Some(all.len());
        let found = all.into_iter().skip(start).take(query.count).collect();
        Ok(Shown { found, total, next: None })
    }

    /// Without filter and order: the census says where a page begins.
    async fn page_of_all(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        start: usize,
        count: usize,
    ) -> Result<Shown> {
        let mut found: Vec<Found> = Vec::new();
        let mut total = 0;
        for (leg, Leg { kind, .. }) in legs.iter().enumerate() {
            let wanted = count - found.len();
            let (of_kind, page) = self.store.page(tenant, kind, start.saturating_sub(total), wanted).await?;
            total += of_kind;
            found.extend(page.into_iter().map(|resource| Found { leg, rank: Rank::Missing, resource }));
        }
        Ok(Shown { found, total: Some(total), next: None })
    }

    pub(super) async fn by_cursor(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
        position: Option<Position>,
    ) -> Result<Shown> {
        let all = if is_by_id(legs, query) {
            match self.all_by_plan(tenant, legs).await? {
                Some(all) => all,
                None => return self.stretch(tenant, legs, query, position).await,
            }
        } else {
            self.all(tenant, legs, query).await?
        };
        let total = Some(all.len());
        let descending = query.sort.as_ref().is_some_and(|sort| sort.descending);
        let mut rest = all.into_iter().filter(|found| {
            position.as_ref().is_none_or(|position| {
                compare((&found.rank, found.leg, &found.resource.id), position.place(), descending).is_gt()
            })
        });
        let found: Vec<Found> = rest.by_ref().take(query.count).collect();
        let next = rest.next().and_then(|_| found.last().map(Found::position));
        Ok(Shown { found, total, next })
    }

    /// In the order of ids, reading on from where the page before ended. A
    /// resource keeps its place whatever changes around it, so each that exists
    /// all the time is shown exactly once.
    async fn stretch(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
        position: Option<Position>,
    ) -> Result<Shown> {
        let (first, mut after) = position.map_or((0, String::new()), |position| (position.leg, position.id));
        let total = async {
            let mut total = 0;
            for leg in legs.iter().filter(|_| query.filter.is_none()) {
                total += self.store.total(tenant, leg.kind).await?;
            }
            Ok::<_, StoreError>(query.filter.is_none().then_some(total))
        };
        let read = async {
            let mut found: Vec<Found> = Vec::new();
            let legs = legs.iter().enumerate().skip(first);
            for (index, leg) in legs.filter(|(_, leg)| leg.plan != Plan::Nothing) {
                let keep = |resource: &Resource| leg.keeps(resource);
                let keep =
                    leg.matcher.is_some().then_some(&keep as &(dyn Fn(&Resource) -> bool + Send + Sync));
                let wanted = query.count - found.len();
                let stretch = self.store.stretch(tenant, leg.kind, &after, wanted, keep).await?;
                found.extend(stretch.resources.into_iter().map(|resource| Found {
                    leg: index,
                    rank: Rank::Missing,
                    resource,
                }));
                if let Some(id) = stretch.resume {
                    return Ok::<_, StoreError>((
                        found,
                        Some(Position { leg: index, rank: Rank::Missing, id }),
                    ));
                }
                after.clear();
            }
            Ok((found, None))
        };
        let (total, (found, next)) = tokio::try_join!(total, read)?;
        Ok(Shown { found, total, next })
    }
}

/// Whether the order asked for is that of the table.
fn is_by_id(legs: &[Leg<'_>], query: &Query) -> bool {
    match (&query.sort, legs) {
        (None, _) => true,
        (Some(sort), [leg]) => !sort.descending && leg.order.as_ref().is_some_and(Order::is_by_id),
        (Some(_), _) => false,
    }
}

fn too_far(path: &AttrPath) -> Error {
    ErrorKind::TooMany.with(format!(
        "only the first {MAX_IN_ORDER} resources are listed in the order of {path}: ask for fewer by a filter, or leave sortBy out"
    ))
}
