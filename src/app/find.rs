//! What a query finds, of one resource type or of several.

use std::cmp::Ordering;
use std::sync::Arc;

use super::App;
use super::context::RequestContext;
use crate::cursor::Position;
use crate::scim::attr_path::AttrPath;
use crate::scim::error::{Error, ErrorKind, Result};
use crate::scim::filter::evaluate::Matcher;
use crate::scim::projection::Projection;
use crate::scim::query::{Parameters, Query};
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::scim::sort::{Order, Rank};
use crate::store::query::member_scope::MemberScope;
use crate::store::query::plan::Plan;
use crate::store::{Error as StoreError, Meter, TenantName};

/// Resources that are sorted in memory: some 10 MB.
const MAX_SORTED: usize = 10_000;

/// A query as it concerns one resource type.
pub(super) struct Leg<'a> {
    pub(super) kind: &'a ResourceType,
    /// The tenant's types that have members.
    groups: Vec<&'a ResourceType>,
    pub(super) matcher: Option<Matcher<'a>>,
    pub(super) plan: Plan<'a>,
    /// What the filter looks at of what the store keeps apart.
    pub(super) needs: MemberScope,
    pub(super) order: Option<Order<'a>>,
    pub(super) projection: Projection<'a>,
}

/// A resource on its way to the answer.
pub(super) struct Found {
    /// Which leg found it.
    pub(super) leg: usize,
    pub(super) rank: Rank,
    pub(super) resource: Resource,
}

