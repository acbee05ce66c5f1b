//! Runs the endpoint without AWS: the handler behind a small HTTP server, and an emulator
//! of DynamoDB behind the real SDK. Only `cargo local` and the tests compile this; the
//! Lambda package does not.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use axum::body::{Body, Bytes, to_bytes};
use axum::http;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::app::App;
use crate::lambda::{Event, Reply};
use crate::store;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The largest request that API Gateway accepts.
const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// How long the server waits, when it is stopped, for clients that have begun a request.
const GRACE: Duration = Duration::from_secs(2);

/// The first bytes of every `SQLite` file.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Opens tables in a file, or in memory. The end of the runtime closes the file.
pub fn database(file: Option<&Path>) -> Result<dynoxide::Database> {
    match file {
        Some(file) => open(file),
        None => Ok(dynoxide::Database::memory()?),
    }
}

/// Any free port of this machine: the default address of the emulator.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Starts an emulator in this process, and returns its URL. It checks no credentials: every
/// client that reaches the address may use it. Port 0 takes any free port.
pub async fn emulate(database: dynoxide::Database, address: SocketAddr) -> Result<String> {
    let listener = TcpListener::bind(address).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(endpoint)
}

/// Opens a file, with errors of our own: those of the emulator name its own options.
fn open(file: &Path) -> Result<dynoxide::Database> {
    let name = file.to_str().ok_or("the name of the file is not UTF-8")?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("folder {} not found", folder.display()).into());
    }
    if file.exists() {
        let mut start = Vec::new();
        File::open(file)?.take(SQLITE.len() as u64).read_to_end(&mut start)?;
        if !start.is_empty() && start != SQLITE {
            return Err("the file exists and is not a database".into());
        }
    }
    Ok(dynoxide::Database::new(name)?)
}

/// Returns the settings of the client that runs on AWS, for an endpoint that checks no
/// credentials.
pub fn client_config(endpoint: &str) -> aws_sdk_dynamodb::config::Builder {
    let shared = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .build();
    store::client_config(&shared).credentials_provider(Credentials::new(
        "local",
        "local",
        None,
        None,
        "scim-local",
    ))
}

/// Creates the table if it does not exist. It has no stream: in the emulator each write to
/// a stream takes longer than the one before.
pub async fn create_table(client: &Client, table: &str) -> Result<()> {
    let attribute = |name: &str| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
    };
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let index = |name: &str, hash: &str, range: &str| {
        GlobalSecondaryIndex::builder()
            .index_name(name)
            .key_schema(key(hash, KeyType::Hash)?)
            .key_schema(key(range, KeyType::Range)?)
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
            .build()
    };
    let created = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk")?)
        .attribute_definitions(attribute("sk")?)
        .attribute_definitions(attribute("member_pk")?)
        .attribute_definitions(attribute("change_pk")?)
        .attribute_definitions(attribute("hour")?)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?)
        .global_secondary_indexes(index("members", "member_pk", "pk")?)
        .global_secondary_indexes(index("changes", "change_pk", "hour")?)
        .send()
        .await;
    match created {
        Ok(_) => {}
        Err(error)
            if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let ttl = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build()?;
    client.update_time_to_live().table_name(table).time_to_live_specification(ttl).send().await?;
    Ok(())
}

/// Serves until `stop` resolves, and for two more seconds while requests are in flight.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = axum::Router::new().fallback(move |request: http::Request<Body>| {
        let app = Arc::clone(&app);
        async move { answer(&app, request).await }
    });
    let stopping = Arc::new(Notify::new());
    let overdue = {
        let stopping = Arc::clone(&stopping);
        async move {
            stopping.notified().await;
            tokio::time::sleep(GRACE).await;
        }
    };
    let stop = async move {
        stop.await;
        stopping.notify_one();
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stop).into_future() => served,
        () = overdue => Ok(()),
    }
}

async fn answer(app: &App, request: http::Request<Body>) -> http::Response<Body> {
    let (head, body) = request.into_parts();
    let event = match to_bytes(body, MAX_REQUEST_BYTES).await {
        Ok(body) => serde_json::from_value::<Event>(event(&head, &body)),
        Err(_) => return plain(413, "the request is larger than API Gateway accepts, 10 MB"),
    };
    match event {
        Ok(event) => response(app.handle(event).await),
        Err(error) => plain(400, &format!("API Gateway would reject this request: {error}")),
    }
}

/// Returns the event that an HTTP API makes of a request (payload format 2.0).
fn event(head: &http::request::Parts, body: &Bytes) -> Value {
    let path = head.uri.path();
    let mut headers = Map::new();
    for name in head.headers.keys() {
        let values: Vec<_> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        headers.insert(name.to_string(), values.join(",").into());
    }
    // A tunnel in front sets it to https.
    headers.entry("x-forwarded-proto").or_insert("http".into());
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "stage": "$default",
            "http": { "method": head.method.as_str(), "path": path, "protocol": "HTTP/1.1" }
        },
        "body": STANDARD.encode(body),
        "isBase64Encoded": true
    })
}

fn response(reply: Reply) -> http::Response<Body> {
    let (status, headers, body) = match reply {
        Reply::Swept(swept) => {
            let text = serde_json::to_string(&swept).unwrap_or_default();
            (200, http::HeaderMap::new(), Some(text.into()))
        }
        Reply::Rest(reply) => (reply.status_code, reply.headers, reply.body),
        Reply::Http(reply) => (reply.status_code, reply.headers, reply.body),
    };
    let body = body.map(|body| body.to_vec()).unwrap_or_default();
    let mut response = http::Response::new(Body::from(body));
    *response.status_mut() = u16::try_from(status)
        .ok()
        .and_then(|status| http::StatusCode::from_u16(status).ok())
        .unwrap_or_default();
    *response.headers_mut() = headers;
    response
}

fn plain(status: u16, text: &str) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(text.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
