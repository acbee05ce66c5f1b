//! The server of `cargo local`, run as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary of the server.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_scim-local");

/// The time after which a start or stop has failed. Any takes far less.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Dropping it kills the process.
pub(crate) struct Local {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The line that the server prints when it is ready.
    pub(crate) ready: Value,
}

/// The end of a server.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// Output after the first line.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Local {
    /// Starts a server on a free port and waits until it is ready.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--port", "0", "--json"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, stdout, ready }
    }

    pub(crate) fn token(&self) -> &str {
        self.ready["token"].as_str().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let base_url = self.ready["baseUrl"].as_str().unwrap();
        let address = base_url.strip_prefix("http://").and_then(|url| url.strip_suffix("/scim/v2"));
        TcpStream::connect(address.unwrap().parse::<SocketAddr>().unwrap()).unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = self.connect();
        let token = self.token();
        let length = body.len();
        let request = format!(
            "{method} /scim/v2{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}",
            stream.peer_addr().unwrap()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(mut self, signal: &str) -> End {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        End { code: status.code(), stdout, stderr }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Both fail after the process has ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
