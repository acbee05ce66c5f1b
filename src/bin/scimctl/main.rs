//! `cargo scimctl`: manages tenants and their tokens, and maintains the table.

mod audit;
mod check;
mod erase;
mod export;
mod import;
mod key;
mod line;
mod reindex;
mod stats;
mod sweep;
mod tenant;
mod token;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aws_config::BehaviorVersion;
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Unit;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use scim_lambda::config::{absolute_url, dynamodb_endpoint, read_definitions};
use scim_lambda::sources::Sources;
use scim_lambda::store::{Store, TenantName, TenantRecord};
use scim_lambda::telemetry::{self, Format};
use serde_json::{Map, Value};

use self::audit::Audit;
use self::export::Export;
use self::import::Import;
use self::key::Key;
use self::tenant::{Tenant, tenant_name};
use self::token::Token;

const GLOBAL: &str = "Global options";

/// Manages the tenants of a SCIM endpoint and their tokens, and maintains its table.
#[derive(Parser)]
#[command(name = "scimctl", version)]
struct Options {
    /// DynamoDB table
    #[arg(long, env = "SCIM_TABLE", global = true, default_value = "scim", value_parser = NonEmptyStringValueParser::new(), help_heading = GLOBAL)]
    table: String,
    /// DynamoDB endpoint that checks no credentials, such as that of `cargo local`
    #[arg(long, value_name = "URL", global = true, help_heading = GLOBAL)]
    endpoint: Option<String>,
    /// JSON file or folder with the schemas and resource types that the function is packaged with
    #[arg(long, env = "SCIM_DEFINITIONS", value_name = "PATH", global = true, help_heading = GLOBAL)]
    definitions: Option<PathBuf>,
    /// Keep a copy of the audit log of this command in the table for this number of days; 0 keeps
    /// none
    #[arg(long, env = "SCIM_AUDIT_DAYS", value_name = "DAYS", global = true, default_value = "0", value_parser = audit_days, help_heading = GLOBAL)]
    audit_days: u16,
    /// Level of the log on stderr; info has a line for each change
    #[arg(long, env = "SCIM_LOG", value_name = "LEVEL", global = true, default_value = "error", help_heading = GLOBAL)]
    log: String,
    /// Print JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create, change, disable and delete tenants
    #[command(subcommand)]
    Tenant(Tenant),
    /// Create, rotate, list and revoke bearer tokens
    #[command(subcommand)]
    Token(Token),
    /// List and rotate the keys of the deployment
    #[command(subcommand)]
    Key(Key),
    /// Export a tenant to a file, as JSON Lines
    Export(Export),
    /// Import an exported file into a tenant
    #[command(after_help = "Existing resources are left unchanged. An interrupted import is resumed by \
        running it again. Exit status 2: some lines could not be imported.")]
    Import(Import),
    /// Check the items of a tenant against each other
    #[command(after_help = "Reads the whole table, once for all tenants. Exit status 2: findings remain.")]
    Check {
        /// Name of the tenant; all tenants if omitted
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
        /// Repair the findings that need no decision
        #[arg(long)]
        repair: bool,
    },
    /// Run the cleanup jobs that are due, as the function does on a schedule
    Sweep {
        /// Name of the tenant; all tenants if omitted
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
    },
    /// Show the changes of a day, from the copy of the audit log in the table
    Audit {
        /// Name of the tenant
        #[arg(value_parser = tenant_name)]
        tenant: TenantName,
        /// Day in UTC, such as 2026-01-31; today if omitted
        day: Option<Date>,
    },
    /// Count resources, tokens and cleanup jobs
    Stats {
        /// Name of the tenant; all tenants if omitted
        #[arg(value_parser = tenant_name)]
        tenant: Option<TenantName>,
    },
}

/// The output of a command.
struct Answer {
    /// The output with `--json`.
    json: Value,
    /// The output without `--json`: an object, or an array of objects.
    table: Value,
    /// True if something is left to do: exit status 2.
    is_incomplete: bool,
}

