//! The cleanup jobs of all tenants that are due.

use jiff::Timestamp;
use tokio::time::timeout;

use super::App;
use crate::store::{AuditTrail, Error, Swept, TenantName};

impl App {
    /// Does as many jobs as time allows. The next sweep does the rest.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        if timeout(self.config.timeout, Box::pin(self.sweep_tenants(&mut swept))).await.is_err() {
            tracing::warn!("the sweep did not have enough time");
            swept.complete = false;
        }
        let now = (self.sources.now)();
        let age = swept.oldest.map_or(0, |due| now.duration_since(due).as_secs().max(0));
        tracing::info!(
            tenants = swept.tenants,
            done = swept.done,
            left = swept.left,
            sweep_errors = swept.errors,
            complete = swept.complete,
            // Absent from a partial pass: the oldest job may be one that was not read, and the
            // alarm takes a missing metric for an old job.
            oldest_job_seconds = swept.complete.then_some(age),
            "sweep"
        );
        swept
    }

    /// Sweeps one tenant after the other. Errors are logged, not returned: Lambda would retry
    /// the event, and the next sweep does the rest anyway.
    async fn sweep_tenants(&self, swept: &mut Swept) {
        let now = (self.sources.now)();
        let tenants = match self.store.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::error!(%error, "the sweep could not list the tenants");
                return swept.missed();
            }
        };
        for tenant in tenants {
            if let Err(error) = Box::pin(self.sweep_tenant(&tenant, now, swept)).await {
                tracing::error!(tenant = tenant.as_str(), %error, "jobs of a tenant are left to the next sweep");
                swept.missed();
            }
        }
    }

    async fn sweep_tenant(
        &self,
        tenant: &TenantName,
        now: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        // A tenant that is being deleted is listed without a record.
        let Some(record) = self.store.tenant(tenant).await? else {
            return Ok(());
        };
        let registry = match record.registry(&self.config.definitions) {
            Ok(registry) => registry,
            Err(error) => {
                tracing::error!(tenant = tenant.as_str(), %error, "the definitions of a tenant are invalid");
                swept.missed();
                return Ok(());
            }
        };
        let (kinds, audit) = (&registry.resource_types, AuditTrail::default());
        let done = self.store.directory(tenant).sweep(kinds, now, &audit, swept).await;
        // Changes made before an error are recorded too.
        self.keep(tenant, (now, "sweep", ""), audit.take()).await;
        done
    }
}
