//! The part of a query's result that an answer shows, by index (RFC 7644 s3.4.2.4) and
//! by cursor (RFC 9865).

use crate::scim::query::Side;
use crate::scim::resource::Resource;
use crate::scim::sort::{Order, Rank};
use crate::store::dynamo::meter::Meter;
use crate::store::error::Error;
use crate::store::limits::MAX_IN_ORDER;
use crate::store::query::member_scope::MemberScope;
use crate::store::query::plan::Plan;
use crate::store::query::scan::Keep;
use crate::store::query::{Found, Leg, Page, Position, Search, Start};
use crate::store::table::directory::Directory;

impl Directory<'_> {
    /// Reads one page of a query.
    pub async fn search(self, search: &Search<'_>, start: Start<'_>) -> Result<Page, Error> {
        match start {
            // Boxed: a query is the largest of all futures.
            Start::Index(start) => Box::pin(self.by_index(search, start)).await,
            Start::Cursor(side) => Box::pin(self.by_cursor(search, side)).await,
        }
    }

    async fn by_index(self, search: &Search<'_>, start: usize) -> Result<Page, Error> {
        let query = search.query;
        if query.filter.is_none() && search.is_by_id() {
            return self.page_of_all(search, start).await;
        }
        if let ([leg], None, Some(sort)) = (search.legs.as_slice(), &query.filter, &query.sort)
            // Another index in the same partition has rows between those of the order.
            && leg.kind.other.is_none()
            && let Some(path) = leg.order.as_ref().and_then(Order::unique)
        {
            if start.saturating_add(query.count) > MAX_IN_ORDER {
                return Err(Error::TooFarInOrder { path: path.to_string() });
            }
            let collection = self.collection(leg.kind);
            let page = collection.page_by_value(path, sort.descending, (start, query.count));
            // The census has the total. `Select=COUNT` would pay for every row that it counts.
            let (total, page) = tokio::try_join!(collection.total(), page)?;
            let found = page.into_iter().map(|resource| Found::by_id(0, resource));
            return Ok(Page { found: found.collect(), total: Some(total), ..Page::default() });
        }
        Ok(Page::of(Box::pin(self.find_all(search)).await?, search, Start::Index(start)))
    }

    /// Reads a page without filter and order: the census tells where it begins.
    async fn page_of_all(self, search: &Search<'_>, start: usize) -> Result<Page, Error> {
        let mut found: Vec<Found> = Vec::new();
        let (mut total, mut is_cut) = (0, false);
        for (index, leg) in search.legs.iter().enumerate() {
            let wanted = search.query.count - found.len();
            // Asked even if the page is full: the type still counts in the total.
            let from = start.saturating_sub(total);
            let (of_kind, page) =
                self.collection(leg.kind).page(from, if is_cut { 0 } else { wanted }).await?;
            // A client continues after the resources that it was shown, so those of the next
            // type must wait.
            is_cut |= page.len() < wanted.min(of_kind.saturating_sub(from));
            total += of_kind;
            found.extend(page.into_iter().map(|resource| Found::by_id(index, resource)));
        }
        Ok(Page { found, total: Some(total), ..Page::default() })
    }

    async fn by_cursor(self, search: &Search<'_>, side: Option<&Side<Position>>) -> Result<Page, Error> {
        // Members are read after the resources, and not one by one.
        let reads_members = search.legs.iter().any(|leg| leg.scope != MemberScope::Nothing);
        if !search.is_by_id() || reads_members {
            return Ok(Page::of(Box::pin(self.find_all(search)).await?, search, Start::Cursor(side)));
        }
        match Box::pin(self.find_all_by_plan(search)).await? {
            Some(all) => Ok(Page::of(all, search, Start::Cursor(side))),
            None => Box::pin(self.stretch(search, side)).await,
        }
    }

    /// Reads on, in the order of ids, from where the other page ended. A resource keeps its
    /// place whatever changes around it, so each resource that exists all the time is shown
    /// exactly once.
    async fn stretch(self, search: &Search<'_>, side: Option<&Side<Position>>) -> Result<Page, Error> {
        let is_whole = search.query.filter.is_none();
        if !is_whole {
            Meter::note_plan(&Plan::Scan);
        }
        // Under a filter the total would take a scan of everything.
        let total = self.total(if is_whole { &search.legs } else { &[] });
        let read = self.read_on(search, side);
        let (total, (mut found, mut more)) = tokio::try_join!(total, read)?;
        let total = is_whole.then_some(total);
        let mut is_backward = matches!(side, Some(Side::Before(_)));
        // With a place to resume at, an empty page means only that its reads found no match.
        if is_backward && found.is_empty() && more.is_none() {
            // All resources before the cursor are gone, so the page after it is the first.
            (found, more) = self.read_on(search, None).await?;
            is_backward = false;
        }
        if is_backward {
            found.reverse();
            let next = found.last().map(Found::position).map(Side::After);
            return Ok(Page { found, total, previous: more.map(Side::Before), next, is_backward });
        }
        // Under a filter the previous page may lie any number of reads back.
        let first = found.first().filter(|_| is_whole && matches!(side, Some(Side::After(_))));
        let previous = first.map(Found::position).map(Side::Before);
        Ok(Page { found, total, previous, next: more.map(Side::After), is_backward })
    }

    async fn total(self, legs: &[Leg<'_>]) -> Result<usize, Error> {
        let mut total = 0;
        for leg in legs {
            total += self.collection(leg.kind).total().await?;
        }
        Ok(total)
    }

    /// Reads up to a page of resources away from a place, the nearest first. Returns also
    /// the place at which to resume.
    async fn read_on(
        self,
        search: &Search<'_>,
        side: Option<&Side<Position>>,
    ) -> Result<(Vec<Found>, Option<Position>), Error> {
        let mut found: Vec<Found> = Vec::new();
        let count = search.query.count;
        // A cursor after an empty page would lead to the same page without end.
        if count == 0 {
            return Ok((found, None));
        }
        let is_backward = matches!(side, Some(Side::Before(_)));
        let (first, from) = match side {
            Some(Side::After(position) | Side::Before(position)) => (position.leg, position.id.as_str()),
            None => (0, ""),
        };
        let is_ahead = |index: usize| if is_backward { index <= first } else { index >= first };
        let legs = search.legs.iter().enumerate();
        let mut legs: Vec<(usize, &Leg<'_>)> =
            legs.filter(|(index, leg)| is_ahead(*index) && leg.plan != Plan::Nothing).collect();
        if is_backward {
            legs.reverse();
        }
        for (index, leg) in legs {
            let keep = |resource: &Resource| leg.keeps(resource);
            let keep = leg.matcher.is_some().then_some(&keep as Keep<'_>);
            let from = if index == first { from } else { "" };
            let side = if is_backward { Side::Before(from) } else { Side::After(from) };
            // Asked even if the page is full: the end of one type has a next page only if a later
            // type has one.
            let stretch = self.collection(leg.kind).stretch(side, count - found.len(), keep).await?;
            found.extend(stretch.resources.into_iter().map(|resource| Found::by_id(index, resource)));
            if let Some(id) = stretch.resume {
                return Ok((found, Some(Position { leg: index, rank: Rank::Missing, id })));
            }
        }
        Ok((found, None))
    }
}

impl Search<'_> {
    /// Returns true if the order of the query is that of the table.
    fn is_by_id(&self) -> bool {
        match (&self.query.sort, self.legs.as_slice()) {
            (None, _) => true,
            (Some(sort), [leg]) => !sort.descending && leg.order.as_ref().is_some_and(Order::is_by_id),
            (Some(_), _) => false,
        }
    }
}

impl Found {
    /// A resource in the order of ids, which has no rank.
    pub(crate) fn by_id(leg: usize, resource: Resource) -> Self {
        Self { leg, rank: Rank::Missing, resource }
    }
}

impl Page {
    /// Cuts a page out of all that a query finds.
    pub fn of(all: Vec<Found>, search: &Search<'_>, start: Start<'_>) -> Self {
        let (total, count) = (all.len(), search.query.count);
        let order = |found: &Found, position: &Position| search.compare(found.place(), position.place());
        let (start, count, is_backward) = match start {
            Start::Index(start) => {
                let found = all.into_iter().skip(start).take(count).collect();
                return Self { found, total: Some(total), ..Self::default() };
            }
            Start::Cursor(None) => (0, count, false),
            Start::Cursor(Some(Side::After(position))) => {
                // The resource at the cursor may be gone. Its place in the order remains.
                (all.partition_point(|found| order(found, position).is_le()), count, false)
            }
            Start::Cursor(Some(Side::Before(position))) => {
                match all.partition_point(|found| order(found, position).is_lt()) {
                    // All resources before the cursor are gone, so the page after it is the first.
                    0 => (0, count, false),
                    end => (end.saturating_sub(count), end.min(count), true),
                }
            }
        };
        let found: Vec<Found> = all.into_iter().skip(start).take(count).collect();
        let first = found.first().filter(|_| start > 0);
        let last = found.last().filter(|_| start + found.len() < total);
        let previous = first.map(Found::position).map(Side::Before);
        let next = last.map(Found::position).map(Side::After);
        Self { found, total: Some(total), previous, next, is_backward }
    }
}
