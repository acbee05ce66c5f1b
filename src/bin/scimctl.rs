//! `cargo scimctl`: tenants and their tokens, for whoever operates the endpoint.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use clap::{Args, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp, Unit};
use scim_lambda::app::World;
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{self, Scope, Store, TenantName, TenantRecord, TokenRecord};
use serde_json::{Value, json};

/// Tenants of a SCIM endpoint and their tokens.
#[derive(Parser)]
#[command(name = "scimctl", version)]
struct Options {
    /// The DynamoDB table
    #[arg(long, env = "SCIM_TABLE", global = true, default_value = "scim")]
    table: String,
    /// The DynamoDB of `cargo local`, or any other that checks no credentials
    #[arg(long, value_name = "URL", global = true)]
    endpoint: Option<String>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The customers whose directories the endpoint holds
    #[command(subcommand)]
    Tenant(Tenant),
    /// What their identity providers authenticate with
    #[command(subcommand)]
    Token(Token),
}

#[derive(Subcommand)]
enum Tenant {
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
    /// Let nobody in; in force within a minute
    Disable {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
    /// Let its tokens in again; in force within a minute
    Enable {
        #[arg(value_parser = tenant_name)]
        name: TenantName,
    },
}

#[derive(Args)]
struct Settings {
    /// Policies, as in the README: userName=immutable massRemoval.percent=50
    #[arg(value_name = "KEY=VALUE", value_parser = Policy::parse_setting)]
    settings: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Token {
    /// Make a token. It is shown once: only a hash of its secret is kept
    Create {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// When it ends: in so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
        /// For clients that only read
        #[arg(long)]
        read_only: bool,
        /// The id of the user who is behind /Me
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Make a token that is good for the same as another, which ends a while later
    Rotate {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        #[arg(value_name = "KEY_ID")]
        kid: String,
        /// How many days both are good
        #[arg(long, value_name = "DAYS", default_value_t = 7)]
        overlap: u16,
        /// When the new one ends: in so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        days: Option<u16>,
    },
    /// The key ids of a tenant's tokens, and what they are good for
    List {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
    },
    /// Make a token worthless within a minute
    Revoke {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        #[arg(value_name = "KEY_ID")]
        kid: String,
    },
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let json = options.json;
    match run(options).await {
        Ok(answer) if json => println!("{answer}"),
        Ok(answer) => println!("{}", table(&answer)),
        Err(error) => {
            eprintln!("scimctl: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn tenant_name(text: &str) -> Result<TenantName, &'static str> {
    TenantName::parse(text).ok_or("a tenant has 1 to 32 lower-case letters, digits and hyphens")
}

async fn run(options: Options) -> Result<Value> {
    let store = connect(&options).await;
    let now = (World::real().now)();
    let now = now.round(Unit::Second).unwrap_or(now);
    match options.command {
        Command::Tenant(command) => tenant(&store, command, now).await,
        Command::Token(command) => token(&store, command, now).await,
    }
}

async fn connect(options: &Options) -> Store {
    let mut shared = aws_config::defaults(BehaviorVersion::latest());
    if let Some(endpoint) = &options.endpoint {
        let nobody = Credentials::new("local", "local", None, None, "scimctl");
        shared = shared
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(nobody);
    }
    let client = aws_sdk_dynamodb::Client::from_conf(store::client_config(&shared.load().await).build());
    let world = World::real();
    Store::new(client, &options.table, Arc::clone(&world.ids), Arc::clone(&world.dice))
}

async fn tenant(store: &Store, command: Tenant, now: Timestamp) -> Result<Value> {
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
        Tenant::Show { name } => Ok(shown(&name, &known(store, &name).await?)),
        Tenant::Set { name, settings } => {
            let policy = known(store, &name).await?.policy.with(&settings.settings)?;
            store.set_policy(&name, &policy).await?;
            Ok(shown(&name, &known(store, &name).await?))
        }
        Tenant::Disable { name } => disable(store, &name, true).await,
        Tenant::Enable { name } => disable(store, &name, false).await,
    }
}

async fn disable(store: &Store, name: &TenantName, disabled: bool) -> Result<Value> {
    known(store, name).await?;
    store.set_disabled(name, disabled).await?;
    Ok(shown(name, &known(store, name).await?))
}

async fn known(store: &Store, name: &TenantName) -> Result<TenantRecord> {
    let found = store.tenant(name).await?;
    found.ok_or_else(|| {
        format!("there is no tenant {0}: make it with scimctl tenant create {0}", name.as_str()).into()
    })
}

fn shown(name: &TenantName, record: &TenantRecord) -> Value {
    json!({
        "tenant": name.as_str(),
        "disabled": record.disabled,
        "created": record.created,
        "policy": record.policy,
    })
}

async fn token(store: &Store, command: Token, now: Timestamp) -> Result<Value> {
    match command {
        Token::Create { tenant, days, read_only, user } => {
            known(store, &tenant).await?;
            let (kid, secret) = random()?;
            let expires = days.map(|days| later(now, days));
            let scope = if read_only { Scope::Read } else { Scope::ReadWrite };
            let record = TokenRecord { expires, scope, user, ..TokenRecord::new(&secret, now) };
            if !store.create_token(&tenant, &kid, &record).await? {
                return Err(format!("the key id {kid} is taken: try again").into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::Rotate { tenant, kid: old, overlap, days } => {
            known(store, &tenant).await?;
            let tokens = store.tokens(&tenant).await?;
            let (_, followed) =
                tokens.into_iter().find(|(kid, _)| *kid == old).ok_or_else(|| no_token(&tenant, &old))?;
            let ends = later(now, overlap).min(followed.expires.unwrap_or(Timestamp::MAX));
            let (kid, secret) = random()?;
            let expires = days.map(|days| later(now, days));
            let TokenRecord { sha256, .. } = TokenRecord::new(&secret, now);
            let record = TokenRecord { sha256, created: now, expires, ..followed };
            if !store.rotate_token(&tenant, (&old, ends), (&kid, &record)).await? {
                return Err(no_token(&tenant, &old).into());
            }
            Ok(once(&tenant, &kid, &secret, &record))
        }
        Token::List { tenant } => {
            known(store, &tenant).await?;
            Ok(store.tokens(&tenant).await?.iter().map(|(kid, record)| of(kid, record)).collect())
        }
        Token::Revoke { tenant, kid } => {
            known(store, &tenant).await?;
            if store.revoke_token(&tenant, &kid).await? {
                Ok(json!({ "revoked": kid }))
            } else {
                Err(no_token(&tenant, &kid).into())
            }
        }
    }
}

fn no_token(tenant: &TenantName, kid: &str) -> String {
    format!("there is no token {kid} of {0}: see scimctl token list {0}", tenant.as_str())
}

fn later(now: Timestamp, days: u16) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(days))
}

/// A key id, and a secret of 256 bits.
fn random() -> Result<(String, String)> {
    let mut digits = String::with_capacity(80);
    for _ in 0..5 {
        write!(digits, "{:016x}", getrandom::u64().map_err(|error| error.to_string())?)?;
    }
    let secret = digits.split_off(16);
    digits.truncate(8);
    Ok((digits, secret))
}

/// A token as it is never shown again.
fn once(tenant: &TenantName, kid: &str, secret: &str, record: &TokenRecord) -> Value {
    let mut made = of(kid, record);
    if let Some(made) = made.as_object_mut() {
        made.insert("token".to_owned(), format!("scim_{}_{kid}_{secret}", tenant.as_str()).into());
    }
    made
}

fn of(kid: &str, record: &TokenRecord) -> Value {
    json!({
        "keyId": kid,
        "scope": record.scope,
        "created": record.created,
        "expires": record.expires,
        "user": record.user,
    })
}

/// One line for each of a list, its names above; of anything else, one for each name.
fn table(answer: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = match answer {
        Value::Array(all) => {
            let objects = all.iter().filter_map(Value::as_object);
            let names = objects.clone().take(1).map(|one| one.keys().cloned().collect());
            names.chain(objects.map(|one| one.values().map(text).collect())).collect()
        }
        Value::Object(one) => one.iter().map(|(name, value)| vec![name.clone(), text(value)]).collect(),
        other => vec![vec![text(other)]],
    };
    let width = |column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
