//! `cargo local`: the endpoint on this machine, over an emulator of DynamoDB.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use scim_lambda::app::{App, World};
use scim_lambda::config::Config;
use scim_lambda::cursor::CursorKey;
use scim_lambda::local;
use scim_lambda::scim::policy::Policy;
use scim_lambda::store::{Store, TenantName, TenantRecord, TokenRecord};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

const TABLE: &str = "scim";
const TENANT: &str = "demo";

/// Runs the SCIM endpoint at http://127.0.0.1:3000/scim/v2, over an emulator of
/// DynamoDB in this process, with a tenant `demo`.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
struct Options {
    /// Port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Keep the directory in this file instead of in memory
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// When ready, print one line of JSON to stdout: baseUrl, token, tenant, dynamodb, table
    #[arg(long)]
    json: bool,
    /// Accept this token, `scim_demo_<key id>_<secret>`, instead of making one
    #[arg(long)]
    token: Option<String>,
    /// Set a policy of the tenant: interpretation=tolerant|strict, userName=readWrite|immutable
    #[arg(long, value_name = "KEY=VALUE")]
    policy: Vec<String>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
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

async fn run(options: Options) -> Result<()> {
    let listener =
        TcpListener::bind(("127.0.0.1", options.port)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("port {} is taken: choose another with --port", options.port)
            }
            _ => format!("port {}: {error}", options.port),
        })?;
    let base_url = format!("http://{}/scim/v2", listener.local_addr()?);
    let dynamodb = local::emulator(options.data.as_deref()).await?;
    let client = aws_sdk_dynamodb::Client::from_conf(local::client_config(&dynamodb).build());
    local::create_table(&client, TABLE).await?;
    let world = World::real();
    let store = Store::new(client.clone(), TABLE, Arc::clone(&world.ids), Arc::clone(&world.dice));
    let token = create_demo(&store, &world, &options).await?;
    if options.json {
        let ready = json!({ "baseUrl": base_url, "token": token, "tenant": TENANT, "dynamodb": dynamodb, "table": TABLE });
        println!("{ready}");
    } else {
        println!("{}", greeting(&base_url, &token, &dynamodb));
    }
    let mut config = Config::new(TABLE);
    config.cursor_key = CursorKey::parse(&random_digits()?);
    local::serve(listener, Arc::new(App::new(config, client, world)), stopped()).await?;
    Ok(())
}

/// The tenant and a token for it. Only the hash of a token is kept, so each
/// start makes another; those of earlier starts on the same file go on working.
async fn create_demo(store: &Store, world: &World, options: &Options) -> Result<String> {
    let tenant = TenantName::parse(TENANT).ok_or("the name of the tenant is not valid")?;
    let policy = policy(&options.policy)?;
    let now = (world.now)();
    let created =
        store.create_tenant(&tenant, &TenantRecord { created: now, policy: policy.clone() }).await?;
    if !created && !options.policy.is_empty() {
        store.set_policy(&tenant, &policy).await?;
    }
    let token = match &options.token {
        Some(token) => token.clone(),
        None => {
            let kid = format!("{:08x}", (world.ids)().as_fields().0);
            format!("scim_{TENANT}_{kid}_{}", random_digits()?)
        }
    };
    let parts = token.strip_prefix("scim_demo_").and_then(|rest| rest.split_once('_'));
    let (kid, secret) = parts.ok_or("--token has to look like scim_demo_<key id>_<secret>")?;
    store.create_token(&tenant, kid, &TokenRecord::new(secret, now)).await?;
    Ok(token)
}

/// 256 random bits in hexadecimal digits.
fn random_digits() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn policy(settings: &[String]) -> Result<Policy> {
    let mut policy = Map::new();
    for setting in settings {
        let (key, value) =
            setting.split_once('=').ok_or_else(|| format!("--policy {setting}: no = in it"))?;
        policy.insert(key.to_owned(), value.into());
    }
    serde_json::from_value(Value::Object(policy)).map_err(|error| format!("--policy: {error}").into())
}

fn greeting(base_url: &str, token: &str, dynamodb: &str) -> String {
    format!(
        r#"SCIM 2.0 at  {base_url}
Bearer token {token}
DynamoDB at  {dynamodb}, table {TABLE}, tenant {TENANT}

curl -sH 'Authorization: Bearer {token}' {base_url}/ServiceProviderConfig
curl -sH 'Authorization: Bearer {token}' -H 'Content-Type: application/scim+json' {base_url}/Users -d '{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"sarah.jones@example.com","active":true,"name":{{"givenName":"Sarah","familyName":"Jones"}}}}'
curl -sGH 'Authorization: Bearer {token}' {base_url}/Users --data-urlencode 'filter=userName eq "sarah.jones@example.com"'

Ctrl-C stops it."#
    )
}

/// Ctrl-C, or the signal with which containers are stopped.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
            return;
        }
    }
    // Without a handler for the signal there is nothing to wait for but the end.
    if interrupt.await.is_err() {
        std::future::pending::<()>().await;
    }
}
