//! A change of a tenant's policy or definitions that may change what is indexed. The rules of
//! before hold until every resource has the entries that the new ones require.

use std::time::Duration;

use jiff::SignedDuration;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::sources::Now;
use scim_lambda::store::{
    Applied, Duplicate, Reindex, Stage, Store, TenantName, TenantRecord, registry as registry_of,
};
use serde_json::{Value, json};

use crate::{Result, progress};

/// Duplicates that are reported.
const REPORTED: usize = 1_000;

/// The circumstances of a change.
pub(crate) struct Change<'a> {
    pub(crate) store: &'a Store,
    pub(crate) packaged: &'a Definitions,
    pub(crate) tenant: &'a TenantName,
    pub(crate) clock: &'a Now,
    /// Time for running functions to learn of a stage.
    pub(crate) wait: SignedDuration,
}

/// The result of a change.
pub(crate) enum Outcome {
    InForce,
    /// Values that must be unique before the change can be in force.
    Duplicates(Value),
}

/// The difference between two sets of rules.
struct Difference {
    adds: bool,
    adds_unique: bool,
    removes: bool,
    /// The names of the resource types whose index differs.
    kinds: Vec<String>,
}

impl Difference {
    fn between(before: &Registry, after: &Registry) -> Self {
        let mut difference = Self { adds: false, adds_unique: false, removes: false, kinds: Vec::new() };
        for old in &before.resource_types {
            // A type that is new has no resources, and those of a type that is gone are not served.
            let Some(new) = after.resource_types.iter().find(|new| new.name == old.name) else { continue };
            let name = &old.name;
            let (old, new) = (old.index_rules(), new.index_rules());
            if old == new {
                continue;
            }
            difference.kinds.push(name.clone());
            difference.adds |= new.difference(&old).next().is_some();
            difference.adds_unique |= new.difference(&old).any(|(how, ..)| *how == 0);
            difference.removes |= old.difference(&new).next().is_some();
        }
        difference
    }
}

