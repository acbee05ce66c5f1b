//! `cargo local`: runs the endpoint on this machine, over an emulator of DynamoDB.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use jiff::{Timestamp, Unit};
use scim_lambda::app::App;
use scim_lambda::auth::Token;
use scim_lambda::auth::token::digits;
use scim_lambda::config::{Config, read_definitions};
use scim_lambda::local;
use scim_lambda::scim::decode::Reader;
use scim_lambda::scim::policy::Policy;
use scim_lambda::scim::quirks::Leeway;
use scim_lambda::scim::registry::Registry;
use scim_lambda::sources::Sources;
use scim_lambda::store::{AuditTrail, Store, TenantName, TenantRecord, TokenRecord, WriteContext};
use scim_lambda::telemetry::{self, Format};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const TABLE: &str = "scim";
const TENANT: &str = "demo";

/// Runs the SCIM endpoint on this machine, over an emulator of DynamoDB in the same
/// process, with a tenant `demo`.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
struct Options {
    /// Port of the endpoint; 0 takes any free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Address of the emulator, which checks no credentials; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = local::LOOPBACK)]
    dynamodb: SocketAddr,
    /// Keep the directory in this file instead of in memory
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// When ready, print one line of JSON to stdout: baseUrl, token, tenant, dynamodb, table. The
    /// log on stderr is JSON, too
    #[arg(long)]
    json: bool,
    /// Accept this token, `scim_demo_<key id>_<secret>`, instead of a new random one
    #[arg(long, value_parser = demo_token)]
    token: Option<String>,
    /// Set a policy of the tenant; can be repeated: interpretation=tolerant|strict,
    /// unknownAttributes=ignore|refuse, userName=readWrite|immutable, groupNames=unique|free,
    /// unknownMembers=refuse|accept, unknownRoles=accept|refuse, groupCycles=refuse|accept,
    /// patchAnswer=default|representation, massRemoval.members=N|null, massRemoval.percent=N|null,
    /// pageSize.default=N|null, pageSize.max=N|null, rateLimit.perSecond=N|null,
    /// rateLimit.burst=N|null
    #[arg(long, value_name = "KEY=VALUE", value_parser = Policy::parse_setting)]
    policy: Vec<(String, String)>,
    /// Add the schemas and resource types of this JSON file, or of the files in this folder
    #[arg(long, value_name = "PATH")]
    definitions: Option<PathBuf>,
    /// Bind the token to the user with this userName, for /Me; the user is created if missing
    #[arg(long, value_name = "USERNAME")]
    me: Option<String>,
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let sources = Sources::system();
    let format = if options.json { Format::Json } else { Format::Short };
    // The emulator warns of each condition that fails, which is how conflicts are found.
    telemetry::init_command("info,dynoxide=error", format, Arc::clone(&sources.now));
    match run(options, sources).await {
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
        _ => Err("must be scim_demo_<key id>_<secret>, of letters, digits and hyphens".to_owned()),
    }
}

async fn run(options: Options, sources: Sources) -> Result<()> {
    // First: a signal during the start would otherwise end the process before the database
    // is closed.
    let stop = stop()?;
    let mut config = Config::new(TABLE);
    // A tunnel in front sets them, and `local` sets the scheme.
    config.forwarded_headers = true;
    if let Some(path) = &options.definitions {
        config.definitions = read_definitions(path).map_err(|error| format!("--definitions {error}"))?;
    }
    // Before the database is opened: a port that is in use must not leave a new file.
    let listener = TcpListener::bind(("127.0.0.1", options.port))
        .await
        .map_err(|error| unusable(&error, &format!("port {}", options.port), "--port"))?;
    let base_url = format!("http://{}/scim/v2", listener.local_addr()?);
    let database = local::database(options.data.as_deref()).map_err(|error| match &options.data {
        Some(file) => format!("--data {}: {error}", file.display()),
        None => error.to_string(),
    })?;
    let dynamodb =
        local::emulate(database, options.dynamodb).await.map_err(|error| match error.downcast() {
            Ok(error) => unusable(&error, &options.dynamodb.to_string(), "--dynamodb"),
            Err(error) => error.to_string(),
        })?;
    let store = Store::connect_local(&dynamodb, TABLE, &sources);
    store.create_table().await?;
    let token = match &options.token {
        Some(token) => token.clone(),
        None => new_token()?,
    };
    create_demo(&store, &sources, &token, &options).await?;
    let app = Arc::new(App::new(config, store, sources));
    tokio::spawn(sweep_every_minute(Arc::clone(&app)));
    // Connections wait in the listener until `serve` accepts them.
    if options.json {
        let ready = json!({ "baseUrl": base_url, "token": token, "tenant": TENANT, "dynamodb": dynamodb, "table": TABLE });
        println!("{ready}");
    } else {
        println!("{}", banner(&base_url, &token, &dynamodb));
    }
    local::serve(listener, app, stop).await?;
    Ok(())
}

