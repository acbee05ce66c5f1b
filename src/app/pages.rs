//! Which part of what a query finds is on a page, by index (RFC 7644 s3.4.2.4)
//! and by cursor (RFC 9865).

use super::App;
use super::find::{Found, Leg, compare};
use crate::cursor::Position;
use crate::scim::attr_path::AttrPath;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::query::{Query, Side};
use crate::scim::resource::Resource;
use crate::scim::sort::{Order, Rank};
use crate::store::query::member_scope::MemberScope;
use crate::store::query::plan::Plan;
use crate::store::{Error as StoreError, Meter, TenantName};

/// How far a list goes in the order of a unique attribute: its rows, of some 100
/// bytes each, are read from the first on.
const MAX_IN_ORDER: usize = 20_000;

/// The part of a query's result that an answer shows, before it is rendered.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) found: Vec<Found>,
    pub(super) total: Option<usize>,
    /// Where the pages beside this one lie if all of `found` fits the answer.
    /// `None` where there is none; the previous one is offered where it is cheap.
    pub(super) previous: Option<Side<Position>>,
    pub(super) next: Option<Side<Position>>,
    /// Whether this page lies before the place where its cursor was made.
    pub(super) backward: bool,
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
            return Ok(Shown { found: found.collect(), total: Some(total), ..Shown::default() });
        }
        Ok(from(self.all(tenant, legs, query).await?, start, query.count))
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
        Ok(Shown { found, total: Some(total), ..Shown::default() })
    }

    pub(super) async fn by_cursor(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
        side: Option<Side<Position>>,
    ) -> Result<Shown> {
        // What is kept apart is read after the resources, and not one by one.
        if !is_by_id(legs, query) || legs.iter().any(|leg| leg.needs != MemberScope::Nothing) {
            return Ok(part(self.all(tenant, legs, query).await?, query, side));
        }
        match self.all_by_plan(tenant, legs).await? {
            Some(all) => Ok(part(all, query, side)),
            None => self.stretch(tenant, legs, query, side).await,
        }
    }

    /// In the order of ids, reading on from where the other page ended. A
    /// resource keeps its place whatever changes around it, so each that exists
    /// all the time is shown exactly once.
    async fn stretch(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
        side: Option<Side<Position>>,
    ) -> Result<Shown> {
        let is_whole = query.filter.is_none();
        if !is_whole {
            Meter::note_plan(&Plan::Scan);
        }
        let total = self.total(tenant, if is_whole { legs } else { &[] });
        let read = self.read_on(tenant, legs, query.count, side.as_ref());
        let (total, (mut found, mut more)) = tokio::try_join!(total, read)?;
        let total = is_whole.then_some(total);
        let mut backward = matches!(side, Some(Side::Before(_)));
        if backward && found.is_empty() && more.is_none() {
            // What was there is gone, and what comes after it is the first page.
            (found, more) = self.read_on(tenant, legs, query.count, None).await?;
            backward = false;
        }
        if backward {
            found.reverse();
            let next = found.last().map(Found::position).map(Side::After);
            return Ok(Shown { found, total, previous: more.map(Side::Before), next, backward });
        }
        // Before what a filter finds lies what it does not, of any length.
        let first = found.first().filter(|_| is_whole && matches!(side, Some(Side::After(_))));
        let previous = first.map(Found::position).map(Side::Before);
        Ok(Shown { found, total, previous, next: more.map(Side::After), backward })
    }

    async fn total(&self, tenant: &TenantName, legs: &[Leg<'_>]) -> Result<usize, StoreError> {
        let mut total = 0;
        for leg in legs {
            total += self.store.total(tenant, leg.kind).await?;
        }
        Ok(total)
    }

    /// Up to `count` resources away from a place, the nearest first, and the place
    /// to go on from.
    async fn read_on(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        count: usize,
        side: Option<&Side<Position>>,
    ) -> Result<(Vec<Found>, Option<Position>), StoreError> {
        let mut found: Vec<Found> = Vec::new();
        if count == 0 {
            return Ok((found, None));
        }
        let backward = matches!(side, Some(Side::Before(_)));
        let (first, from) = match side {
            Some(Side::After(position) | Side::Before(position)) => (position.leg, position.id.as_str()),
            None => (0, ""),
        };
        let ahead = |index: usize| if backward { index <= first } else { index >= first };
        let legs = legs.iter().enumerate();
        let mut legs: Vec<(usize, &Leg<'_>)> =
            legs.filter(|(index, leg)| ahead(*index) && leg.plan != Plan::Nothing).collect();
        if backward {
            legs.reverse();
        }
        for (index, leg) in legs {
            let keep = |resource: &Resource| leg.keeps(resource);
            let keep = leg.matcher.is_some().then_some(&keep as &(dyn Fn(&Resource) -> bool + Send + Sync));
            let from = if index == first { from } else { "" };
            let side = if backward { Side::Before(from) } else { Side::After(from) };
            let stretch = self.store.stretch(tenant, leg.kind, side, count - found.len(), keep).await?;
            let place = |resource| Found { leg: index, rank: Rank::Missing, resource };
            found.extend(stretch.resources.into_iter().map(place));
            if let Some(id) = stretch.resume {
                return Ok((found, Some(Position { leg: index, rank: Rank::Missing, id })));
            }
        }
        Ok((found, None))
    }
}

/// The page of all that a query finds, by index.
pub(super) fn from(all: Vec<Found>, start: usize, count: usize) -> Shown {
    let total = Some(all.len());
    let found = all.into_iter().skip(start).take(count).collect();
    Shown { found, total, ..Shown::default() }
}

/// The same by cursor.
pub(super) fn part(all: Vec<Found>, query: &Query, side: Option<Side<Position>>) -> Shown {
    let descending = query.sort.as_ref().is_some_and(|sort| sort.descending);
    let order = |found: &Found, position: &Position| compare(found.place(), position.place(), descending);
    let total = all.len();
    let (start, count, backward) = match side {
        None => (0, query.count, false),
        Some(Side::After(position)) => {
            (all.partition_point(|found| order(found, &position).is_le()), query.count, false)
        }
        Some(Side::Before(position)) => match all.partition_point(|found| order(found, &position).is_lt()) {
            // What was there is gone, and what comes after it is the first page.
            0 => (0, query.count, false),
            end => (end.saturating_sub(query.count), end.min(query.count), true),
        },
    };
    let found: Vec<Found> = all.into_iter().skip(start).take(count).collect();
    let first = found.first().filter(|_| start > 0);
    let last = found.last().filter(|_| start + found.len() < total);
    let previous = first.map(Found::position).map(Side::Before);
    let next = last.map(Found::position).map(Side::After);
    Shown { found, total: Some(total), previous, next, backward }
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