impl Change<'_> {
    /// Puts a policy and definitions in force that were made from `record`, or resumes that after
    /// an interruption.
    pub(crate) async fn run(
        &self,
        record: TenantRecord,
        policy: Policy,
        definitions: Option<String>,
    ) -> Result<Outcome> {
        let target = (policy, definitions);
        let current = (record.policy.clone(), record.definitions.clone());
        match &record.reindex {
            None => self.begin(&record, target).await?,
            Some(reindex) => {
                let other = (reindex.policy.clone(), reindex.definitions.clone());
                match reindex.stage {
                    Stage::Fill | Stage::Enforce if target == other => {}
                    // The change is given up: its entries are removed.
                    Stage::Fill | Stage::Enforce if target == current => {
                        self.stage(&record, Stage::Drop, other).await?;
                    }
                    Stage::Keep | Stage::Drop if target == current => {}
                    _ => {
                        return Err(format!(
                            "a change of what is indexed is in progress for {0}: repeat it to complete it, or set the values \
                             that scimctl tenant show {0} prints to give it up",
                            self.tenant.as_str()
                        )
                        .into());
                    }
                }
            }
        }
        self.complete().await
    }

    async fn record(&self) -> Result<TenantRecord> {
        crate::tenant::known(self.store, self.tenant).await
    }

    /// Stores a change: in force at once if the index stays the same or nothing is indexed.
    async fn begin(&self, record: &TenantRecord, target: (Policy, Option<String>)) -> Result<()> {
        let (policy, definitions) = target;
        let before = record.registry(self.packaged)?;
        let after = registry_of(self.packaged, &policy, definitions.as_deref())?;
        let difference = Difference::between(&before, &after);
        let next = TenantRecord { policy, definitions, ..record.clone() };
        if difference.kinds.is_empty() || self.is_unused(record, &before, &difference).await? {
            return self.write(record, &next).await;
        }
        if difference.adds {
            return self.stage(record, Stage::Fill, (next.policy, next.definitions)).await;
        }
        let other = (record.policy.clone(), record.definitions.clone());
        self.stage_as(record, next, Stage::Keep, other).await
    }

    /// Returns true if no resource is concerned, and no function can know the tenant.
    async fn is_unused(
        &self,
        record: &TenantRecord,
        registry: &Registry,
        difference: &Difference,
    ) -> Result<bool> {
        let directory = self.store.directory(self.tenant);
        for kind in registry.resource_types.iter().filter(|kind| difference.kinds.contains(&kind.name)) {
            if directory.collection(kind).total().await? > 0 {
                return Ok(false);
            }
        }
        let tokens = self.store.tokens(self.tenant).await?;
        let is_used = tokens.iter().any(|(_, token)| token.used.is_some());
        Ok(!is_used && record.oauth.is_none())
    }

    /// Carries a change through the stages that are left.
    async fn complete(&self) -> Result<Outcome> {
        loop {
            let record = self.record().await?;
            let Some(reindex) = record.reindex.clone() else { return Ok(Outcome::InForce) };
            self.wait_since(&reindex).await?;
            let other = (reindex.policy.clone(), reindex.definitions.clone());
            let duplicates = match reindex.stage {
                Stage::Keep => Vec::new(),
                Stage::Fill | Stage::Enforce | Stage::Drop => self.pass(&record).await?,
            };
            match reindex.stage {
                Stage::Fill | Stage::Enforce if !duplicates.is_empty() => {
                    if reindex.stage == Stage::Enforce {
                        self.stage(&record, Stage::Fill, other).await?;
                    }
                    return Ok(Outcome::Duplicates(duplicates.into()));
                }
                Stage::Fill if self.difference(&record, &reindex)?.adds_unique => {
                    self.stage(&record, Stage::Enforce, other).await?;
                }
                Stage::Fill | Stage::Enforce => {
                    let removes = self.difference(&record, &reindex)?.removes;
                    let (policy, definitions) = other;
                    let next = TenantRecord { policy, definitions, ..record.clone() };
                    if removes {
                        let before = (record.policy.clone(), record.definitions.clone());
                        self.stage_as(&record, next, Stage::Keep, before).await?;
                    } else {
                        self.write(&record, &TenantRecord { reindex: None, ..next }).await?;
                    }
                }
                Stage::Keep => self.stage(&record, Stage::Drop, other).await?,
                Stage::Drop => self.write(&record, &TenantRecord { reindex: None, ..record.clone() }).await?,
            }
        }
    }

    fn difference(&self, record: &TenantRecord, reindex: &Reindex) -> Result<Difference> {
        let before = registry_of(self.packaged, &record.policy, record.definitions.as_deref())?;
        let after = registry_of(self.packaged, &reindex.policy, reindex.definitions.as_deref())?;
        Ok(Difference::between(&before, &after))
    }

    async fn stage(
        &self,
        record: &TenantRecord,
        stage: Stage,
        other: (Policy, Option<String>),
    ) -> Result<()> {
        self.stage_as(record, record.clone(), stage, other).await
    }

    async fn stage_as(
        &self,
        record: &TenantRecord,
        next: TenantRecord,
        stage: Stage,
        (policy, definitions): (Policy, Option<String>),
    ) -> Result<()> {
        let reindex = Reindex { stage, since: (self.clock)(), policy, definitions };
        self.write(record, &TenantRecord { reindex: Some(reindex), ..next }).await
    }

    async fn write(&self, record: &TenantRecord, next: &TenantRecord) -> Result<()> {
        // A write on condition: of two commands at once, the second must not undo the first.
        if self.store.change_rules(self.tenant, record, next).await? == Applied::Applied {
            return Ok(());
        }
        // An attempt whose answer was lost may have written it.
        let current = self.record().await?;
        let TenantRecord { policy, definitions, reindex, .. } = &current;
        if (policy, definitions, reindex) == (&next.policy, &next.definitions, &next.reindex) {
            return Ok(());
        }
        Err("the tenant was changed by another process: retry".into())
    }

    /// Waits until every running function knows of a stage.
    async fn wait_since(&self, reindex: &Reindex) -> Result<()> {
        let left = (reindex.since + self.wait).duration_since((self.clock)());
        if !left.is_positive() {
            return Ok(());
        }
        eprintln!("scimctl: waiting {} s for running functions to learn of the change", left.as_secs() + 1);
        tokio::time::sleep(Duration::try_from(left)?).await;
        Ok(())
    }

    /// Brings all resources into the index, and returns the values that must be unique and are
    /// not.
    async fn pass(&self, record: &TenantRecord) -> Result<Vec<Value>> {
        let registry = record.registry(self.packaged)?;
        let directory = self.store.directory(self.tenant);
        let mut duplicates: Vec<Value> = Vec::new();
        for kind in registry.resource_types.iter().filter(|kind| kind.other.is_some()) {
            let collection = directory.collection(kind);
            let bar = progress(Some(collection.total().await? as u64), "resources");
            let passed = collection
                .reindex(|part| {
                    bar.inc(part.seen as u64);
                    let room = REPORTED.saturating_sub(duplicates.len());
                    duplicates.extend(part.duplicates.into_iter().take(room).map(
                        |Duplicate { value, owner, id }| {
                            json!({ "type": kind.name, "value": value, "ids": [owner, id] })
                        },
                    ));
                })
                .await;
            bar.finish_and_clear();
            passed.map_err(|error| format!("{error}: run the command again to resume"))?;
        }
        Ok(duplicates)
    }
}
