//! The jobs of all tenants that are due, from one index: a tenant without due jobs costs
//! nothing.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::store::Store;
use crate::store::dynamo::item::Key;
use crate::store::dynamo::query::Query;
use crate::store::error::Error;
use crate::store::limits::DUE_AT_ONCE;
use crate::store::table::directory::TenantName;
use crate::store::table::keys::{STRIPES, due_partition, due_time, tenant_of};

/// The jobs that are due, the oldest of each stripe first.
pub struct DueJobs {
    stripes: Vec<Query>,
}

/// The keys of some jobs of a tenant.
pub(crate) type Jobs = BTreeMap<TenantName, Vec<Key>>;

impl Store {
    pub fn due_jobs(&self, now: Timestamp) -> DueJobs {
        let stripe = |stripe| self.due_stripe(stripe).until(due_time(now)).page_size(DUE_AT_ONCE);
        DueJobs { stripes: (0..STRIPES).map(stripe).collect() }
    }

    /// Reads the time at which the oldest job of all tenants was, or will be, due.
    pub async fn oldest_job(&self) -> Result<Option<Timestamp>, Error> {
        let first = join_all((0..STRIPES).map(|stripe| self.due_stripe(stripe).first_texts("hour", 1))).await;
        let first: Vec<Vec<String>> = first.into_iter().collect::<Result<_, _>>()?;
        Ok(first.into_iter().flatten().filter_map(|due| due.parse().ok()).min())
    }

    fn due_stripe(&self, stripe: u32) -> Query {
        self.table.query_index("changes", "change_pk", due_partition(stripe))
    }
}

impl DueJobs {
    /// Reads some more jobs of each stripe; `None` after the last. A stripe that cannot be read
    /// does not stop the others.
    pub async fn next(&mut self) -> Option<(Jobs, Vec<Error>)> {
        self.stripes.retain(|stripe| !stripe.is_done());
        if self.stripes.is_empty() {
            return None;
        }
        let (mut jobs, mut errors) = (Jobs::new(), Vec::new());
        let mut failed = Vec::new();
        for (place, page) in
            join_all(self.stripes.iter_mut().map(Query::next_page)).await.into_iter().enumerate()
        {
            match page {
                Ok(page) => {
                    for key in page.into_iter().flatten().filter_map(|entry| Key::of(&entry)) {
                        if let Some(tenant) = tenant_of(&key) {
                            jobs.entry(tenant).or_default().push(key);
                        }
                    }
                }
                Err(error) => {
                    errors.push(error);
                    failed.push(place);
                }
            }
        }
        let mut place = 0;
        self.stripes.retain(|_| {
            place += 1;
            !failed.contains(&(place - 1))
        });
        Some((jobs, errors))
    }
}
