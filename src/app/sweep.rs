//! The cleanup jobs of all tenants that are due.

use tokio::time::timeout;

use super::App;
use crate::store::{AuditTrail, Error, Swept};

impl App {
    /// Does as many jobs as time allows. The next sweep does the rest.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        match timeout(self.config.timeout, Box::pin(self.sweep_tenants(&mut swept))).await {
            Ok(Ok(())) => {}
            // Logged, not returned: Lambda retries a failed event of the schedule, and the next
            // sweep does the rest anyway.
            Ok(Err(error)) => tracing::error!(%error, "the sweep failed"),
            Err(_) => tracing::warn!("the sweep did not have enough time"),
        }
        let age = swept.oldest.map_or(0, |due| (self.sources.now)().duration_since(due).as_secs().max(0));
        tracing::info!(
            tenants = swept.tenants,
            done = swept.done,
            left = swept.left,
            oldest_job_seconds = age,
            "sweep"
        );
        swept
    }

    async fn sweep_tenants(&self, swept: &mut Swept) -> Result<(), Error> {
        let now = (self.sources.now)();
        for tenant in self.store.tenants().await? {
            // A tenant that is being deleted is listed without a record.
            let Some(record) = self.store.tenant(&tenant).await? else {
                continue;
            };
            match record.registry(&self.config.definitions) {
                Ok(registry) => {
                    let (kinds, audit) = (&registry.resource_types, AuditTrail::default());
                    let done = self.store.directory(&tenant).sweep(kinds, now, &audit, swept).await;
                    // Changes made before an error are recorded too.
                    self.keep(&tenant, (now, "sweep", ""), audit.take()).await;
                    done?;
                }
                // One tenant that cannot be served does not keep the others waiting.
                Err(error) => {
                    tracing::error!(tenant = tenant.as_str(), %error, "the definitions of a tenant are invalid");
                }
            }
        }
        Ok(())
    }
}
