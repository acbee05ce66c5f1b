//! Queries of one resource type or of several, answered without reading everything
//! where the table has rows for it.
//!
//! * `plan`: the rows that a filter leads to.
//! * `member_scope`: the members that a filter looks at.
//! * `lookup`: resources by a value, a prefix, or the time of their last change.
//! * `scan`: all resources of a type, in parallel or a stretch at a time.
//! * `execute`: plan or scan, then the rest of the filter.
//! * `page`: the part of the result that an answer shows.

mod execute;
mod lookup;
pub mod member_scope;
mod page;
pub mod plan;
mod scan;

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::member_scope::MemberScope;
use self::plan::Plan;
use crate::scim::error::Result as ScimResult;
use crate::scim::filter::evaluate::Matcher;
use crate::scim::query::{Query, Side};
use crate::scim::quirks::Leeway;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::scim::sort::{Order, Rank};
use crate::scim::work::{Exhausted, Work};

/// A query, bound to the resource types that it asks.
pub struct Search<'a> {
    pub query: &'a Query,
    pub legs: Vec<Leg<'a>>,
}

/// The part of a query that concerns one resource type.
pub struct Leg<'a> {
    pub kind: &'a ResourceType,
    /// The tenant's types that have members.
    groups: &'a [&'a ResourceType],
    matcher: Option<Matcher<'a>>,
    plan: Plan<'a>,
    scope: MemberScope,
    order: Option<Order<'a>>,
    work: &'a Work,
    now: Timestamp,
}

/// The place where a page begins.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// The number of resources before the page.
    Index(usize),
    /// The side of a place at which the page lies; `None` for the first page.
    Cursor(Option<&'a Side<Position>>),
}

/// The place of a resource in the order of a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The leg that found the resource.
    pub leg: usize,
    /// The value that the resource is sorted by.
    pub rank: Rank,
    /// The id; empty at the end of a type where reading begins.
    pub id: String,
}

/// A resource that a query found.
pub struct Found {
    pub leg: usize,
    pub rank: Rank,
    pub resource: Resource,
}

/// The part of a query's result that an answer shows.
#[derive(Default)]
pub struct Page {
    pub found: Vec<Found>,
    pub total: Option<usize>,
    /// The places of the neighbouring pages, if all of `found` fits the answer. The
    /// previous page is offered where finding it is cheap.
    pub previous: Option<Side<Position>>,
    pub next: Option<Side<Position>>,
    /// True if this page lies before the place where its cursor was made.
    pub is_backward: bool,
}

impl<'a> Leg<'a> {
    /// Binds a query to `kind`, one of the types `kinds` that it asks. `groups` are the
    /// tenant's types that have members.
    pub fn new(
        kind: &'a ResourceType,
        kinds: &[Arc<ResourceType>],
        groups: &'a [&'a ResourceType],
        query: &'a Query,
        leeway: Leeway<'a>,
        (work, now): (&'a Work, Timestamp),
    ) -> ScimResult<Self> {
        let memberships = kind.members.as_ref().or(kind.member_of.as_ref());
        let scope =
            query.filter.as_ref().zip(memberships).map(|(filter, name)| MemberScope::of(filter, kind, name));
        let matcher = query.filter.as_ref().map(|filter| Matcher::among(filter, kind, kinds, leeway));
        Ok(Self {
            kind,
            groups,
            matcher: matcher.transpose()?,
            plan: query.filter.as_ref().map_or(Plan::Scan, |filter| Plan::of(filter, kind)),
            scope: scope.unwrap_or(MemberScope::Nothing),
            order: query.sort.as_ref().map(|sort| Order::new(sort, kind, kinds, leeway)).transpose()?,
            work,
            now,
        })
    }

    /// Returns true if the filter holds for a resource. An error means that the request has
    /// compared too much.
    pub fn keeps(&self, resource: &Resource) -> ScimResult<bool> {
        match &self.matcher {
            None => Ok(true),
            Some(matcher) => matcher.matches(resource, self.work).map_err(Exhausted::of_query),
        }
    }

    /// Leaves out the resources for which the filter does not hold.
    pub fn filter(&self, resources: Vec<Resource>) -> ScimResult<Vec<Resource>> {
        let mut kept = Vec::with_capacity(resources.len());
        for resource in resources {
            if self.keeps(&resource)? {
                kept.push(resource);
            }
        }
        Ok(kept)
    }

    pub fn rank(&self, resource: &Resource) -> Rank {
        self.order.as_ref().map_or(Rank::Missing, |order| order.rank(resource))
    }
}

impl Search<'_> {
    pub fn is_descending(&self) -> bool {
        self.query.sort.as_ref().is_some_and(|sort| sort.descending)
    }

    /// Puts resources into the order of the query.
    pub fn sort(&self, found: &mut [Found]) {
        found.sort_by(|a, b| self.compare(a.place(), b.place()));
    }

    /// Resources of equal rank are ordered by type and id, so that pages do not overlap.
    fn compare(&self, a: Place<'_>, b: Place<'_>) -> Ordering {
        let order = a.0.compare(b.0);
        let order = if self.is_descending() { order.reverse() } else { order };
        order.then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
    }
}

type Place<'a> = (&'a Rank, usize, &'a str);

impl Position {
    fn place(&self) -> Place<'_> {
        (&self.rank, self.leg, &self.id)
    }
}

impl Found {
    fn place(&self) -> Place<'_> {
        (&self.rank, self.leg, &self.resource.id)
    }

    pub fn position(&self) -> Position {
        Position { leg: self.leg, rank: self.rank.clone(), id: self.resource.id.clone() }
    }
}
