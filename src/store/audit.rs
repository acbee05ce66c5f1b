//! A copy of the audit log in the table. DynamoDB deletes old records.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::store::dynamo::item::{item_at, number, read};
use crate::store::error::Error;
use crate::store::table::audit_trail::Changed;
use crate::store::table::directory::Directory;

/// The changes of one request.
pub struct Audited<'a> {
    pub time: Timestamp,
    /// The key id of the token, or the client that an authorization server names.
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

impl Directory<'_> {
    /// Writes a copy of the changes that is kept for `days`.
    pub async fn keep_audit(self, audited: &Audited<'_>, days: u16) -> Result<(), Error> {
        let Audited { time, client, request_id, changes } = *audited;
        let until = time + SignedDuration::from_hours(24 * i64::from(days));
        let statements = changes.iter().enumerate().map(|(place, change)| {
            let record = Record { time, client, request_id, change };
            let mut item = item_at(self.audit_key(time, request_id, place), &record)?;
            // DynamoDB takes seconds. Milliseconds would be a time about 50,000 years from now.
            item.insert("ttl".to_owned(), number(until.as_second()));
            Ok(self.table.insert_statement(item))
        });
        // A record that exists was written by an attempt whose answer was lost.
        self.table.execute(statements.collect::<Result<_, Error>>()?).await?;
        Ok(())
    }

    /// Reads the changes of one day, in the order of time.
    pub async fn audit(self, day: Date, now: Timestamp) -> Result<Vec<Value>, Error> {
        let mut records = Vec::new();
        for mut item in self.table.query(self.audit_partition(day)).all().await? {
            let until = item.remove("ttl").and_then(|ttl| ttl.as_n().ok()?.parse::<i64>().ok());
            // DynamoDB deletes an expired record within days.
            if until.is_some_and(|until| until <= now.as_second()) {
                continue;
            }
            item.remove("pk");
            item.remove("sk");
            records.push(read(item)?);
        }
        Ok(records)
    }
}