fn unusable(error: &io::Error, place: &str, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{place} is in use: pass another with {option}"),
        _ => format!("{place}: {error}"),
    }
}

/// Sweeps as the schedule on AWS does.
async fn sweep_every_minute(app: Arc<App>) {
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
        app.sweep().await;
    }
}

/// Resolves at Ctrl-C, or at the signal that stops containers. Both are caught from the
/// moment this returns.
fn stop() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

/// Only the hash of a token is kept, so each start creates another. The tokens of earlier
/// starts on the same file stay valid.
fn new_token() -> Result<String> {
    Ok(format!("scim_{TENANT}_{}_{}", digits(4)?, digits(32)?))
}

/// Creates the tenant if it is missing, changes its policy as the options say, and creates
/// its token.
async fn create_demo(store: &Store, sources: &Sources, token: &str, options: &Options) -> Result<()> {
    let Token { tenant, kid, secret } = Token::parse(token).ok_or("the token is invalid")?;
    let now = (sources.now)();
    let now = now.round(Unit::Millisecond).unwrap_or(now);
    // A tenant of an earlier start, with `--data`, is left as it is.
    store.create_tenant(&tenant, &TenantRecord::new(now)).await?;
    let TenantRecord { policy, .. } =
        store.tenant(&tenant).await?.ok_or("the tenant is missing after its creation")?;
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
    // Read back: an existing token is left as it is, and with another secret it would reject
    // every request.
    let (kept, _) = store.token(&tenant, kid).await?.ok_or("the token is missing after its creation")?;
    if kept.sha256 != wanted.sha256 {
        return Err(format!("--token: key id {kid} exists with another secret").into());
    }
    if wanted.user.is_some() && kept.user != wanted.user {
        return Err(format!("--me: the existing token with key id {kid} is not bound to this user").into());
    }
    Ok(())
}

/// Returns the id of the user with this name, and creates the user if missing.
async fn user(
    store: &Store,
    tenant: &TenantName,
    policy: &Policy,
    name: &str,
    now: Timestamp,
) -> Result<String> {
    let registry = Registry::new(policy);
    let kind = registry.resource_type("User").ok_or("resource type User not found")?;
    let users = store.directory(tenant).collection(kind);
    if let Some(existing) = users.owner(&"userName".parse()?, name).await? {
        return Ok(existing.id);
    }
    let body = json!({ "schemas": [kind.schema.id], "userName": name });
    let attributes = Reader::new(kind, Leeway::of(policy))
        .new_resource(&body)
        .map_err(|error| format!("--me: {error}"))?;
    let context = WriteContext { policy, now, audit: &AuditTrail::default() };
    let created = users.writer(context).create(attributes, Vec::new()).await;
    created.map(|created| created.id).map_err(|error| format!("--me: {error}").into())
}

fn banner(base_url: &str, token: &str, dynamodb: &str) -> String {
    format!(
        r#"
SCIM 2.0  {base_url}  (Ctrl-C stops it)
Token     {token}
DynamoDB  {dynamodb}, table {TABLE}, tenant {TENANT}

export BASE={base_url} AUTH='Authorization: Bearer {token}'
curl -sw '\n' -H "$AUTH" $BASE/ServiceProviderConfig
curl -sw '\n' -H "$AUTH" $BASE/Users -d '{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"sarah.jones@example.com"}}' -H 'Content-Type: application/scim+json'
curl -sw '\n' -H "$AUTH" -G $BASE/Users --data-urlencode 'filter=userName eq "sarah.jones@example.com"'
cargo scimctl --endpoint {dynamodb} tenant show {TENANT}
"#
    )
}
