//! The binary that runs on Lambda, run against a Lambda runtime API and a DynamoDB of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::directory::TOKEN;
use crate::support::local_server::Local;

/// SAM local and templates pass an empty variable where one is left out.
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
        let (reply, _) = invoke(&environment, &event);
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
        "Error: \"AWS_ENDPOINT_URL_DYNAMODB must be a URL with http:// or https://, not localhost:8000\"\n"
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

/// CloudWatch silently drops a line that departs from the specification of the embedded metric
/// format.
#[test]
fn the_lines_of_requests_and_sweeps_are_metrics_in_the_embedded_format() {
    let local = Local::start(&["--token", TOKEN]);
    let environment = [("AWS_ENDPOINT_URL_DYNAMODB", local.ready["dynamodb"].as_str().unwrap())];
    let request = json!({
        "version": "2.0",
        "rawPath": "/scim/v2/Users/x",
        "headers": { "authorization": format!("Bearer {TOKEN}"), "x-amzn-trace-id": "Root=1-2-3" },
        "requestContext": { "stage": "$default", "requestId": "r1", "http": { "method": "GET" } },
        "isBase64Encoded": false,
    });
    let sweep: Value = serde_json::from_str(include_str!("../../../events/eventbridge/sweep.json")).unwrap();
    let mut refused = request.clone();
    refused["headers"]["authorization"] = "Bearer x".into();
    for (event, message, dimensions) in [
        (request, "request", vec![vec!["function", "route"]]),
        (refused, "request", vec![vec!["function", "route"], vec!["function", "refused"]]),
        (sweep, "sweep", vec![vec!["function"]]),
    ] {
        let (_, lines) = invoke(&environment, &event);
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = lines.iter().find(|line| line["message"] == message).unwrap();
        let metadata = &line["_aws"];
        let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()
            - u128::from(metadata["Timestamp"].as_u64().unwrap());
        assert!(age < 60_000, "milliseconds since 1970: {line}");
        let directives = metadata["CloudWatchMetrics"].as_array().unwrap();
        assert!(directives.iter().all(|directive| directive["Namespace"] == "ScimLambda"));
        let sets = |directive: &Value| directive["Dimensions"].as_array().unwrap().clone();
        let last: Vec<Value> = directives.iter().map(|one| sets(one).pop().unwrap()).collect();
        assert_eq!(json!(last), json!(dimensions));
        let sets: Vec<Value> = directives.iter().flat_map(sets).collect();
        for set in &sets {
            let names = set.as_array().unwrap();
            assert!((1..=30).contains(&names.len()), "{line}");
            for name in names {
                let value = line[name.as_str().unwrap()].as_str().unwrap();
                assert!(
                    (1..=1_024).contains(&value.len()),
                    "a dimension is a text of the line: {name} {line}"
                );
            }
        }
        let metrics = directives.iter().flat_map(|directive| directive["Metrics"].as_array().unwrap());
        for metric in metrics {
            assert!(
                line[metric["Name"].as_str().unwrap()].is_number(),
                "a metric is a number of the line: {metric}"
            );
            assert!(
                ["Milliseconds", "Seconds", "Count"].contains(&metric["Unit"].as_str().unwrap()),
                "{metric}"
            );
        }
        if dimensions == [["function", "route"]] {
            assert_eq!((&line["function"], &line["route"]), (&json!("scim"), &json!("GET /Users/{id}")));
            assert_eq!((&line["request_id"], &line["trace_id"]), (&json!("r1"), &json!("Root=1-2-3")));
            assert_eq!(
                (&line["tenant"], &line["status"], &line["level"]),
                (&json!("demo"), &json!(404), &json!("INFO"))
            );
        }
    }
}

/// The runtime of Lambda logs every event at `trace`.
#[test]
fn no_level_of_the_log_shows_a_token_or_a_body() {
    let local = Local::start(&["--token", TOKEN]);
    let dynamodb = local.ready["dynamodb"].as_str().unwrap();
    let event = json!({
        "version": "2.0",
        "rawPath": "/scim/v2/Users",
        "headers": { "authorization": format!("Bearer {TOKEN}"), "content-type": "application/scim+json" },
        "requestContext": { "stage": "$default", "http": { "method": "POST" } },
        "body": json!({ "userName": "sarah.jones", "password": "t1meMa$heen" }).to_string(),
        "isBase64Encoded": false,
    });
    for level in ["trace", "lambda_runtime=trace,hyper=trace,aws_smithy_runtime=trace,info", "debug"] {
        let environment = [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb), ("SCIM_LOG", level)];
        let (reply, log) = invoke(&environment, &event);
        assert!([201, 409].contains(&reply["statusCode"].as_i64().unwrap()), "{reply}");
        assert!(log.contains(r#""message":"request""#), "{level}: {log}");
        for secret in ["000000000000", "scim_demo", "sarah", "t1meMa"] {
            assert!(!log.contains(secret), "{level}: {secret} in {log}");
        }
    }
}

/// Passes one event through the Lambda runtime API. Returns the reply of the function and its log.
fn invoke(environment: &[(&str, &str)], event: &Value) -> (Value, String) {
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = api.local_addr().unwrap().to_string();
    let mut command = function(environment);
    let command = command.env("AWS_LAMBDA_RUNTIME_API", address).stdout(Stdio::piped());
    let mut running = Function(command.spawn().unwrap());
    let mut log = running.0.stdout.take().unwrap();
    loop {
        // Each answer says `Connection: close`, so a connection carries one request.
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
            drop(running);
            let mut lines = String::new();
            log.read_to_string(&mut lines).unwrap();
            return (serde_json::from_str(&body).unwrap(), lines);
        }
    }
}

/// Reads the request line and the body, which has a known length or comes in chunks.
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
