//! What a filter looks at of memberships, which are no part of the resources that it
//! is asked of.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::store::Store;
use crate::store::cleanup::DEPARTED;
use crate::store::error::Error;
use crate::store::group::read::with_members;
use crate::store::query::member_scope::MemberScope;
use crate::store::resource::is_id;
use crate::store::table::keys::{Key, TenantName};
use crate::store::table::membership::{Membership, is_member_id};
use crate::store::table::resource_item::{Item, ResourceItem};

/// Resources of which more than their own item is read for a filter.
pub(crate) const MAX_COMPLETED: usize = 1_000;

/// Of them, at the same time.
const COMPLETED_AT_ONCE: usize = 16;

impl Store {
    /// Groups with as much of their members as these ids tell: for a filter that
    /// looks at no others. One trip for up to some 30 of them.
    pub async fn with_these_members(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        ids: &[String],
        members: &[String],
    ) -> Result<Vec<Resource>, Error> {
        let members: HashSet<&String> = members.iter().filter(|member| is_member_id(member)).collect();
        let ids: Vec<&String> = ids.iter().filter(|id| is_id(id)).collect();
        let mut wanted: Vec<Key> = Vec::new();
        for id in &ids {
            wanted.push(Key::resource(tenant, kind, id));
            wanted.extend(members.iter().map(|member| Key::member(tenant, kind, id, member)));
        }
        wanted.extend(members.iter().map(|member| Key::job(tenant, DEPARTED, member)));
        let mut found: HashMap<Key, Item> = self.items(wanted).await?;
        let mut groups = Vec::new();
        for id in ids {
            let Some(group) = found.remove(&Key::resource(tenant, kind, id)) else {
                continue;
            };
            let group = ResourceItem::read("BatchGetItem", group)?;
            let visibility = group.visibility.clone().unwrap_or_default();
            let mut these = Vec::new();
            for member in &members {
                if found.contains_key(&Key::job(tenant, DEPARTED, member)) {
                    continue;
                }
                if let Some(item) = found.remove(&Key::member(tenant, kind, id, member)) {
                    these.push(Membership::read(item)?);
                }
            }
            these.retain(|membership| visibility.shows(membership.tags()));
            these.sort_unstable_by(|a, b| a.sk.cmp(&b.sk));
            groups.push(with_members(kind, group, these, &HashSet::new()));
        }
        groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// Adds to resources what a filter looks at of their members, or of the groups
    /// that they are in. Those that are gone are left out.
    pub async fn complete(
        &self,
        tenant: &TenantName,
        kind: &ResourceType,
        groups: &[&ResourceType],
        resources: Vec<Resource>,
        needs: &MemberScope,
    ) -> Result<Vec<Resource>, Error> {
        if *needs == MemberScope::Nothing {
            return Ok(resources);
        }
        if resources.len() > MAX_COMPLETED {
            return Err(Error::TooMuchToRead);
        }
        if let (MemberScope::These(members), Some(_)) = (needs, &kind.members) {
            let ids: Vec<String> = resources.into_iter().map(|resource| resource.id).collect();
            return self.with_these_members(tenant, kind, &ids, members).await;
        }
        let completed = resources.into_iter().map(|mut resource| {
            Box::pin(async move {
                if kind.members.is_some() {
                    return Box::pin(self.get_with_members(tenant, kind, &resource.id)).await;
                }
                let direct_groups = self.groups_of(tenant, groups, &resource.id).await?;
                let elements: Vec<Value> =
                    direct_groups.into_iter().map(|belonging| belonging.element.into()).collect();
                if let Some(name) = kind.member_of.as_ref().filter(|_| !elements.is_empty()) {
                    resource.attributes.insert(name.clone(), elements.into());
                }
                Ok(Some(resource))
            })
        });
        let completed = stream::iter(completed.collect::<Vec<_>>()).buffered(COMPLETED_AT_ONCE);
        completed.try_filter_map(async |resource| Ok(resource)).try_collect().await
    }
}