impl From<Value> for Answer {
    fn from(json: Value) -> Self {
        Self { table: json.clone(), json, is_incomplete: false }
    }
}

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let sources = Sources::system();
    telemetry::init_command(&options.log, Format::Json, Arc::clone(&sources.now));
    let (json, table_name) = (options.json, options.table.clone());
    match Box::pin(run(options, &sources)).await {
        Ok((answer, status)) => {
            let text = if json { answer.json.to_string() } else { table(&answer.table) };
            // A reader such as `head` may close the pipe early.
            let _closed = writeln!(io::stdout(), "{text}");
            status
        }
        Err(error) => {
            eprintln!("scimctl: {}", advice(&error.to_string(), &table_name));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options, sources: &Sources) -> Result<(Answer, ExitCode)> {
    let store = connect(&options, sources).await?;
    let mut audit = Audit::new(store.clone(), Some(options.audit_days).filter(|days| *days > 0), sources);
    let now = (sources.now)();
    let now = now.round(Unit::Second).unwrap_or(now);
    let packaged = options.definitions.as_deref().map(read_definitions).transpose()?.unwrap_or_default();
    let answer = match options.command {
        Command::Tenant(command) => Box::pin(tenant::run(&store, &packaged, command, &*sources.now)).await?,
        Command::Token(command) => token::run(&store, command, now).await?.into(),
        Command::Key(command) => key::run(&store, command, now).await?.into(),
        Command::Export(export) => export::run(&store, &packaged, export).await?.into(),
        Command::Import(import) => {
            let (done, is_complete) =
                import::run(&store, &packaged, import, &*sources.now, &mut audit).await?;
            return Ok((done.into(), if is_complete { ExitCode::SUCCESS } else { ExitCode::from(2) }));
        }
        Command::Check { tenant, repair } => {
            let tenants = some_tenants(&store, tenant).await?;
            let found = check::run(&store, &packaged, tenants, repair, now, &mut audit).await?;
            let is_left = found.iter().any(|finding| finding["repaired"] != "yes");
            let status = if is_left { ExitCode::from(2) } else { ExitCode::SUCCESS };
            return Ok((Value::from(found).into(), status));
        }
        Command::Sweep { tenant } => {
            let swept = sweep::run(&store, &packaged, tenant, now, &mut audit).await?;
            let status = if swept.errors > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
            return Ok((serde_json::to_value(swept)?.into(), status));
        }
        Command::Audit { tenant, day } => {
            tenant::known(&store, &tenant).await?;
            let day = day.unwrap_or_else(|| TimeZone::UTC.to_datetime(now).date());
            audit::shown(store.directory(&tenant).audit(day, now).await?)
        }
        Command::Stats { tenant } => stats::run(&store, &packaged, tenant).await?.into(),
    };
    let status = if answer.is_incomplete { ExitCode::from(2) } else { ExitCode::SUCCESS };
    Ok((answer, status))
}

/// Parses a number of days. An empty environment variable is 0, as in the function.
fn audit_days(text: &str) -> Result<u16, String> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "must be a number of days".to_owned()) }
}

/// Returns one tenant, or all.
async fn some_tenants(store: &Store, one: Option<TenantName>) -> Result<Vec<(TenantName, TenantRecord)>> {
    if let Some(name) = one {
        let record = tenant::known(store, &name).await?;
        return Ok(vec![(name, record)]);
    }
    let mut all = Vec::new();
    for name in store.tenants().await? {
        // A tenant that is being deleted is listed, without a record.
        if let Some(record) = store.tenant(&name).await? {
            all.push((name, record));
        }
    }
    Ok(all)
}

/// Asks for confirmation before a step that cannot be undone.
fn confirm(yes: bool, consequence: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(format!("{consequence} Pass --yes to confirm").into());
    }
    eprint!("{consequence} Continue? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err("cancelled, nothing was changed".into())
    }
}

/// Returns a bar, or a count if the length is not known. It is drawn on a terminal only.
fn progress(length: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {human_pos}/{human_len} {msg} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} {msg}"),
    };
    let bar = bar.with_message(what);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn connect(options: &Options, sources: &Sources) -> Result<Store> {
    if let Some(endpoint) = &options.endpoint {
        let endpoint = absolute_url("--endpoint", endpoint.clone())?;
        return Ok(Store::connect_local(&endpoint, &options.table, sources));
    }
    let endpoint = dynamodb_endpoint(environment)?;
    let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
    Ok(Store::connect(&shared, endpoint.as_deref(), &options.table, sources))
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Shortens an error of the AWS SDK to one line, with a remedy where it is known.
fn advice(error: &str, table: &str) -> String {
    let known = [
        ("ResourceNotFoundException", format!("table {table} not found: check --table and AWS_REGION")),
        (
            "AccessDeniedException",
            format!(
                "access to table {table} denied: docs/operate.md lists the permissions that scimctl needs"
            ),
        ),
        (
            "credential provider",
            "no AWS credentials found: log in as for the AWS CLI, or pass --endpoint".to_owned(),
        ),
        ("Missing Region", "no AWS region found: set AWS_REGION".to_owned()),
        (
            "Connection refused",
            "connection to DynamoDB refused: check that the endpoint is running".to_owned(),
        ),
    ];
    let found = known.into_iter().find(|(sign, _)| error.contains(sign)).map(|(_, advice)| advice);
    found.unwrap_or_else(|| error.lines().next().unwrap_or_default().to_owned())
}

/// Renders an array as one line for each object, below a line of names; an object as one
/// line for each member.
fn table(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = match answer {
        Value::Array(none) if none.is_empty() => vec![vec!["none".to_owned()]],
        Value::Array(all) => {
            let objects: Vec<&Map<String, Value>> = all.iter().filter_map(Value::as_object).collect();
            let mut names: Vec<&String> = Vec::new();
            for name in objects.iter().flat_map(|object| object.keys()) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let row =
                |object: &&Map<String, Value>| names.iter().map(|name| cell(object.get(*name))).collect();
            let head = names.iter().map(|name| (*name).clone()).collect();
            std::iter::once(head).chain(objects.iter().map(row)).collect()
        }
        Value::Object(one) => one.iter().map(|(name, value)| vec![name.clone(), cell(Some(value))]).collect(),
        other => vec![vec![cell(Some(other))]],
    };
    let length = |cell: &String| cell.chars().count();
    let width = |column| rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => {
            let cells: Vec<String> = all.iter().map(|value| cell(Some(value))).collect();
            cells.join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Options;

    #[test]
    fn every_command_and_argument_has_a_help_text() {
        fn check(command: &Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no help text");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {} has no help text", argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Options::command());
    }
}
