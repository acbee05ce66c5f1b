//! `cargo local`, which runs the endpoint on a developer's machine: its options, its files, its
//! end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::directory::TOKEN;
use crate::support::local_server::{BINARY, Local};

const PAT: &str =
    r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"pat@example.com"}"#;

#[test]
fn one_line_of_json_tells_a_script_all_it_needs() {
    let local = Local::start(&[]);
    let mut keys: Vec<&str> = local.ready.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["baseUrl", "dynamodb", "table", "tenant", "token"]);

    let (status, user) = local.request("POST", "/Users", PAT);
    assert_eq!((status, &user["userName"]), (201, &Value::from("pat@example.com")), "{user}");
    let location = user["meta"]["location"].as_str().unwrap();
    assert!(location.starts_with(local.ready["baseUrl"].as_str().unwrap()), "{location}");

    let end = local.stop("INT");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(end.stdout, "", "nothing follows the line");
    let log: Vec<Value> = end.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = log.iter().find(|line| line["message"] == "request").unwrap();
    assert_eq!(
        (&request["method"], &request["path"], &request["status"], &request["function"]),
        (&"POST".into(), &"/scim/v2/Users".into(), &201.into(), &"local".into())
    );
}

/// Needs `curl`. In place of `cargo scimctl` it runs the binary of the tests.
#[test]
fn a_person_is_shown_commands_that_work_when_pasted() {
    let mut child = Command::new(BINARY)
        .args(["--port", "0", "--token", TOKEN])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut shown = Vec::new();
    while !shown.last().is_some_and(|line: &String| line.starts_with("cargo scimctl ")) {
        shown.push(lines.next().unwrap_or_else(|| panic!("{shown:?}")));
    }
    assert!(shown.iter().any(|line| line.starts_with("SCIM 2.0  http://127.0.0.1:")), "{shown:?}");
    let start = shown.iter().position(|line| line.starts_with("export ")).unwrap();
    let pasted = shown[start..].join("\n");
    assert_eq!((shown.len() - start, pasted.matches(TOKEN).count()), (5, 1), "{pasted}");
    let scimctl = env!("CARGO_BIN_EXE_scimctl");
    let script = format!("set -e\ncargo() {{ shift; '{scimctl}' \"$@\"; }}\n{pasted}");
    let ended = Command::new("sh").args(["-c", &script]).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert!(ended.status.success(), "{stdout}{stderr}");
    let [config, user, list, first, ..] = stdout.lines().collect::<Vec<_>>()[..] else { panic!("{stdout}") };
    let [config, user, list] = [config, user, list].map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(
        (&config["patch"]["supported"], &user["userName"], &list["totalResults"]),
        (&true.into(), &"sarah.jones@example.com".into(), &1.into())
    );
    assert_eq!(first.split_whitespace().collect::<Vec<_>>(), ["tenant", "demo"]);

    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    let mut requests = Vec::new();
    for line in log.lines().filter(|line| line.starts_with("GET ") || line.starts_with("POST ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let [method, path, status, duration, "ms,", calls, "call" | "calls"] = words[..] else {
            panic!("{line}")
        };
        assert!(duration.parse::<u32>().is_ok() && calls.parse::<u32>().is_ok(), "{line}");
        requests.push([method, path, status].join(" "));
    }
    assert_eq!(
        requests,
        ["GET /scim/v2/ServiceProviderConfig 200", "POST /scim/v2/Users 201", "GET /scim/v2/Users 200"]
    );
}

#[test]
fn open_connections_do_not_keep_it_running() {
    for signal in ["INT", "TERM"] {
        let local = Local::start(&[]);
        let untouched = local.connect();
        let mut half = local.connect();
        half.write_all(b"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").unwrap();
        let mut idle = local.connect();
        idle.write_all(b"GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(idle.read(&mut [0; 1]).unwrap(), 1);
        let end = local.stop(signal);
        assert_eq!(end.code, Some(0), "{signal}: {}", end.stderr);
        drop((untouched, half, idle));
    }
}

#[test]
fn a_taken_port_is_one_line_and_exit_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let address = format!("127.0.0.1:{port}");
    for (option, value, place) in
        [("--port", &port, format!("port {port}")), ("--dynamodb", &address, address.clone())]
    {
        let own = if option == "--port" { vec![option, value] } else { vec!["--port", "0", option, value] };
        let (code, stderr) = refused(&own);
        assert_eq!(code, Some(1));
        assert_eq!(stderr, format!("cargo local: {place} is in use: pass another with {option}\n"));
    }
}

