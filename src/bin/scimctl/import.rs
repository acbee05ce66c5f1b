//! `scimctl import`. Existing resources are left unchanged, so an interrupted import is
//! resumed by running it again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use jiff::Timestamp;
use scim_lambda::config::DEFAULT_TIMEOUT;
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::error::Error as ScimError;
use scim_lambda::scim::etag::{Precondition, Version};
use scim_lambda::scim::member::{Member, MemberChanges, Touched};
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::scim::resource::Resource;
use scim_lambda::scim::schema::ResourceType;
use scim_lambda::sources::Now;
use scim_lambda::store::{
    AuditTrail, Created, Error, MemberChange, Restored, Store, TenantName, TenantRecord, WriteContext, Writer,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::audit::Audit;
use crate::line::{Line, MembersLine, ResourceLine};
use crate::tenant::tenant_name;
use crate::{Result, progress};

#[derive(Args)]
pub(crate) struct Import {
    /// Name of the tenant; created with the settings in the file if it does not exist
    #[arg(value_parser = tenant_name)]
    tenant: TenantName,
    /// File that scimctl export has written
    file: PathBuf,
}

/// Resources that are looked up, written and recorded together.
const BATCH: usize = 100;

/// Concurrent writes of a batch.
const AT_ONCE: usize = 16;

/// A resource to create, and the number of its line.
type Wanted = (usize, Arc<ResourceType>, Resource);

/// Problems that are printed; the others are counted.
const PRINTED: usize = 100;

struct Importer<'a> {
    store: &'a Store,
    tenant: &'a TenantName,
    policy: Policy,
    kinds: HashMap<String, Arc<ResourceType>>,
    /// Asked before each write: the lease of a staged change begins with it.
    clock: &'a Now,
    trail: AuditTrail,
    audit: &'a mut Audit,
    made: usize,
    kept: usize,
    members: usize,
    problems: Vec<String>,
}

/// Returns the counts, and whether every line was imported.
pub(crate) async fn run(
    store: &Store,
    packaged: &Definitions,
    import: Import,
    clock: &Now,
    audit: &mut Audit,
) -> Result<(Value, bool)> {
    let Import { tenant, file } = import;
    // The whole file is parsed before the first write: a truncated one changes nothing.
    let lines = count(&file)?;
    let record = record(store, packaged, &tenant, &file, clock()).await?;
    let kinds = record.registry(packaged)?.resource_types;
    let mut importer = Importer {
        store,
        tenant: &tenant,
        policy: record.policy,
        kinds: kinds.into_iter().map(|kind| (kind.name.clone(), kind)).collect(),
        clock,
        trail: AuditTrail::default(),
        audit,
        made: 0,
        kept: 0,
        members: 0,
        problems: Vec::new(),
    };
    let bar = progress(Some(2 * lines), "lines");
    let done = importer.import(&file, &bar).await;
    // An import that fails has made changes, too.
    importer.record().await;
    bar.finish_and_clear();
    done?;
    let Importer { made, kept, members, problems, .. } = importer;
    for problem in problems.iter().take(PRINTED) {
        eprintln!("scimctl: {problem}");
    }
    let done = json!({
        "tenant": tenant.as_str(), "made": made, "kept": kept, "members": members, "problems": problems.len(),
    });
    Ok((done, problems.is_empty()))
}

