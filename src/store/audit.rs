//! A copy of the audit log in the table, of which DynamoDB deletes what is old.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::store::Store;
use crate::store::error::Error;
use crate::store::table::audit_trail::Changed;
use crate::store::table::keys::{Key, TenantName};
use crate::store::table::resource_item::{Item, number};

const OPERATION: &str = "BatchExecuteStatement";

/// What one request has changed.
pub struct Audited<'a> {
    pub time: Timestamp,
    /// Key id of the token, or the client that an authorization server names.
    pub client: &'a str,
    pub request_id: &'a str,
    pub changes: &'a [Changed],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    time: Timestamp,
    client: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    change: &'a Changed,
}

impl Store {
    pub async fn keep_audit(
        &self,
        tenant: &TenantName,
        audited: &Audited<'_>,
        days: u16,
    ) -> Result<(), Error> {
        let Audited { time, client, request_id, changes } = *audited;
        let until = time + SignedDuration::from_hours(24 * i64::from(days));
        let statements = changes.iter().enumerate().map(|(place, change)| {
            let record = Record { time, client, request_id, change };
            let mut item: Item =
                serde_dynamo::to_item(record).map_err(|error| Error::fault(OPERATION, error))?;
            item.extend(Key::audit(tenant, time, request_id, place).into_map());
            item.insert("ttl".to_owned(), number(until.as_second()));
            Ok(self.insert_statement(item))
        });
        // What is there already, an attempt whose answer was lost has written.
        self.execute(statements.collect::<Result<_, Error>>()?).await?;
        Ok(())
    }

    /// What was changed on one day, in the order of time. What DynamoDB has still to
    /// delete is left out.
    pub async fn audit(
        &self,
        tenant: &TenantName,
        day: jiff::civil::Date,
        now: Timestamp,
    ) -> Result<Vec<Value>, Error> {
        const OPERATION: &str = "Query";
        let query = self.rows(Key::audits(tenant, day)).key_condition_expression("pk = :pk");
        let mut pages = query.into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(item) = pages.next().await {
            let mut item = item.map_err(|error| Error::sdk(OPERATION, &error))?;
            let until = item.remove("ttl").and_then(|ttl| ttl.as_n().ok()?.parse::<i64>().ok());
            if until.is_some_and(|until| until <= now.as_second()) {
                continue;
            }
            item.remove("pk");
            item.remove("sk");
            records.push(serde_dynamo::from_item(item).map_err(|error| Error::fault(OPERATION, error))?);
        }
        Ok(records)
    }
}
