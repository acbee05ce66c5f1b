//! Plan or scan, then the rest of the filter.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::scim::attr_path::AttrPath;
use crate::scim::resource::Resource;
use crate::store::dynamo::meter::Meter;
use crate::store::error::Error;
use crate::store::group::groups_of::DirectGroups;
use crate::store::limits::{
    COMPLETED_AT_ONCE, MAX_COMPLETED, MAX_GROUPS_OF_A_PAGE, MAX_HITS, MAX_MEMBERS_READ, MAX_MEMBERSHIPS,
    MAX_SCANNED, MAX_SORTED,
};
use crate::store::query::member_scope::MemberScope;
use crate::store::query::plan::Plan;
use crate::store::query::{Found, Leg, Search};
use crate::store::table::directory::Directory;
use crate::store::table::resource_item::is_id;

/// Bounds the memberships that a filter asks for: it may name a thousand members, and be
/// about a thousand groups.
fn check_memberships(groups: usize, members: &[String]) -> Result<(), Error> {
    let memberships = groups.saturating_mul(members.len());
    if memberships > MAX_MEMBERSHIPS { Err(Error::TooMuchToRead) } else { Ok(()) }
}

impl Directory<'_> {
    /// Reads every resource that a query finds, in its order.
    pub(crate) async fn find_all(self, search: &Search<'_>) -> Result<Vec<Found>, Error> {
        let mut all = Vec::new();
        for (index, leg) in search.legs.iter().enumerate() {
            let resources = match self.by_plan(leg).await? {
                Some(resources) => resources,
                None => self.by_scan(leg).await?,
            };
            if search.query.sort.is_some() && all.len() + resources.len() > MAX_SORTED {
                return Err(Error::TooManyToSort);
            }
            let found = |resource| Found { leg: index, rank: leg.rank(&resource), resource };
            all.extend(resources.into_iter().map(found));
        }
        search.sort(&mut all);
        Ok(all)
    }

    /// Reads every resource that a query finds, in the order of ids; `None` if that takes a
    /// scan.
    pub(crate) async fn find_all_by_plan(self, search: &Search<'_>) -> Result<Option<Vec<Found>>, Error> {
        if search.legs.iter().any(|leg| leg.plan == Plan::Scan) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for (index, leg) in search.legs.iter().enumerate() {
            let Some(resources) = self.by_plan(leg).await? else {
                return Ok(None);
            };
            all.extend(resources.into_iter().map(|resource| Found::by_id(index, resource)));
        }
        Ok(Some(all))
    }

    /// Reads the resources that one leg finds by its plan; `None` if the plan leads to more
    /// than a scan would read.
    async fn by_plan(self, leg: &Leg<'_>) -> Result<Option<Vec<Resource>>, Error> {
        if leg.plan == Plan::Scan {
            return Ok(None);
        }
        Meter::note_plan(&leg.plan);
        match self.matches(leg).await {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) | Err(Error::TooMuchToRead) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the resources that the plan leads to, and keeps those that match the filter.
    async fn matches(self, leg: &Leg<'_>) -> Result<Option<Vec<Resource>>, Error> {
        let collection = self.collection(leg.kind);
        // Groups are read together with the members that the filter asks for.
        if let (MemberScope::These(members), Some(_)) = (&leg.scope, &leg.kind.members) {
            let ids = match &leg.plan {
                Plan::Id(id) => Some(vec![(*id).to_owned()]),
                Plan::Member(member) => Some(collection.group_ids_of(member).await?),
                _ => None,
            };
            if let Some(ids) = ids {
                check_memberships(ids.len(), members)?;
                let found = collection.get_with_these_members(&ids, members).await?;
                return Ok(Some(leg.filter(found)?));
            }
        }
        match self.planned(leg, &leg.plan).await? {
            Some(found) => self.matching(leg, found).await.map(Some),
            None => Ok(None),
        }
    }

    /// Reads the resources that a plan leads to; `None` where only a scan finds them.
    async fn planned(self, leg: &Leg<'_>, plan: &Plan<'_>) -> Result<Option<Vec<Resource>>, Error> {
        let collection = self.collection(leg.kind);
        Ok(Some(match plan {
            Plan::Id(id) => collection.get(id).await?.into_iter().collect(),
            Plan::Unique(path, value) => collection.owner(path, value).await?.into_iter().collect(),
            Plan::LookUp(path, value) => collection.look_up(path, value).await?,
            Plan::Prefix(path, prefix) => collection.by_prefix(path, prefix).await?,
            Plan::ChangedSince(since) => collection.changed_since(*since).await?,
            Plan::Union(plans) => {
                let ids =
                    plans.iter().filter_map(|plan| if let Plan::Id(id) = plan { Some(*id) } else { None });
                let ids: BTreeSet<&str> = ids.filter(|id| is_id(id)).collect();
                let mut union = collection.by_ids(ids.into_iter().map(str::to_owned)).await?;
                for plan in plans.iter().filter(|plan| !matches!(plan, Plan::Id(_))) {
                    let Some(found) = Box::pin(self.planned(leg, plan)).await? else {
                        return Ok(None);
                    };
                    union.extend(found);
                    // Each of a thousand plans may find as many as one may.
                    if union.len() > MAX_HITS {
                        return Ok(None);
                    }
                }
                union.sort_by(|a, b| a.id.cmp(&b.id));
                union.dedup_by(|a, b| a.id == b.id);
                union
            }
            Plan::Nothing => Vec::new(),
            Plan::Member(member) => collection.by_ids(collection.group_ids_of(member).await?).await?,
            Plan::MemberOf(group) => collection.by_ids(self.member_ids(leg.groups, group).await?).await?,
            Plan::Scan => return Ok(None),
        }))
    }

    async fn by_scan(self, leg: &Leg<'_>) -> Result<Vec<Resource>, Error> {
        Meter::note_plan(&Plan::Scan);
        let collection = self.collection(leg.kind);
        // A scan that cannot come to its end costs as much as one that can.
        let most = if leg.matcher.is_none() { MAX_SORTED } else { MAX_SCANNED };
        let scanned = if collection.total().await? > most {
            Err(Error::TooMuchToRead)
        } else if leg.scope == MemberScope::Nothing {
            collection.scan(&|resource| leg.keeps(resource)).await
        } else {
            self.scan_completed(leg).await
        };
        match scanned {
            // Without a filter, only an order needs every resource.
            Err(Error::TooMuchToRead) if leg.matcher.is_none() => Err(Error::TooManyToSort),
            Err(Error::TooMuchToRead) => {
                let paths = leg.kind.index_paths();
                // A page by cursor is a part of a scan, unless the order or the members need all.
                let by_cursor = leg.order.is_none() && leg.scope == MemberScope::Nothing;
                Err(Error::TooMuchToFilter {
                    endpoint: leg.kind.endpoint.clone(),
                    found_by: paths.map(AttrPath::to_string).collect(),
                    by_cursor,
                })
            }
            scanned => scanned,
        }
    }

    /// Scans for a filter that looks at members, which are not part of the resources.
    async fn scan_completed(self, leg: &Leg<'_>) -> Result<Vec<Resource>, Error> {
        let all = self.collection(leg.kind).scan(&|_| Ok(true)).await?;
        self.matching(leg, all).await
    }

    /// Returns the resources that match the filter, judged with the members, or the groups,
    /// that it looks at. Resources that were deleted since they were found are left out.
    async fn matching(self, leg: &Leg<'_>, resources: Vec<Resource>) -> Result<Vec<Resource>, Error> {
        if leg.scope == MemberScope::Nothing {
            return Ok(leg.filter(resources)?);
        }
        let members: u64 = resources.iter().map(|resource| resource.members).sum();
        if resources.len() > MAX_COMPLETED || (leg.scope == MemberScope::All && members > MAX_MEMBERS_READ) {
            return Err(Error::TooMuchToRead);
        }
        let collection = self.collection(leg.kind);
        if let (MemberScope::These(members), Some(_)) = (&leg.scope, &leg.kind.members) {
            check_memberships(resources.len(), members)?;
            let ids: Vec<String> = resources.into_iter().map(|resource| resource.id).collect();
            let found = collection.get_with_these_members(&ids, members).await?;
            return Ok(leg.filter(found)?);
        }
        if let Some(name) = &leg.kind.member_of {
            let mut found = leg.filter(self.complete_groups(leg, name, resources).await?)?;
            for resource in &mut found {
                resource.attributes.shift_remove(name);
            }
            return Ok(found);
        }
        let completed = resources.into_iter().map(|resource| {
            Box::pin(async move { Box::pin(collection.get_with_members(&resource.id, leg.now)).await })
        });
        let completed = stream::iter(completed.collect::<Vec<_>>()).buffered(COMPLETED_AT_ONCE);
        let matching = completed.try_filter_map(async |resource| {
            let Some(mut resource) = resource else { return Ok(None) };
            let is_kept = leg.keeps(&resource)?;
            // The answer reads what it shows of them. Kept, those of all resources would be in
            // memory at once.
            if let Some(name) = &leg.kind.members {
                resource.attributes.shift_remove(name);
            }
            Ok(is_kept.then_some(resource))
        });
        matching.try_collect().await
    }

    /// Adds to resources their groups, as the attribute `name`.
    async fn complete_groups(
        self,
        leg: &Leg<'_>,
        name: &str,
        mut resources: Vec<Resource>,
    ) -> Result<Vec<Resource>, Error> {
        let ids: Vec<&str> = resources.iter().map(|resource| resource.id.as_str()).collect();
        let groups = self.groups_of(leg.groups, &ids, MAX_GROUPS_OF_A_PAGE).await?;
        // A filter cannot judge a part of the groups: it would miss resources.
        if groups.len() < resources.len() || groups.iter().any(|groups| groups.has_more) {
            return Err(Error::TooMuchToRead);
        }
        for (resource, DirectGroups { groups, .. }) in resources.iter_mut().zip(groups) {
            let elements: Vec<Value> = groups.iter().map(|group| group.to_element().into()).collect();
            if !elements.is_empty() {
                resource.attributes.insert(name.to_owned(), elements.into());
            }
        }
        Ok(resources)
    }
}