impl Importer<'_> {
    /// Reads the file twice: a group may have members that come after it.
    async fn import(&mut self, file: &Path, bar: &ProgressBar) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        for line in read(file)? {
            let (number, line) = line?;
            if let Line::Resource(line) = line {
                batch.push((number, line));
            }
            if batch.len() == BATCH {
                self.resources(std::mem::take(&mut batch)).await?;
                self.record().await;
            }
            bar.inc(1);
        }
        self.resources(batch).await?;
        for line in read(file)? {
            let (number, line) = line?;
            if let Line::Members(line) = line {
                self.members(number, line).await?;
            }
            if number.is_multiple_of(BATCH) {
                self.record().await;
            }
            bar.inc(1);
        }
        Ok(())
    }

    async fn record(&mut self) {
        self.audit.record(self.tenant, &self.trail).await;
    }

    async fn resources(&mut self, batch: Vec<(usize, ResourceLine)>) -> Result<()> {
        let existing = self.existing(&batch).await?;
        let mut wanted = Vec::new();
        for (number, line) in batch {
            match self.read(&line) {
                Err(problem) => self.problems.push(format!("line {number}: {problem}")),
                Ok((kind, resource)) => match existing.get(&(kind.name.clone(), resource.id.clone())) {
                    // Not by version, which an earlier run may have raised by adding members.
                    Some(existing) if existing.attributes == resource.attributes => self.kept += 1,
                    Some(_) => self.problems.push(differs(number, &kind, &resource.id)),
                    None => wanted.push((number, kind, resource)),
                },
            }
        }
        let departing = self.restore(wanted).await?;
        if departing.is_empty() {
            return Ok(());
        }
        self.settle(&departing).await?;
        match self.restore(departing).await?.first() {
            Some((number, ..)) => self.problem(*number, Error::Busy { operation: "TransactWriteItems" }),
            None => Ok(()),
        }
    }

    /// Creates resources, and returns those whose deletion has not ended.
    async fn restore(&mut self, wanted: Vec<Wanted>) -> Result<Vec<Wanted>> {
        let this = &*self;
        let restored = wanted.into_iter().map(|(number, kind, resource)| async move {
            let restored = this.writer(&kind).restore(resource.clone()).await;
            (number, kind, resource, restored)
        });
        let restored: Vec<_> = stream::iter(restored.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let mut departing = Vec::new();
        for (number, kind, resource, restored) in restored {
            match restored {
                Ok(Restored::Created) => self.made += 1,
                // Another process created it after the look-up. A second run compares the two.
                Ok(Restored::AlreadyExists) => self.problems.push(differs(number, &kind, &resource.id)),
                Ok(Restored::IsDeparting) => departing.push((number, kind, resource)),
                Err(error) => self.problem(number, error)?,
            }
        }
        Ok(departing)
    }

    /// Ends deletions: until then, the ids of the deleted resources cannot come back.
    async fn settle(&mut self, departing: &[Wanted]) -> Result<()> {
        let ids: Vec<&str> = departing.iter().map(|(_, _, resource)| resource.id.as_str()).collect();
        let kinds: Vec<Arc<ResourceType>> = self.kinds.values().cloned().collect();
        let directory = self.store.directory(self.tenant);
        let mut is_told = false;
        while let Some(due) = directory.settle(&kinds, &ids, (self.clock)(), &self.trail).await? {
            let wait = due.duration_since((self.clock)());
            if !is_told {
                eprintln!("scimctl: waiting {} s for deletions to end", wait.as_secs() + 1);
                is_told = true;
            }
            // A request that adds a deleted user to a group may still be running until then.
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(10))
                .await;
        }
        Ok(())
    }

    /// Returns the resources of the batch that the tenant has.
    async fn existing(&self, batch: &[(usize, ResourceLine)]) -> Result<HashMap<(String, String), Resource>> {
        let mut existing = HashMap::new();
        for (name, kind) in &self.kinds {
            let ids: Vec<String> = batch
                .iter()
                .filter(|(_, line)| line.kind == *name)
                .map(|(_, line)| line.id.clone())
                .collect();
            for resource in self.store.directory(self.tenant).collection(kind).by_ids(ids).await? {
                existing.insert((name.clone(), resource.id.clone()), resource);
            }
        }
        Ok(existing)
    }

    /// Reads a resource by the same schemas as the body of a request.
    fn read(&self, line: &ResourceLine) -> Result<(Arc<ResourceType>, Resource)> {
        let kind =
            self.kinds.get(&line.kind).ok_or_else(|| format!("resource type {} not found", line.kind))?;
        // `try_parse` takes other forms too, which would be other keys of the table.
        if Uuid::try_parse(&line.id).map(|id| id.to_string()).as_ref() != Ok(&line.id) {
            return Err(format!("id {} must be a UUID in lower case", line.id).into());
        }
        let body = Value::Object(line.resource.clone());
        let resource = Resource {
            id: line.id.clone(),
            version: Version(line.version),
            created: line.created,
            last_modified: line.last_modified,
            attributes: Reader::new(kind, Leeway::of(&self.policy)).resource(&body)?,
            derived: None,
            members: 0,
        };
        Ok((Arc::clone(kind), resource))
    }

    /// Adds the members that the group does not have.
    async fn members(&mut self, number: usize, line: MembersLine) -> Result<()> {
        let Some(kind) = self.kinds.get(&line.kind).cloned() else {
            return Ok(());
        };
        let members = line.members.iter().map(Member::read).collect::<Result<Vec<_>, _>>();
        let mut members = match members {
            Ok(members) => members,
            Err(error) => {
                self.problems.push(format!("line {number}: {error}"));
                return Ok(());
            }
        };
        let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
        let id = [line.id];
        let group =
            self.store.directory(self.tenant).collection(&kind).get_with_these_members(&id, &ids).await?;
        let elements = kind.members.as_ref().and_then(|name| group.first()?.attributes.get(name)?.as_array());
        let existing: Vec<&str> =
            elements.into_iter().flatten().filter_map(|one| one["value"].as_str()).collect();
        members.retain(|member| !existing.contains(&member.id.as_str()));
        if members.is_empty() {
            return Ok(());
        }
        let mut changes = MemberChanges::default();
        for member in members {
            changes.add(member);
        }
        let [id] = &id;
        loop {
            let touched = Touched::Named(changes.clone());
            let change = MemberChange { apply: None, touched: &touched };
            let writer = self.writer(&kind);
            // As a request does: a staged change must not outlive its lease.
            let adding = Box::pin(writer.change_members(id, &Precondition::Exists, change));
            let late = |_| Err(Error::Busy { operation: "a staged change" });
            match timeout(DEFAULT_TIMEOUT, adding).await.unwrap_or_else(late) {
                Ok(_) => break self.members += changes.named.len(),
                // The other members are added without them.
                Err(Error::UnknownMembers { ids }) if ids.len() < changes.named.len() => {
                    changes.named.retain(|member, _| !ids.contains(member));
                    self.problem(number, Error::UnknownMembers { ids })?;
                }
                Err(error) => break self.problem(number, error)?,
            }
        }
        Ok(())
    }

    fn writer<'a>(&'a self, kind: &'a ResourceType) -> Writer<'a> {
        let context = WriteContext { policy: &self.policy, now: (self.clock)(), audit: &self.trail };
        self.store.directory(self.tenant).collection(kind).writer(context)
    }

    /// A problem of one line does not stop the import; one of the table does.
    fn problem(&mut self, number: usize, error: Error) -> Result<()> {
        match error {
            Error::Busy { .. } | Error::Unavailable { .. } | Error::Fault { .. } => {
                Err(format!("line {number}: {error}: run the import again to resume it").into())
            }
            error => {
                self.problems.push(format!("line {number}: {}", ScimError::from(error)));
                Ok(())
            }
        }
    }
}