impl App {
    /// Every resource that the query finds, in its order.
    pub(super) async fn all(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
        query: &Query,
    ) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for (index, leg) in legs.iter().enumerate() {
            let resources = match self.by_plan(tenant, leg).await? {
                Some(resources) => resources,
                None => self.by_scan(tenant, leg).await?,
            };
            if query.sort.is_some() && all.len() + resources.len() > MAX_SORTED {
                return Err(too_many_to_sort());
            }
            all.extend(resources.into_iter().map(|resource| {
                let rank = leg.order.as_ref().map_or(Rank::Missing, |order| order.rank(&resource));
                Found { leg: index, rank, resource }
            }));
        }
        let descending = query.sort.as_ref().is_some_and(|sort| sort.descending);
        all.sort_by(|a, b| compare(a.place(), b.place(), descending));
        Ok(all)
    }

    /// The same in the order of ids; `None` if that takes a scan.
    pub(super) async fn all_by_plan(
        &self,
        tenant: &TenantName,
        legs: &[Leg<'_>],
    ) -> Result<Option<Vec<Found>>> {
        if legs.iter().any(|leg| leg.plan == Plan::Scan) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for (index, leg) in legs.iter().enumerate() {
            let Some(resources) = self.by_plan(tenant, leg).await? else {
                return Ok(None);
            };
            all.extend(resources.into_iter().map(|resource| Found {
                leg: index,
                rank: Rank::Missing,
                resource,
            }));
        }
        Ok(Some(all))
    }

    /// What one leg finds by its plan; `None` if the plan leads to more than a
    /// scan would read.
    async fn by_plan(&self, tenant: &TenantName, leg: &Leg<'_>) -> Result<Option<Vec<Resource>>> {
        if leg.plan == Plan::Scan {
            return Ok(None);
        }
        Meter::note_plan(&leg.plan);
        match self.looked_up(tenant, leg).await {
            Ok(found) => Ok(found.map(|mut found| {
                found.retain(|resource| leg.keeps(resource));
                found
            })),
            Err(StoreError::TooMuchToRead) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the plan leads to, with what the filter looks at.
    async fn looked_up(
        &self,
        tenant: &TenantName,
        leg: &Leg<'_>,
    ) -> Result<Option<Vec<Resource>>, StoreError> {
        // Groups are read together with those of their members that are asked for.
        if let (MemberScope::These(members), Some(_)) = (&leg.needs, &leg.kind.members) {
            let ids = match &leg.plan {
                Plan::Id(id) => Some(vec![(*id).to_owned()]),
                Plan::Member(member) => Some(self.store.group_ids_of(tenant, leg.kind, member).await?),
                _ => None,
            };
            if let Some(ids) = ids {
                return self.store.with_these_members(tenant, leg.kind, &ids, members).await.map(Some);
            }
        }
        match self.planned(tenant, leg.kind, &leg.groups, &leg.plan).await? {
            Some(found) => {
                self.store.complete(tenant, leg.kind, &leg.groups, found, &leg.needs).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn by_scan(&self, tenant: &TenantName, leg: &Leg<'_>) -> Result<Vec<Resource>> {
        Meter::note_plan(&Plan::Scan);
        let scanned = if leg.needs == MemberScope::Nothing {
            self.store.scan(tenant, leg.kind, |resource| leg.keeps(resource)).await
        } else {
            self.scan_whole(tenant, leg).await
        };
        match scanned {
            Err(StoreError::TooMuchToRead) if leg.matcher.is_none() => Err(too_many_to_sort()),
            Err(StoreError::TooMuchToRead) => {
                let is_read_on = leg.order.is_none() && leg.needs == MemberScope::Nothing;
                Err(too_much_to_filter(leg, is_read_on && self.config.cursor_key.is_some()))
            }
            scanned => Ok(scanned?),
        }
    }

    /// For a filter that looks at what is kept apart.
    async fn scan_whole(&self, tenant: &TenantName, leg: &Leg<'_>) -> Result<Vec<Resource>, StoreError> {
        let all = self.store.scan(tenant, leg.kind, |_| true).await?;
        let mut found = self.store.complete(tenant, leg.kind, &leg.groups, all, &leg.needs).await?;
        found.retain(|resource| leg.keeps(resource));
        Ok(found)
    }

    /// `None` where there is nothing but a scan.
    async fn planned(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        groups: &[&ResourceType],
        plan: &Plan<'_>,
    ) -> Result<Option<Vec<Resource>>, StoreError> {
        let found = match plan {
            Plan::Id(id) => self.store.get(tenant, kind, id).await?.into_iter().collect(),
            Plan::Unique(path, value) => {
                self.store.owner(tenant, kind, path, value).await?.into_iter().collect()
            }
            Plan::LookUp(path, value) => self.store.look_up(tenant, kind, path, value).await?,
            Plan::Prefix(path, prefix) => self.store.by_prefix(tenant, kind, path, prefix).await?,
            Plan::ChangedSince(since) => self.store.changed_since(tenant, kind, *since).await?,
            Plan::Union(legs) => {
                let mut union: Vec<Resource> = Vec::new();
                for leg in legs {
                    let Some(found) = Box::pin(self.planned(tenant, kind, groups, leg)).await? else {
                        return Ok(None);
                    };
                    union.extend(found);
                }
                union.sort_by(|a, b| a.id.cmp(&b.id));
                union.dedup_by(|a, b| a.id == b.id);
                union
            }
            Plan::Nothing => Vec::new(),
            Plan::Member(member) => {
                let ids = self.store.group_ids_of(tenant, kind, member).await?;
                self.store.by_ids(tenant, kind, ids).await?
            }
            Plan::MemberOf(group) => {
                let ids = self.store.member_ids(tenant, groups, group).await?;
                self.store.by_ids(tenant, kind, ids).await?
            }
            Plan::Scan => return Ok(None),
        };
        Ok(Some(found))
    }
}

impl<'a> Leg<'a> {
    pub(super) fn new(
        kind: &'a ResourceType,
        kinds: &[Arc<ResourceType>],
        context: &'a RequestContext<'_>,
        query: &'a Query,
        parameters: &Parameters,
    ) -> Result<Self> {
        let apart = kind.members.as_ref().or(kind.member_of.as_ref());
        let needs =
            query.filter.as_ref().zip(apart).map(|(filter, name)| MemberScope::of(filter, kind, name));
        let matcher = query.filter.as_ref().map(|filter| Matcher::among(filter, kind, kinds, context.leeway));
        Ok(Self {
            kind,
            groups: context.groups(),
            matcher: matcher.transpose()?,
            needs: needs.unwrap_or(MemberScope::Nothing),
            plan: query.filter.as_ref().map_or(Plan::Scan, |filter| Plan::of(filter, kind)),
            order: query.sort.as_ref().map(|sort| Order::new(sort, kind, kinds)).transpose()?,
            projection: Projection::parse(
                kind,
                parameters.attributes.as_deref(),
                parameters.excluded_attributes.as_deref(),
            )?,
        })
    }

    pub(super) fn keeps(&self, resource: &Resource) -> bool {
        self.matcher.as_ref().is_none_or(|matcher| matcher.matches(resource))
    }
}

impl Found {
    pub(super) fn place(&self) -> (&Rank, usize, &str) {
        (&self.rank, self.leg, &self.resource.id)
    }

    pub(super) fn position(&self) -> Position {
        Position { leg: self.leg, rank: self.rank.clone(), id: self.resource.id.clone() }
    }
}

/// Of equal rank the types come one after the other, and their resources in the
/// order of ids, so that pages do not overlap.
pub(super) fn compare(a: (&Rank, usize, &str), b: (&Rank, usize, &str), descending: bool) -> Ordering {
    let order = a.0.compare(b.0);
    let order = if descending { order.reverse() } else { order };
    order.then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
}

fn too_many_to_sort() -> Error {
    ErrorKind::TooMany.with(format!(
        "more than {MAX_SORTED} resources, or 12 MB of them, cannot be sorted: ask for fewer by a filter, or leave sortBy out"
    ))
}

fn too_much_to_filter(leg: &Leg<'_>, by_cursor: bool) -> Error {
    let found_by: Vec<String> =
        leg.kind.unique.iter().chain(&leg.kind.look_up).map(AttrPath::to_string).collect();
    let or_cursor = if by_cursor { ", or page by cursor" } else { "" };
    ErrorKind::TooMany.with(format!(
        "there are too many {} to look at each: narrow the filter by eq on one of id, {}{or_cursor}",
        leg.kind.endpoint,
        found_by.join(", ")
    ))
}
