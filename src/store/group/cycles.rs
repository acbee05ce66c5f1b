//! Groups within groups: a group may not come to be its own member, through
//! however many others.
//!
//! Every change that puts a group into another bumps one item of the tenant,
//! which it has read before it followed the groups down. Of two such changes at
//! once one fails, and looks again.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};

use crate::store::Store;
use crate::store::error::Error;
use crate::store::resource::Write;
use crate::store::resource::actions;
use crate::store::table::keys::{Key, TenantName};
use crate::store::table::resource_item::{ResourceItem, number};

/// Groups that are followed down. A tree of groups that large is nobody's.
const MAX_GROUPS: usize = 1_000;

/// The version of a tenant's nesting, as it was before the groups were followed.
#[derive(Clone, Copy)]
pub(crate) struct Nesting(u64);

impl Store {
    /// Refuses what would make the group `id` a member of itself.
    pub(crate) async fn check_nesting(
        &self,
        write: Write<'_>,
        id: &str,
        new: impl Iterator<Item = String>,
    ) -> Result<Nesting, Error> {
        let key = Key::nesting(write.tenant);
        let version = self
            .items(vec![key.clone()])
            .await?
            .remove(&key)
            .and_then(|item| item.get("version")?.as_n().ok()?.parse().ok());
        let mut level: Vec<String> = new.collect();
        let mut visited: HashSet<String> = level.iter().cloned().collect();
        while !level.is_empty() {
            if visited.contains(id) {
                return Err(Error::Cycle);
            }
            if visited.len() > MAX_GROUPS {
                return Err(Error::TooManyGroups);
            }
            let keys = level.iter().map(|id| Key::resource(write.tenant, write.kind, id)).collect();
            level.clear();
            for group in self.items(keys).await?.into_values() {
                let group = ResourceItem::read("BatchGetItem", group)?;
                let visibility = group.visibility.filter(|visibility| visibility.nests).unwrap_or_default();
                for member in self.memberships(write.tenant, write.kind, &group.sk, &visibility).await? {
                    if member.kind == write.kind.name && visited.insert(member.sk.clone()) {
                        level.push(member.sk);
                    }
                }
            }
        }
        Ok(Nesting(version.unwrap_or_default()))
    }

    /// Part of the transaction that puts a group into another.
    pub(crate) fn nest(
        &self,
        tenant: &TenantName,
        Nesting(seen): Nesting,
    ) -> Result<TransactWriteItem, Error> {
        let condition = if seen == 0 { "attribute_not_exists(pk)" } else { "#version = :seen" };
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::nesting(tenant).into_map()))
            .update_expression("SET #version = :next")
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":next", number(seen + 1));
        if seen > 0 {
            update = update.expression_attribute_values(":seen", AttributeValue::N(seen.to_string()));
        }
        actions::update(update)
    }
}
