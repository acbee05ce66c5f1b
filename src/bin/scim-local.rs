//! `cargo local`: the endpoint on this machine, over an emulator of DynamoDB.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use jiff::{Timestamp, Unit};
use scim_lambda::app::{App, Sources};
use scim_lambda::auth::Token;
use scim_lambda::auth::secret;
use scim_lambda::config::{Config, read_definitions};
use scim_lambda::cursor::CursorKey;
use scim_lambda::local;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::registry::Registry;
use scim_lambda::scim::resource::Attributes;
use scim_lambda::store::{AuditTrail, Store, TenantName, TenantRecord, TokenRecord, Write};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const TABLE: &str = "scim";
const TENANT: &str = "demo";

/// Runs the SCIM endpoint on this machine, over an emulator of DynamoDB in this
/// process, with a tenant `demo`.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
struct Options {
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Where the emulator of DynamoDB listens, which checks no credentials; port 0 takes any
    /// that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = local::LOOPBACK)]
    dynamodb: SocketAddr,
    /// Keep the directory in this file instead of in memory
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// When ready, print one line of JSON to stdout: baseUrl, token, tenant, dynamodb, table
    #[arg(long)]
    json: bool,
    /// Accept this token, `scim_demo_<key id>_<secret>`, instead of making one
    #[arg(long, value_parser = demo_token)]
    token: Option<String>,
    /// Set a policy of the tenant: interpretation=tolerant|strict, unknownAttributes=ignore|refuse,
    /// userName=readWrite|immutable, groupNames=unique|free, unknownMembers=refuse|accept,
    /// unknownRoles=accept|refuse, groupCycles=refuse|accept, patchAnswer=default|representation,
    /// massRemoval.members=N|null, massRemoval.percent=N|null, pageSize.default=N|null, pageSize.max=N|null,
    /// rateLimit.perSecond=N|null, rateLimit.burst=N|null
    #[arg(long, value_name = "KEY=VALUE", value_parser = Policy::parse_setting)]
    policy: Vec<(String, String)>,
    /// Add the schemas and resource types of this JSON file, or of those of this folder
    #[arg(long, value_name = "PATH")]
    definitions: Option<PathBuf>,
    /// Bind the token to the user of this userName, for /Me; made if there is none
    #[arg(long, value_name = "USERNAME")]
    me: Option<String>,
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        // The emulator warns of each condition that fails, and conditions are
        // there to fail.
        .with_env_filter(EnvFilter::new("info,dynoxide=error"))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo local: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo_token(text: &str) -> Result<String, String> {
    match Token::parse(text) {
        Some(token) if token.tenant.as_str() == TENANT => Ok(text.to_owned()),
        _ => {
            Err("it has to look like scim_demo_<key id>_<secret>, with letters, digits and hyphens"
                .to_owned())
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let stop = stop()?;
    let listener = TcpListener::bind(("127.0.0.1", options.port))
        .await
        .map_err(|error| taken(&error, &format!("port {}", options.port), "--port"))?;
    let base_url = format!("http://{}/scim/v2", listener.local_addr()?);
    let database = local::database(options.data.as_deref()).map_err(|error| match &options.data {
        Some(file) => format!("--data {}: {error}", file.display()),
        None => error.to_string(),
    })?;
    let dynamodb =
        local::emulate(database, options.dynamodb).await.map_err(|error| match error.downcast() {
            Ok(error) => taken(&error, &options.dynamodb.to_string(), "--dynamodb"),
            Err(error) => error.to_string(),
        })?;
    let client = aws_sdk_dynamodb::Client::from_conf(local::client_config(&dynamodb).build());
    local::create_table(&client, TABLE).await?;
    let sources = Sources::system();
    let store = Store::new(client.clone(), TABLE, Arc::clone(&sources.ids), Arc::clone(&sources.jitter));
    let token = match &options.token {
        Some(token) => token.clone(),
        None => new_token()?,
    };
    create_demo(&store, &sources, &token, &options).await?;
    if options.json {
        let ready = json!({ "baseUrl": base_url, "token": token, "tenant": TENANT, "dynamodb": dynamodb, "table": TABLE });
        println!("{ready}");
    } else {
        println!("{}", greeting(&base_url, &token, &dynamodb));
    }
    let mut config = Config::new(TABLE);
    if let Some(path) = &options.definitions {
        config.definitions = read_definitions(path).map_err(|error| format!("--definitions {error}"))?;
    }
    config.cursor_key = CursorKey::parse(&secret::digits(32)?);
    let app = Arc::new(App::new(config, client, sources));
    tokio::spawn(sweep_every_minute(Arc::clone(&app)));
    local::serve(listener, app, stop).await?;
    Ok(())
}

fn taken(error: &io::Error, place: &str, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{place} is taken: choose another with {option}"),
        _ => format!("{place}: {error}"),
    }
}

/// On AWS a schedule does this.
async fn sweep_every_minute(app: Arc<App>) {
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
        app.sweep().await;
    }
}

/// Resolves at Ctrl-C, or at the signal with which containers are stopped. Both
/// are caught from the moment this returns.
fn stop() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

/// Only the hash of a token is kept, so each start makes another. Those of
/// earlier starts on the same file go on working.
fn new_token() -> Result<String> {
    Ok(format!("scim_{TENANT}_{}_{}", secret::digits(4)?, secret::digits(32)?))
}

/// The tenant, unless it is there; what the options change of its policy; a token
/// for it.
async fn create_demo(store: &Store, sources: &Sources, token: &str, options: &Options) -> Result<()> {
    let Token { tenant, kid, secret } = Token::parse(token).ok_or("the token is not valid")?;
    let now = (sources.now)();
    let now = now.round(Unit::Millisecond).unwrap_or(now);
    store.create_tenant(&tenant, &TenantRecord::new(now)).await?;
    let TenantRecord { policy, .. } = store.tenant(&tenant).await?.ok_or("the tenant was not kept")?;
    let policy = policy.with(&options.policy)?;
    if !options.policy.is_empty() {
        store.set_policy(&tenant, &policy).await?;
    }
    let user = match &options.me {
        Some(name) => Some(user(store, &tenant, &policy, name, now).await?),
        None => None,
    };
    let wanted = TokenRecord { user, ..TokenRecord::new(secret, now) };
    store.create_token(&tenant, kid, &wanted).await?;
    let (kept, _) = store.token(&tenant, kid).await?.ok_or("the token was not kept")?;
    if kept.sha256 != wanted.sha256 {
        return Err(format!("--token: the key id {kid} is in use with another secret").into());
    }
    if wanted.user.is_some() && kept.user != wanted.user {
        return Err(format!("--me: the token with the key id {kid} is not bound to this user").into());
    }
    Ok(())
}

/// The id of the user of this name, who is made if there is none.
async fn user(
    store: &Store,
    tenant: &TenantName,
    policy: &Policy,
    name: &str,
    now: Timestamp,
) -> Result<String> {
    let registry = Registry::new(policy);
    let kind = registry.resource_type("User").ok_or("there is no resource type User")?;
    if let Some(there) = store.owner(tenant, kind, &"userName".parse()?, name).await? {
        return Ok(there.id);
    }
    let attributes = Attributes::from_iter([("userName".to_owned(), name.into())]);
    let made = store
        .create(Write { tenant, kind, policy, now, trail: &AuditTrail::default() }, attributes, Vec::new())
        .await;
    made.map(|made| made.id).map_err(|error| format!("--me: {error}").into())
}

fn greeting(base_url: &str, token: &str, dynamodb: &str) -> String {
    format!(
        r#"SCIM 2.0 at  {base_url}
Bearer token {token}
DynamoDB at  {dynamodb}, table {TABLE}, tenant {TENANT}

curl -sw '\n' -H 'Authorization: Bearer {token}' {base_url}/ServiceProviderConfig
curl -sw '\n' -H 'Authorization: Bearer {token}' -H 'Content-Type: application/scim+json' {base_url}/Users -d '{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"sarah.jones@example.com","active":true,"name":{{"givenName":"Sarah","familyName":"Jones"}}}}'
curl -sw '\n' -GH 'Authorization: Bearer {token}' {base_url}/Users --data-urlencode 'filter=userName eq "sarah.jones@example.com"'

Ctrl-C stops it."#
    )
}
