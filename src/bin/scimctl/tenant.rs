//! The customers whose directories the endpoint holds.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use scim_lambda::auth::jwt::{Algorithm, Keys, Oauth};
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{Store, TenantName, TenantRecord};
use serde_json::{Value, json};

use crate::{Result, confirm, erase};

#[derive(Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant: 1 to 32 lower-case letters, digits and hyphens
    Create {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        settings: Settings,
    },
    /// The names of all tenants
    List,
    /// One tenant and its policies
    Show {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
    /// Change policies of a tenant; in force within a minute
    Set {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Replace the schemas and resource types that a tenant has for itself
    Define {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// A JSON file, as in the README
        file: PathBuf,
    },
    /// Take access tokens of an authorization server, beside the tenant's own tokens
    Oauth {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        #[command(flatten)]
        server: Server,
        /// Take none any more
        #[arg(long, conflicts_with = "Server")]
        off: bool,
    },
    /// Let nobody in; in force within a minute
    Disable {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let its tokens in again; in force within a minute
    Enable {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
    /// Delete a tenant that is disabled, and all that it has
    Delete {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct Settings {
    /// Policies, as in the README: userName=immutable massRemoval.percent=50
    #[arg(value_name = "KEY=VALUE", value_parser = Policy::parse_setting)]
    settings: Vec<(String, String)>,
}

#[derive(Args)]
pub(crate) struct Server {
    /// What tokens have for iss, to the letter
    #[arg(long, value_name = "TEXT", required_unless_present = "off")]
    issuer: Option<String>,
    /// What tokens have for aud; those that have none, for their client
    #[arg(long, value_name = "TEXT", required_unless_present = "off")]
    audience: Option<String>,
    /// Where the server publishes its keys
    #[arg(long, value_name = "URL", required_unless_present_any = ["jwks", "off"])]
    jwks_url: Option<String>,
    /// A file with the keys instead, which are then taken until others are given
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
    jwks: Option<PathBuf>,
    /// What tokens have to have in scope, scp or roles
    #[arg(long, value_name = "TEXT")]
    scope: Option<String>,
    /// By which tokens may be signed: all three if not said
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    algorithms: Vec<Algorithm>,
}

pub(crate) fn tenant_name(text: &str) -> Result<TenantName, &'static str> {
    TenantName::parse(text).ok_or("a tenant has 1 to 32 lower-case letters, digits and hyphens")
}

pub(crate) async fn run(store: &Store, command: Tenant, now: Timestamp) -> Result<Value> {
    match command {
        Tenant::Create { name, settings } => {
            let policy = Policy::default().with(&settings.settings)?;
            let made = TenantRecord { policy, ..TenantRecord::new(now) };
            if !store.create_tenant(&name, &made).await? {
                return Err(format!("there is a tenant {} already", name.as_str()).into());
            }
            Ok(shown(&name, &made))
        }
        Tenant::List => {
            let mut tenants = Vec::new();
            for name in store.tenants().await? {
                if let Some(record) = store.tenant(&name).await? {
                    tenants.push(json!({ "tenant": name.as_str(), "disabled": record.disabled, "created": record.created }));
                }
            }
            Ok(tenants.into())
        }
        Tenant::Show { name } => show(store, &name).await,
        Tenant::Set { name, settings } => {
            let seen = known(store, &name).await?.policy;
            let policy = seen.with(&settings.settings)?;
            if !store.change_policy(&name, &seen, &policy).await? {
                return Err("somebody else has changed the policies meanwhile: try again".into());
            }
            show(store, &name).await
        }
        Tenant::Define { name, file } => {
            known(store, &name).await?;
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            store.set_definitions(&name, &text).await?;
            show(store, &name).await
        }
        Tenant::Oauth { name, server, off } => {
            known(store, &name).await?;
            let oauth = if off { None } else { Some(Oauth::try_from(server)?) };
            store.set_oauth(&name, oauth.as_ref()).await?;
            show(store, &name).await
        }
        Tenant::Disable { name, yes } => {
            known(store, &name).await?;
            confirm(yes, &format!("Nobody of {} is let in any more.", name.as_str()))?;
            store.set_disabled(&name, Some(now)).await?;
            show(store, &name).await
        }
        Tenant::Enable { name } => {
            known(store, &name).await?;
            store.set_disabled(&name, None).await?;
            show(store, &name).await
        }
        Tenant::Delete { name, yes } => erase::tenant(store, &name, yes, now).await,
    }
}

impl TryFrom<Server> for Oauth {
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn try_from(server: Server) -> Result<Self> {
        let Server { issuer, audience, jwks_url, jwks, scope, algorithms } = server;
        let keys = match (jwks_url, jwks) {
            (Some(url), _) => Keys::JwksUrl(url),
            (None, Some(file)) => {
                Keys::Jwks(fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?)
            }
            (None, None) => return Err("say --jwks-url or --jwks".into()),
        };
        let (issuer, audience) = (issuer.unwrap_or_default(), audience.unwrap_or_default());
        let algorithms = if algorithms.is_empty() { Algorithm::ALL.to_vec() } else { algorithms };
        Ok(Self { issuer, audience, keys, scope, algorithms })
    }
}

pub(crate) async fn known(store: &Store, name: &TenantName) -> Result<TenantRecord> {
    let found = store.tenant(name).await?;
    found.ok_or_else(|| {
        format!("there is no tenant {0}: make it with scimctl tenant create {0}", name.as_str()).into()
    })
}

async fn show(store: &Store, name: &TenantName) -> Result<Value> {
    Ok(shown(name, &known(store, name).await?))
}

fn shown(name: &TenantName, record: &TenantRecord) -> Value {
    json!({
        "tenant": name.as_str(),
        "disabled": record.disabled,
        "created": record.created,
        "policy": record.policy,
        "oauth": record.oauth,
        "definitions": record.definitions.is_some(),
    })
}
