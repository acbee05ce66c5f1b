//! What a transaction on a group and its members consists of.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};

use crate::store::Store;
use crate::store::dynamo::transaction;
use crate::store::error::Error;
use crate::store::group::change::Edits;
use crate::store::resource::actions::{self, Joins, Revision, SEEN};
use crate::store::resource::{Write, checked_keys, gained};
use crate::store::table::keys::{IndexKeys, Key};
use crate::store::table::membership::Membership;
use crate::store::table::resource_item::{ResourceItem, attribute_value, number};

impl Store {
    pub(crate) fn revision(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        edits: &Edits,
        joins: Joins,
        write_id: &str,
        mark: &str,
    ) -> Result<TransactWriteItem, Error> {
        let mut conditions = vec!["attribute_exists(pk)", mark];
        let mut values = Vec::new();
        let aborted = seen.visibility.as_ref().map_or(&[][..], |visibility| visibility.aborted.as_slice());
        if aborted.is_empty() {
            conditions.push("attribute_not_exists(roster.aborted)");
        } else {
            conditions.push("roster.aborted = :aborted");
            values.push((":aborted".to_owned(), attribute_value(transaction::OPERATION, &aborted)?));
        }
        if edits.exact {
            conditions.push(SEEN);
            values.push((":seen".to_owned(), number(seen.version)));
        }
        let attributes = match &edits.attributes {
            Some(attributes) => Some((attributes, checked_keys(write, &seen.sk, attributes)?.digest())),
            None => None,
        };
        let id = &seen.sk;
        self.update_resource(Revision {
            write,
            id,
            write_id,
            attributes,
            joins: Some(joins),
            conditions: &conditions,
            values,
        })
    }

    /// The rows that change with the group's own attributes, and which it gains.
    pub(crate) fn moved_rows(
        &self,
        write: Write<'_>,
        seen: &ResourceItem,
        edits: &Edits,
    ) -> Result<(Vec<TransactWriteItem>, IndexKeys), Error> {
        let Some(attributes) = &edits.attributes else {
            return Ok((Vec::new(), IndexKeys::default()));
        };
        let new = checked_keys(write, &seen.sk, attributes)?;
        let old = IndexKeys::of(write.tenant, write.kind, &seen.sk, &seen.resource);
        let gained = gained(&old, &new)?;
        let mut rows = self.put_rows(&gained, &seen.sk)?;
        rows.extend(self.delete_rows(&old.without(&new), &seen.sk)?);
        Ok((rows, gained))
    }

    /// Holds if the membership is not there, or does not count.
    pub(crate) fn put_membership(
        &self,
        membership: Membership,
        aborted: &[u64],
    ) -> Result<TransactWriteItem, Error> {
        let (dead, values) = dead(aborted);
        let mut put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(membership.into_item()?))
            .condition_expression(format!("attribute_not_exists(pk) OR {dead}"));
        for (name, value) in values {
            put = put.expression_attribute_values(name, value);
        }
        actions::put(put)
    }

    pub(crate) fn delete_membership(&self, key: Key, aborted: &[u64]) -> Result<TransactWriteItem, Error> {
        let (dead, values) = dead(aborted);
        let mut delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression(format!("attribute_exists(pk) AND NOT ({dead})"));
        for (name, value) in values {
            delete = delete.expression_attribute_values(name, value);
        }
        actions::delete(delete)
    }

    pub(crate) fn check_there(&self, key: Key) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key.into_map()))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(actions::built)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}

pub(crate) fn joins(write: Write<'_>, edits: &Edits) -> Joins {
    let count = |members: usize| i64::try_from(members).unwrap_or(i64::MAX);
    Joins {
        members: count(edits.puts.len()) - count(edits.deletes.len()),
        nest: edits.puts.iter().any(|known| known.kind == write.kind.name),
    }
}

/// Holds for a membership that does not count under a group that has no mark and
/// these aborted changes.
fn dead(aborted: &[u64]) -> (String, Vec<(String, AttributeValue)>) {
    if aborted.is_empty() {
        return ("attribute_exists(removed_by)".to_owned(), Vec::new());
    }
    let values: Vec<(String, AttributeValue)> =
        aborted.iter().enumerate().map(|(n, epoch)| (format!(":x{n}"), number(*epoch))).collect();
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    let list = names.join(", ");
    (format!("(attribute_exists(removed_by) AND NOT removed_by IN ({list})) OR added_by IN ({list})"), values)
}
