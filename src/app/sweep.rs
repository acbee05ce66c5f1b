//! The jobs of all tenants that are due: what a request that died has left, and
//! what is only safe to do a while after a request.

use tokio::time::timeout;

use super::App;
use crate::store::{AuditTrail, Error, Swept};

impl App {
    /// As far as the time allows. What is left over is done by the next sweep.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        let ended = timeout(self.config.timeout, Box::pin(self.sweep_tenants(&mut swept))).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the sweep failed"),
            Err(_) => tracing::warn!("the sweep had not enough time"),
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
            let Some(record) = self.store.tenant(&tenant).await? else {
                continue;
            };
            // The others do not wait for one that cannot be served.
            match record.registry(&self.config.definitions) {
                Ok(registry) => {
                    let (kinds, trail) = (&registry.resource_types, AuditTrail::default());
                    let done = self.store.sweep_tenant(&tenant, kinds, now, &trail, swept).await;
                    self.keep(&tenant, (now, "sweep", ""), trail.take()).await;
                    done?;
                }
                Err(error) => {
                    tracing::error!(tenant = tenant.as_str(), %error, "the definitions of a tenant cannot be used");
                }
            }
        }
        Ok(())
    }
}
