//! `scimctl tenant`: the customers whose directories the endpoint serves.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Unit};
use scim_lambda::auth::jwt::{self, parse_keys};
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::custom::Definitions;
use scim_lambda::sources::Now;
use scim_lambda::store::{Algorithm, Created, Keys, Oauth, Store, TenantName, TenantRecord, registry};
use serde_json::{Map, Value, json};

use crate::{Answer, Result, confirm, erase, reindex};

#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Create a tenant
    Create {
        /// Name of the tenant: 1 to 32 lower-case letters, digits and hyphens
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all tenants
    List,
    /// Show a tenant and its policies
    Show {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
    /// Change policies of a tenant; takes effect within a minute
    #[command(after_help = REINDEX)]
    Set {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        wait: Wait,
    },
    /// Replace the tenant's own definitions; takes effect within a minute
    #[command(after_help = REINDEX)]
    Define {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// JSON file with `schemas`, `resourceTypes`, `roles` and `entitlements`
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// Accept access tokens of an authorization server, besides the tenant's own tokens
    Oauth {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        server: Server,
        /// Reject all access tokens
        #[arg(long, conflicts_with = "Server")]
        off: bool,
    },
    /// Reject all requests of a tenant; takes effect within a minute
    Disable {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Accept requests of a disabled tenant again; takes effect within a minute
    Enable {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
    /// Delete a disabled tenant with all its users, groups and tokens
    #[command(after_help = "An interrupted deletion is resumed by running it again.")]
    Delete {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

const REINDEX: &str = "A change of what is unique or looked up is in force when all resources are indexed by it, some \
    minutes later. An interrupted command is resumed by running it again. Exit status 2: values that must be unique are not.";

#[derive(Args)]
pub(crate) struct Wait {
    /// Time for running functions to learn of each stage of a change of what is indexed: the 60 s for which
    /// they cache a tenant, and the longest request
    #[arg(long, value_name = "SECONDS", default_value = "90")]
    wait: u16,
}

#[derive(Args)]
pub(crate) struct Settings {
    /// Policies to set, such as userName=immutable massRemoval.percent=50; `tenant show` lists all
    #[arg(value_name = "KEY=VALUE", value_parser = Policy::parse_setting)]
    settings: Vec<(String, String)>,
}

#[derive(Args)]
pub(crate) struct Server {
    /// Expected `iss` of a token, an exact match
    #[arg(long, value_name = "TEXT", required_unless_present = "off")]
    issuer: Option<String>,
    /// Expected `aud` of a token, or its `client_id` if it has no `aud`
    #[arg(long, value_name = "TEXT", required_unless_present = "off")]
    audience: Option<String>,
    /// URL of the server's keys (JWKS)
    #[arg(long, value_name = "URL", required_unless_present_any = ["jwks", "off"])]
    jwks_url: Option<String>,
    /// File with the keys, instead of a URL
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
    jwks: Option<PathBuf>,
    /// Client that may request tokens: `client_id`, `cid`, `azp` or `appid`; can be repeated
    #[arg(long, value_name = "TEXT")]
    client: Vec<String>,
    /// Accepted `sub` of a token; can be repeated
    #[arg(long, value_name = "TEXT")]
    subject: Vec<String>,
    /// Value that `scope`, `scp` or `roles` of a token must contain
    #[arg(long, value_name = "TEXT")]
    scope: Option<String>,
    /// Longest life of a token in seconds, from its `iat` to its `exp`; any if omitted
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u32>,
    /// Accepted signature algorithms, separated by commas; all if omitted
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    algorithms: Vec<Algorithm>,
}

pub(crate) fn tenant_name(text: &str) -> Result<TenantName, &'static str> {
    TenantName::parse(text).ok_or("must be 1 to 32 lower-case letters, digits and hyphens")
}

pub(crate) async fn run(
    store: &Store,
    packaged: &Definitions,
    command: Tenant,
    clock: &Now,
) -> Result<Answer> {
    let now = clock();
    let now = now.round(Unit::Second).unwrap_or(now);
    match command {
        Tenant::Create { name, settings } => {
            let policy = Policy::default().with(&settings.settings)?;
            let created = TenantRecord { policy, ..TenantRecord::new(now) };
            if store.create_tenant(&name, &created).await? == Created::AlreadyExists {
                return Err(format!("tenant {} already exists", name.as_str()).into());
            }
            shown(&name, &created)
        }
        Tenant::List => {
            let mut tenants = Vec::new();
            for name in store.tenants().await? {
                if let Some(record) = store.tenant(&name).await? {
                    tenants.push(json!({ "tenant": name.as_str(), "disabled": record.disabled, "created": record.created }));
                }
            }
            Ok(Value::from(tenants).into())
        }
        Tenant::Show { name } => show(store, &name).await,
        Tenant::Set { name, settings, wait } => {
            let record = known(store, &name).await?;
            let policy = record.policy.with(&settings.settings)?;
            let definitions = record.definitions.clone();
            change(store, packaged, (&name, clock, wait), record, (policy, definitions)).await
        }
        Tenant::Define { name, file, wait } => {
            let record = known(store, &name).await?;
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            registry(packaged, &record.policy, Some(&text))?;
            let policy = record.policy.clone();
            change(store, packaged, (&name, clock, wait), record, (policy, Some(text))).await
        }
        Tenant::Oauth { name, server, off } => {
            known(store, &name).await?;
            let oauth = if off { None } else { Some(Oauth::try_from(server)?) };
            if let Some(problem) = oauth.as_ref().and_then(jwt::problem) {
                return Err(problem.into());
            }
            store.set_oauth(&name, oauth.as_ref()).await?;
            show(store, &name).await
        }
        Tenant::Disable { name, yes } => {
            known(store, &name).await?;
            confirm(yes, &format!("All requests for {} will be rejected.", name.as_str()))?;
            store.set_disabled(&name, Some(now)).await?;
            show(store, &name).await
        }
        Tenant::Enable { name } => {
            known(store, &name).await?;
            store.set_disabled(&name, None).await?;
            show(store, &name).await
        }
        Tenant::Delete { name, yes } => Ok(erase::tenant(store, &name, yes, now).await?.into()),
    }
}

/// Puts a policy and definitions in force that were made from `record`, and shows the tenant.
async fn change(
    store: &Store,
    packaged: &Definitions,
    (tenant, clock, Wait { wait }): (&TenantName, &Now, Wait),
    record: TenantRecord,
    (policy, definitions): (Policy, Option<String>),
) -> Result<Answer> {
    let wait = SignedDuration::from_secs(wait.into());
    let change = reindex::Change { store, packaged, tenant, clock, wait };
    match change.run(record, policy, definitions).await? {
        reindex::Outcome::InForce => show(store, tenant).await,
        reindex::Outcome::Duplicates(duplicates) => Ok(Answer { is_incomplete: true, ..duplicates.into() }),
    }
}

impl TryFrom<Server> for Oauth {
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn try_from(server: Server) -> Result<Self> {
        let Server { issuer, audience, jwks_url, jwks, client, subject, scope, max_age, algorithms } = server;
        let keys = match (jwks_url, jwks) {
            (Some(url), _) => Keys::JwksUrl(url),
            (None, Some(file)) => {
                Keys::Jwks(fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?)
            }
            (None, None) => return Err("pass --jwks-url or --jwks".into()),
        };
        let (issuer, audience) = (issuer.unwrap_or_default(), audience.unwrap_or_default());
        let algorithms = if algorithms.is_empty() { Algorithm::ALL.to_vec() } else { algorithms };
        let (clients, subjects) = (client, subject);
        Ok(Self { issuer, audience, keys, clients, subjects, scope, max_age, algorithms })
    }
}

pub(crate) async fn known(store: &Store, name: &TenantName) -> Result<TenantRecord> {
    let found = store.tenant(name).await?;
    found.ok_or_else(|| {
        format!("tenant {0} not found: create it with scimctl tenant create {0}", name.as_str()).into()
    })
}

async fn show(store: &Store, name: &TenantName) -> Result<Answer> {
    shown(name, &known(store, name).await?)
}

fn shown(name: &TenantName, record: &TenantRecord) -> Result<Answer> {
    let TenantRecord { created, disabled, policy, oauth, definitions, reindex } = record;
    let json = json!({
        "tenant": name.as_str(),
        "disabled": disabled,
        "created": created,
        "policy": policy,
        "oauth": oauth,
        "definitions": definitions.is_some(),
        "reindex": reindex.as_ref().map(|reindex| reindex.stage),
    });
    let mut table = json.as_object().cloned().unwrap_or_default();
    table.retain(|name, _| !["policy", "oauth"].contains(&name.as_str()));
    table.extend(oauth_rows(oauth.as_ref())?);
    table.extend(policy_rows(policy)?);
    Ok(Answer { json, table: table.into(), is_incomplete: false })
}

/// Returns every policy in effect, as `KEY=VALUE` sets it.
fn policy_rows(policy: &Policy) -> Result<Map<String, Value>> {
    let unknown_attributes = Some(policy.unknown_attributes());
    let mut all = serde_json::to_value(Policy { unknown_attributes, ..policy.clone() })?;
    let (removal, pages) = (policy.mass_removal, policy.page_size);
    let (per_second, burst) = policy.rate_limit.limits().unzip();
    if let Some(all) = all.as_object_mut() {
        // The JSON leaves out what is not set.
        all.extend([
            ("massRemoval".to_owned(), json!({ "members": removal.members, "percent": removal.percent })),
            ("pageSize".to_owned(), json!({ "default": pages.default(), "max": pages.max() })),
            ("rateLimit".to_owned(), json!({ "perSecond": per_second, "burst": burst })),
        ]);
    }
    let mut rows = Map::new();
    flatten("", &all, &mut rows);
    Ok(rows)
}

fn flatten(name: &str, value: &Value, rows: &mut Map<String, Value>) {
    let (name, value) = match value {
        Value::Object(members) => {
            let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
            return members.iter().for_each(|(name, value)| flatten(&format!("{prefix}{name}"), value, rows));
        }
        // Not the dash of the table: `KEY=null` unsets a policy.
        Value::Null => (name, "null".into()),
        other => (name, other.clone()),
    };
    rows.insert(name.to_owned(), value);
}

/// Returns the settings of the authorization server by the options that set them.
fn oauth_rows(oauth: Option<&Oauth>) -> Result<Map<String, Value>> {
    let Some(Oauth { issuer, audience, keys, clients, subjects, scope, max_age, algorithms }) = oauth else {
        return Ok(Map::from_iter([("oauth".to_owned(), Value::Null)]));
    };
    let keys = match keys {
        Keys::JwksUrl(url) => ("oauth.jwks-url", url.clone()),
        Keys::Jwks(text) => {
            let keys = parse_keys(text.as_bytes())?.keys;
            let names = keys.into_iter().map(|key| key.common.key_id.unwrap_or_else(|| "unnamed".to_owned()));
            ("oauth.jwks", names.collect::<Vec<_>>().join(", "))
        }
    };
    let listed = |all: &[String]| if all.is_empty() { Value::Null } else { all.join(", ").into() };
    let rows = [
        ("oauth.issuer", issuer.as_str().into()),
        ("oauth.audience", audience.as_str().into()),
        (keys.0, keys.1.into()),
        ("oauth.client", listed(clients)),
        ("oauth.subject", listed(subjects)),
        ("oauth.scope", scope.as_deref().into()),
        ("oauth.max-age", (*max_age).into()),
        ("oauth.algorithms", serde_json::to_value(algorithms)?),
    ];
    Ok(rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Policy, policy_rows};

    fn rows(policy: &Policy) -> Vec<(String, String)> {
        let rows = policy_rows(policy).unwrap().into_iter();
        rows.map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect()
    }

    #[test]
    fn each_row_is_a_setting() {
        let settings = rows(&Policy::default());
        let text: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            text,
            [
                "interpretation=tolerant",
                "unknownAttributes=ignore",
                "userName=readWrite",
                "userNameCharacters=safe",
                "userGroups=default",
                "password=ignore",
                "groupNames=unique",
                "unknownMembers=refuse",
                "unknownManagers=accept",
                "memberDisplay=stored",
                "unknownRoles=accept",
                "groupCycles=refuse",
                "patchAnswer=default",
                "massRemoval.members=null",
                "massRemoval.percent=null",
                "pageSize.default=100",
                "pageSize.max=100",
                "rateLimit.perSecond=null",
                "rateLimit.burst=null",
            ]
        );
        let set = [
            "interpretation=strict",
            "userName=immutable",
            "groupNames=free",
            "massRemoval.percent=50",
            "pageSize.max=20",
            "rateLimit.burst=7",
        ];
        let set = set.map(|setting| Policy::parse_setting(setting).unwrap());
        let changed = rows(&Policy::default().with(&set).unwrap());
        assert_eq!(rows(&Policy::default().with(&changed).unwrap()), changed);
        let value = |key: &str| changed.iter().find(|(name, _)| name == key).unwrap().1.clone();
        assert_eq!(
            ["unknownAttributes", "pageSize.default", "rateLimit.perSecond"].map(value),
            ["refuse", "20", "25"],
            "what follows from other settings"
        );
    }
}