#[test]
fn a_file_keeps_users_tokens_and_policies_across_a_restart() {
    let folder = Folder::new("restart");
    let file = folder.file("directory.db");
    let first = Local::start(&["--data", &file, "--policy", "userName=immutable"]);
    assert_eq!(first.request("POST", "/Users", PAT).0, 201);
    let token = first.token().to_owned();
    assert_eq!(first.stop("INT").code, Some(0));
    assert_eq!(folder.names(), ["directory.db"], "closed, with nothing left beside it");

    let mut second = Local::start(&["--data", &file, "--policy", "interpretation=strict"]);
    assert_ne!(second.token(), token);
    assert_eq!(second.request("GET", "/Users", "").1["totalResults"], 1);
    second.ready["token"] = token.into();
    let (_, list) = second.request("GET", "/Users", "");
    assert_eq!(list["Resources"][0]["userName"], "pat@example.com", "the earlier token works: {list}");
    let (_, schema) = second.request("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "");
    let attributes = schema["attributes"].as_array().unwrap();
    let user_name = attributes.iter().find(|attribute| attribute["name"] == "userName").unwrap();
    assert_eq!(user_name["mutability"], "immutable", "the earlier policy holds");
    assert_eq!(second.stop("TERM").code, Some(0));
}

#[test]
fn every_policy_can_be_set() {
    let folder = Folder::new("policies");
    let file = folder.file("directory.db");
    let start = |policies: &[&str]| {
        let options =
            ["--data", &file].into_iter().chain(policies.iter().flat_map(|policy| ["--policy", policy]));
        Local::start(&options.collect::<Vec<_>>())
    };
    let uniqueness = |local: &Local| {
        let (_, schema) = local.request("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group", "");
        let display_name = schema["attributes"][0].clone();
        assert_eq!(display_name["name"], "displayName");
        display_name["uniqueness"].as_str().unwrap().to_owned()
    };
    let free = start(&[
        "groupNames=free",
        "unknownMembers=accept",
        "patchAnswer=representation",
        "massRemoval.members=100",
        "massRemoval.percent=50",
    ]);
    assert_eq!(uniqueness(&free), "none");
    free.stop("INT");
    let unique = start(&["groupNames=unique", "massRemoval.members=null"]);
    assert_eq!(uniqueness(&unique), "server");
    unique.stop("INT");
}

#[test]
fn a_file_that_cannot_be_used_is_one_line_and_exit_1() {
    let folder = Folder::new("refused");
    let text = folder.file("notes.txt");
    std::fs::write(&text, "not a database").unwrap();
    let nowhere = folder.file("missing/directory.db");
    let missing = folder.file("missing");
    for (file, reason) in [
        (&text, "the file exists and is not a database".to_owned()),
        (&nowhere, format!("folder {missing} not found")),
    ] {
        let (code, stderr) = refused(&["--port", "0", "--data", file]);
        assert_eq!((code, stderr), (Some(1), format!("cargo local: --data {file}: {reason}\n")));
    }
    assert_eq!(std::fs::read_to_string(&text).unwrap(), "not a database");
}

#[test]
fn an_option_that_cannot_be_used_is_named() {
    for (option, value, reason) in [
        ("--policy", "userName", "a setting must be KEY=VALUE"),
        (
            "--policy",
            "colour=red",
            "unknown field `colour`, expected one of `interpretation`, `unknownAttributes`, ",
        ),
        ("--policy", "userName=never", "unknown variant `never`, expected `readWrite` or `immutable`"),
        ("--policy", "massRemoval.members=few", "invalid type: string \"few\", expected usize"),
        ("--policy", "massRemoval.percent=-1", "invalid value: integer `-1`, expected u8"),
        ("--policy", "massRemoval.groups=1", "unknown field `groups`, expected `members` or `percent`"),
        ("--policy", "pageSize.max=501", "a page size must be an integer from 1 to 500"),
        ("--policy", "pageSize.default=0", "a page size must be an integer from 1 to 500"),
        ("--policy", "userName.members=1", "unknown variant `members`, expected `readWrite` or `immutable`"),
        ("--token", "secret", "must be scim_demo_<key id>_<secret>, of letters, digits and hyphens"),
        (
            "--token",
            "scim_other_kid_secret",
            "must be scim_demo_<key id>_<secret>, of letters, digits and hyphens",
        ),
    ] {
        let (code, stderr) = refused(&["--port", "0", option, value]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with(&format!("error: invalid value '{value}' for '{option} ")), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn a_token_with_the_key_id_of_another_is_refused() {
    let folder = Folder::new("token");
    let file = folder.file("directory.db");
    let local = Local::start(&["--data", &file, "--token", TOKEN]);
    assert_eq!(local.token(), TOKEN);
    assert_eq!(local.request("GET", "/Users", "").0, 200);
    local.stop("INT");
    let (code, stderr) = refused(&["--port", "0", "--data", &file, "--token", "scim_demo_events_other"]);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "cargo local: --token: key id events exists with another secret\n");
}

/// Returns the exit status and stderr of a start that must fail.
fn refused(options: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(BINARY).args(options).output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A folder that is deleted at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("local-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn definitions_that_cannot_be_used_are_one_line_and_exit_1() {
    let folder = Folder::new("definitions");
    let file = folder.file("roles.json");
    std::fs::write(&file, "{").unwrap();
    for mode in [&["--json"][..], &[]] {
        let (code, stderr) = refused(&[&["--port", "0", "--definitions", &file], mode].concat());
        assert_eq!(code, Some(1));
        assert!(stderr.starts_with(&format!("cargo local: --definitions {file}: ")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
