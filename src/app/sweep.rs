//! The cleanup jobs of all tenants that are due.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use super::App;
use crate::store::{AuditTrail, DueJobs, Error, Key, Swept, TenantName};

/// Tenants whose jobs are done at the same time.
const TENANTS_AT_ONCE: usize = 8;

/// Time for the jobs of one tenant that were read together. A tenant that takes longer waits
/// for the next pass, so that it does not keep the others waiting.
const TENANT_TIME: Duration = Duration::from_secs(10);

/// The part of a sweep that one tenant takes.
struct Part {
    tenant: TenantName,
    swept: Swept,
    /// True if the time of the tenant was not enough.
    is_slow: bool,
}

impl App {
    /// Does as many jobs as time allows. The next sweep does the rest.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        let deadline = Instant::now() + self.config.sweep_time;
        if timeout_at(deadline, Box::pin(self.sweep_tenants(deadline, &mut swept))).await.is_err() {
            tracing::warn!("the sweep did not have enough time");
            swept.complete = false;
        }
        // Of a partial pass, the oldest job may be one that was not read.
        let oldest = if swept.complete { Ok(swept.oldest) } else { self.store.oldest_job().await };
        let now = (self.sources.now)();
        let age =
            |oldest: Option<Timestamp>| oldest.map_or(0, |due| now.duration_since(due).as_secs().max(0));
        if let Err(error) = &oldest {
            tracing::error!(%error, "the sweep could not read the oldest job");
        }
        tracing::info!(
            tenants = swept.tenants,
            done = swept.done,
            left = swept.left,
            sweep_errors = swept.errors,
            complete = swept.complete,
            // Absent if it is unknown: the alarm takes a missing metric for an old job.
            oldest_job_seconds = oldest.ok().map(age),
            "sweep"
        );
        swept
    }

    /// Passes over the due jobs of all tenants, and again over those of tenants that are slow.
    /// Errors are logged, not returned: Lambda would retry the event, and the next sweep does
    /// the rest anyway.
    async fn sweep_tenants(&self, deadline: Instant, swept: &mut Swept) {
        let mut tenants = HashSet::new();
        loop {
            let (mut pass, mut slow) = (Swept::default(), HashSet::new());
            let due = self.store.due_jobs((self.sources.now)());
            Box::pin(self.pass(due, deadline, &mut pass, (&mut tenants, &mut slow))).await;
            swept.tenants = tenants.len();
            swept.follow(pass);
            if slow.is_empty() || pass.done == 0 {
                return;
            }
        }
    }

    /// Does each due job once, except those of tenants that are slow.
    async fn pass(
        &self,
        mut due: DueJobs,
        deadline: Instant,
        pass: &mut Swept,
        (tenants, slow): (&mut HashSet<TenantName>, &mut HashSet<TenantName>),
    ) {
        while let Some((jobs, errors)) = due.next().await {
            for error in errors {
                tracing::error!(%error, "the sweep could not read the jobs that are due");
                pass.missed();
            }
            let jobs = jobs.into_iter().filter(|(tenant, _)| !slow.contains(tenant));
            let parts: Vec<_> =
                jobs.map(|(tenant, keys)| Box::pin(self.sweep_part(tenant, keys, deadline))).collect();
            let mut parts = stream::iter(parts).buffer_unordered(TENANTS_AT_ONCE);
            while let Some(Part { tenant, swept, is_slow }) = parts.next().await {
                pass.add(swept);
                if is_slow {
                    slow.insert(tenant.clone());
                }
                tenants.insert(tenant);
            }
        }
        pass.complete &= slow.is_empty();
    }

    /// Does some jobs of a tenant, within its time.
    async fn sweep_part(&self, tenant: TenantName, keys: Vec<Key>, deadline: Instant) -> Part {
        // Earlier than the deadline of the sweep, so that there is time to keep the audit records.
        let time = TENANT_TIME.min(deadline.saturating_duration_since(Instant::now()).mul_f64(0.8));
        let (now, audit) = ((self.sources.now)(), AuditTrail::default());
        let jobs = keys.len();
        let done = timeout(time, Box::pin(self.do_jobs(&tenant, keys, now, &audit))).await;
        // Changes made before an error are recorded too.
        self.keep(&tenant, (now, "sweep", ""), audit.take()).await;
        let mut part = Part { swept: Swept::default(), is_slow: done.is_err(), tenant };
        match done {
            Ok(Ok(swept)) => part.swept = swept,
            Ok(Err(error)) => {
                tracing::error!(tenant = part.tenant.as_str(), %error, "jobs of a tenant are left to the next sweep");
                part.swept.missed();
            }
            Err(_) => {
                tracing::warn!(
                    tenant = part.tenant.as_str(),
                    jobs,
                    "the jobs of a tenant take too long for this pass"
                );
                part.swept.complete = false;
            }
        }
        part
    }

    async fn do_jobs(
        &self,
        tenant: &TenantName,
        keys: Vec<Key>,
        now: Timestamp,
        audit: &AuditTrail,
    ) -> Result<Swept, Error> {
        // The jobs of a tenant that is being deleted are deleted with it.
        let Some(record) = self.store.tenant(tenant).await? else {
            return Ok(Swept::default());
        };
        let registry = match record.registry(&self.config.definitions) {
            Ok(registry) => registry,
            Err(error) => {
                tracing::error!(tenant = tenant.as_str(), %error, "the definitions of a tenant are invalid");
                let mut swept = Swept::default();
                swept.missed();
                return Ok(swept);
            }
        };
        self.store.directory(tenant).do_jobs(&registry.resource_types, keys, now, audit).await
    }
}