fn differs(number: usize, kind: &ResourceType, id: &str) -> String {
    format!("line {number}: {} {id} exists with other values and was left unchanged", kind.name)
}

/// Returns the tenant, and creates it with the settings in the file if it does not exist.
async fn record(
    store: &Store,
    packaged: &Definitions,
    name: &TenantName,
    file: &Path,
    now: Timestamp,
) -> Result<TenantRecord> {
    if let Some(record) = store.tenant(name).await? {
        return Ok(record);
    }
    let first = read(file)?.next().transpose()?;
    let Some((_, Line::Tenant(line))) = first else {
        return Err(format!("{}: the first line must be the tenant's", file.display()).into());
    };
    let (policy, oauth, definitions) = (line.policy, line.oauth, line.definitions);
    let record = TenantRecord { policy, oauth, definitions, ..TenantRecord::new(now) };
    // Before the tenant exists: with unusable definitions each request to it would fail.
    record.registry(packaged)?;
    if store.create_tenant(name, &record).await? == Created::AlreadyExists {
        return Err(
            format!("tenant {} is being deleted or was created by another process", name.as_str()).into()
        );
    }
    Ok(record)
}

/// Counts the lines of a file that is complete.
fn count(file: &Path) -> Result<u64> {
    let mut count = 0;
    let mut is_complete = false;
    for line in read(file)? {
        let (_, line) = line?;
        is_complete = matches!(line, Line::End);
        count += 1;
    }
    if is_complete {
        Ok(count)
    } else {
        Err(format!("{}: the export was interrupted: resume it with scimctl export --resume", file.display())
            .into())
    }
}

/// Returns the lines with their numbers, from 1.
fn read(file: &Path) -> Result<impl Iterator<Item = Result<(usize, Line)>>> {
    let name = file.display().to_string();
    let lines = BufReader::new(File::open(file).map_err(|error| format!("{name}: {error}"))?).lines();
    Ok(lines.enumerate().map(move |(place, line)| {
        let wrong = |error: String| format!("{name}: line {}: {error}", place + 1);
        let text = line.map_err(|error| wrong(error.to_string()))?;
        let line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok((place + 1, line))
    }))
}
