//! `cargo scimctl`: tenants and their tokens, for whoever operates the endpoint.

mod check;
mod erase;
mod export;
mod import;
mod line;
mod stats;
mod tenant;
mod token;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Unit;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use scim_lambda::app::Sources;
use scim_lambda::config::{absolute_url, dynamodb_endpoint, read_definitions};
use scim_lambda::store::{self, AuditTrail, Store, Swept, TenantName, TenantRecord};
use serde_json::Value;

use self::export::Export;
use self::import::Import;
use self::tenant::{Tenant, tenant_name};
use self::token::Token;

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
    /// The schemas and resource types that the function is packaged with
    #[arg(long, env = "SCIM_DEFINITIONS", value_name = "PATH", global = true)]
    definitions: Option<PathBuf>,
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
    /// Write all that a tenant has into a file, as JSON Lines
    Export(Export),
    /// Put what a file has into a tenant. What is there is left as it is, so that it
    /// can be run again. Ends with status 2 if some of it could not be
    Import(Import),
    /// Compare everything that a tenant has with what its resources say there has to
    /// be. Reads the whole table. Ends with status 2 if something is left that is wrong
    Check {
        /// This tenant alone
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
        /// Mend what needs no decision
        #[arg(long)]
        repair: bool,
    },
    /// Do the jobs that are due, as the function does on a schedule
    Sweep {
        /// Of this tenant alone
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
    },
    /// What was changed on a day, if the function keeps a copy of its audit log
    Audit {
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// By UTC, as 2026-01-31; today if not said
        day: Option<Date>,
    },
    /// How many resources, tokens and jobs there are
    Stats {
        /// Of this tenant alone
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
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
    let (json, table_name) = (options.json, options.table.clone());
    match run(options).await {
        Ok((answer, status)) => {
            println!("{}", if json { answer.to_string() } else { table(&answer) });
            status
        }
        Err(error) => {
            eprintln!("scimctl: {}", advice(&error.to_string(), &table_name));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(Value, ExitCode)> {
    let store = connect(&options).await?;
    let now = (Sources::system().now)();
    let now = now.round(Unit::Second).unwrap_or(now);
    let packaged = options.definitions.as_deref().map(read_definitions).transpose()?.unwrap_or_default();
    let answer = match options.command {
        Command::Tenant(command) => tenant::run(&store, command, now).await,
        Command::Token(command) => token::run(&store, command, now).await,
        Command::Export(export) => export::run(&store, &packaged, export).await,
        Command::Import(import) => {
            let (done, is_whole) = import::run(&store, &packaged, import, now).await?;
            return Ok((done, if is_whole { ExitCode::SUCCESS } else { ExitCode::from(2) }));
        }
        Command::Check { tenant, repair } => {
            let tenants = some_tenants(&store, tenant).await?;
            let found = check::run(&store, &packaged, tenants, repair, now).await?;
            let is_left = found.iter().any(|finding| finding["repaired"] != "yes");
            return Ok((found.into(), if is_left { ExitCode::from(2) } else { ExitCode::SUCCESS }));
        }
        Command::Sweep { tenant } => {
            let mut swept = Swept::default();
            for (name, record) in some_tenants(&store, tenant).await? {
                let kinds = record.registry(&packaged)?.resource_types;
                store.sweep_tenant(&name, &kinds, now, &AuditTrail::default(), &mut swept).await?;
            }
            Ok(serde_json::to_value(swept)?)
        }
        Command::Audit { tenant, day } => {
            tenant::known(&store, &tenant).await?;
            let day = day.unwrap_or_else(|| TimeZone::UTC.to_datetime(now).date());
            Ok(store.audit(&tenant, day, now).await?.into())
        }
        Command::Stats { tenant } => stats::run(&store, &packaged, tenant).await,
    };
    Ok((answer?, ExitCode::SUCCESS))
}

/// One tenant, or all.
async fn some_tenants(store: &Store, one: Option<TenantName>) -> Result<Vec<(TenantName, TenantRecord)>> {
    if let Some(name) = one {
        let record = tenant::known(store, &name).await?;
        return Ok(vec![(name, record)]);
    }
    let mut all = Vec::new();
    for name in store.tenants().await? {
        // One that is being deleted is listed, too.
        if let Some(record) = store.tenant(&name).await? {
            all.push((name, record));
        }
    }
    Ok(all)
}

/// Before what cannot be taken back.
fn confirm(yes: bool, consequence: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(format!("{consequence} Say --yes if that is meant").into());
    }
    eprint!("{consequence} Go on? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err("left as it is".into()) }
}

/// On a terminal alone.
fn progress(length: Option<u64>, what: &'static str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {msg} {eta}");
    match style {
        Ok(style) if length.is_some() => bar.with_style(style).with_message(what),
        _ => bar.with_message(what),
    }
}

async fn connect(options: &Options) -> Result<Store> {
    let shared = aws_config::defaults(BehaviorVersion::latest());
    let dynamodb = if let Some(endpoint) = &options.endpoint {
        let endpoint = absolute_url("--endpoint", endpoint.clone())?;
        let nobody = Credentials::new("local", "local", None, None, "scimctl");
        let shared = shared.region(Region::from_static("us-east-1")).credentials_provider(nobody);
        store::client_config(&shared.load().await).endpoint_url(endpoint)
    } else {
        let endpoint = dynamodb_endpoint(environment)?;
        let mut dynamodb = store::client_config(&shared.load().await);
        dynamodb.set_endpoint_url(endpoint);
        dynamodb
    };
    let client = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
    let sources = Sources::system();
    Ok(Store::new(client, &options.table, Arc::clone(&sources.ids), Arc::clone(&sources.jitter)))
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What the AWS SDK says at length, and what to do about it, on one line.
fn advice(error: &str, table: &str) -> String {
    let known = [
        (
            "ResourceNotFoundException",
            format!("there is no table {table} here: say which by --table, and where by AWS_REGION"),
        ),
        (
            "AccessDeniedException",
            format!(
                "these credentials may not do that with the table {table}: docs/operate.md says what scimctl needs"
            ),
        ),
        (
            "credential provider",
            "there are no AWS credentials: log in as for the AWS CLI, or say --endpoint".to_owned(),
        ),
        ("Missing Region", "there is no AWS region: set AWS_REGION".to_owned()),
        ("Connection refused", "nothing answers at the endpoint of DynamoDB: is it running?".to_owned()),
    ];
    let found = known.into_iter().find(|(sign, _)| error.contains(sign)).map(|(_, advice)| advice);
    found.unwrap_or_else(|| error.lines().next().unwrap_or_default().to_owned())
}

/// One line for each of a list, its names above; of anything else, one for each name.
fn table(answer: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = match answer {
        Value::Array(none) if none.is_empty() => vec![vec!["none".to_owned()]],
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
