//! The endpoint without AWS: the handler behind a small HTTP server, and an emulator
//! of DynamoDB behind the real SDK. Only `cargo local` and the tests compile this; the
//! Lambda package does not.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::app::App;
use crate::lambda::{Event, ON_EVERY_ANSWER, Reply};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The largest request that API Gateway accepts.
const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// The time that a stopping server waits for requests in flight.
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

/// Opens a file. The errors are our own: those of the emulator name its own options.
fn open(file: &Path) -> Result<dynoxide::Database> {
    let name = file.to_str().ok_or("the name of the file is not UTF-8")?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("folder {} not found", folder.display()).into());
    }
    if file.exists() {
        let mut start = Vec::new();
        File::open(file)?.take(SQLITE.len() as u64).read_to_end(&mut start)?;
        // SQLite takes an empty file for a new database.
        if !start.is_empty() && start != SQLITE {
            return Err("the file exists and is not a database".into());
        }
    }
    Ok(dynoxide::Database::new(name)?)
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
    // axum alone would wait without limit for requests in flight.
    let overdue = {
        let stopping = Arc::clone(&stopping);
        async move {
            stopping.notified().await;
            tokio::time::sleep(GRACE).await;
        }
    };
    let stop = async move {
        stop.await;
        // Not `notify_waiters`, which is lost if `overdue` has not been polled yet.
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
        // Always base64: JSON cannot hold a body that is not UTF-8.
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
    for (name, value) in ON_EVERY_ANSWER {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}
