//! The binary that runs on Lambda, between a runtime API and a DynamoDB of our own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::TOKEN;
use crate::local::Local;

/// SAM local and templates turn a variable that is left out into an empty one.
#[test]
fn an_empty_endpoint_of_dynamodb_counts_as_not_set() {
    let local = Local::start(&["--token", TOKEN]);
    let dynamodb = local.ready["dynamodb"].as_str().unwrap();
    let event = json!({
        "version": "2.0",
        "rawPath": "/scim/v2/Users",
        "headers": { "authorization": format!("Bearer {TOKEN}") },
        "requestContext": { "stage": "$default", "http": { "method": "GET" } },
        "isBase64Encoded": false,
    });
    for environment in [
        [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb), ("AWS_ENDPOINT_URL", "")],
        [("AWS_ENDPOINT_URL_DYNAMODB", ""), ("AWS_ENDPOINT_URL", dynamodb)],
    ] {
        let reply = invoke(&environment, &event);
        assert_eq!(reply["statusCode"], 200, "{reply}");
    }
}

#[test]
fn a_variable_that_cannot_be_used_ends_it_at_once() {
    let output = function(&[("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "Error: \"AWS_ENDPOINT_URL_DYNAMODB has to be a URL with http:// or https://, not localhost:8000\"\n"
    );
}

fn function(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scim-lambda"));
    command
        .env_clear()
        .envs([
            ("SCIM_TABLE", "scim"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_LAMBDA_FUNCTION_NAME", "scim"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"),
        ])
        .envs(environment.iter().copied())
        .stdout(Stdio::null());
    command
}

struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// One event through the Lambda runtime API, and what the function answers.
fn invoke(environment: &[(&str, &str)], event: &Value) -> Value {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = api.local_addr().unwrap().to_string();
    let mut command = function(environment);
    let _running = Function(command.env("AWS_LAMBDA_RUNTIME_API", address).spawn().unwrap());
    loop {
        // `Connection: close` in each answer: one request per connection.
        let (mut stream, _) = api.accept().unwrap();
        let (line, body) = read_request(&mut BufReader::new(&stream));
        if line.starts_with("GET /2018-06-01/runtime/invocation/next ") {
            let event = event.to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nLambda-Runtime-Aws-Request-Id: 1\r\n\
                 Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:scim\r\n\
                 Content-Length: {}\r\n\r\n{event}",
                event.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        } else {
            assert!(line.starts_with("POST /2018-06-01/runtime/invocation/1/response "), "{line} {body}");
            return serde_json::from_str(&body).unwrap();
        }
    }
}

/// The request line and the body, of a known length or in chunks.
fn read_request(stream: &mut impl BufRead) -> (String, String) {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let request = line();
    let headers: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
    let header = |name: &str| {
        headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned))
    };
    let length = header("content-length: ").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    if header("transfer-encoding: chunked").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).unwrap();
            let mut chunk = vec![0; usize::from_str_radix(size.trim_end(), 16).unwrap() + 2];
            stream.read_exact(&mut chunk).unwrap();
            if chunk.len() == 2 {
                break;
            }
            chunk.truncate(chunk.len() - 2);
            body.extend(chunk);
        }
    } else {
        stream.read_exact(&mut body).unwrap();
    }
    (request, String::from_utf8(body).unwrap())
}
