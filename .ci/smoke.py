"""The commands of the README, run as a reader would."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

EVENTS_TOKEN = "scim_demo_events_" + "0" * 64
NOT_IN_THE_PACKAGE = {"axum", "clap", "dynoxide-rs", "indicatif", "libsqlite3-sys", "rusqlite"}


@contextmanager
def running(*command, **options):
    """A command in a process group of its own, which ends with the block."""
    process = subprocess.Popen(command, start_new_session=True, text=True, **options)
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30)
        except ProcessLookupError:
            pass


@contextmanager
def cargo_local(*options):
    with running("cargo", "local", "--port", "0", "--json", *options, stdout=subprocess.PIPE) as process:
        yield json.loads(process.stdout.readline())
    assert process.returncode == 0, f"cargo local ended with {process.returncode}"


def local():
    """The first POST is answered, and Ctrl-C ends with 0."""
    with cargo_local() as ready:
        user = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "sarah.jones@example.com"}
        headers = {"Authorization": f"Bearer {ready['token']}", "Content-Type": "application/scim+json"}
        request = urllib.request.Request(ready["baseUrl"] + "/Users", json.dumps(user).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            print(answer.status, answer.read().decode())
            assert answer.status == 201


def package():
    """Nothing of `cargo local` is a dependency of the function."""
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"],
        check=True, stdout=subprocess.PIPE, text=True,
    )
    packages = {line.split()[0] for line in tree.stdout.splitlines() if line}
    print(len(packages), "packages")
    assert "aws-sdk-dynamodb" in packages
    assert not packages & NOT_IN_THE_PACKAGE, packages & NOT_IN_THE_PACKAGE


def function():
    """`cargo lambda watch`, by the example of its environment, and `invoke` with every event."""
    with cargo_local("--token", EVENTS_TOKEN) as ready, tempfile.TemporaryDirectory() as folder:
        example = Path(".env.example").read_text()
        assert "http://127.0.0.1:8000" in example
        environment = Path(folder, "env")
        environment.write_text(example.replace("http://127.0.0.1:8000", ready["dynamodb"]))
        port = str(free_port())
        address = ["-A", "127.0.0.1", "-P", port]
        with running("cargo", "lambda", "watch", *address, "--env-file", str(environment)):
            wait_for(int(port))
            first = ["okta/create-user.json", "okta/find-user.json", "rfc/7644-3.4.1-get-unknown-user.json"]
            expected = dict(zip(first, [201, 200, 404]))
            others = (str(file.relative_to("events")) for file in sorted(Path("events").rglob("*.json")))
            for event in first + [event for event in others if event not in first]:
                reply = subprocess.run(
                    ["cargo", "lambda", "invoke", *address, "--data-file", f"events/{event}"],
                    check=True, stdout=subprocess.PIPE, text=True, timeout=300,
                ).stdout
                if event.startswith("eventbridge/"):
                    assert json.loads(reply)["complete"], reply
                    continue
                status = json.loads(reply)["statusCode"]
                print(event, status)
                # 501: nobody is behind /Me.
                assert status == expected.get(event, status) and (status < 500 or status == 501), reply


def sam():
    """The routes of the template, through SAM CLI's own parsing of it and making of events."""
    bootstrap = Path(".aws-sam/build/Function/bootstrap")
    print(f"package: {bootstrap.stat().st_size / 1e6:.1f} MB")
    with cargo_local("--token", EVENTS_TOKEN) as ready, tempfile.TemporaryDirectory() as folder:
        variables = json.loads(Path("env.local.json").read_text())
        variables["Function"]["AWS_ENDPOINT_URL_DYNAMODB"] = ready["dynamodb"]
        environment = Path(folder, "env.json")
        environment.write_text(json.dumps(variables))
        for kind, other in [("HttpApi", "RestApi"), ("RestApi", "HttpApi")]:
            # SAM CLI serves both, whatever the conditions say: here each by itself.
            template = Path(".aws-sam/build", f"{kind}.yaml")
            template.write_text(without(other, Path(".aws-sam/build/template.yaml").read_text()))
            port = free_port()
            driver = [sys.executable, "tests/sam/without_docker.py", "local"]
            options = ["-t", str(template), "--env-vars", str(environment), "--region", "us-east-1"]
            with running(*driver, "start-api", *options, "-p", str(port)):
                wait_for(port)
                talk(kind, f"http://127.0.0.1:{port}")
        for event, status in [("okta/find-user.json", 200), ("rfc/7644-3.4.1-get-unknown-user.json", 404)]:
            reply = subprocess.run(
                [*driver, "invoke", *options, "Function", "-e", f"events/{event}"],
                check=True, stdout=subprocess.PIPE, text=True, timeout=120,
            ).stdout
            print("sam local invoke", event, reply)
            assert json.loads(reply)["statusCode"] == status


def without(resource, template):
    """A template without a resource."""
    kept, skipping = [], False
    for line in template.splitlines(keepends=True):
        if not line.startswith("   "):
            skipping = line == f"  {resource}:\n"
        if not skipping:
            kept.append(line)
    return "".join(kept)


def talk(kind, url):
    """A life of a user, as API Gateway would pass it on."""
    def ask(method, path, status, body=None, **headers):
        headers |= {"Authorization": f"Bearer {EVENTS_TOKEN}", "Content-Type": "application/scim+json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            print(kind, method, path, answer.status, text.decode()[:200])
            assert answer.status == status, (answer.status, text)
            return answer.headers, json.loads(text) if text else None

    name = f"{kind} åsa+1@example.com"
    headers, user = ask("POST", "/scim/v2/Users", 201, {"userName": name})
    path = f"/scim/v2/Users/{user['id']}"
    assert headers["Location"].endswith(path), headers["Location"]
    ask("GET", path, 200)
    ask("HEAD", path, 200)
    query = urllib.parse.urlencode({"filter": f'userName eq "{name}"'})
    _, found = ask("GET", f"/scim/v2/Users?{query}", 200)
    assert [one["id"] for one in found["Resources"]] == [user["id"]], found
    _, changed = ask("PUT", path, 200, {"userName": name, "active": False}, **{"If-Match": headers["ETag"]})
    assert changed["meta"]["version"] == 'W/"2"', changed
    ask("PATCH", path, 412, {"Operations": [{"op": "remove", "path": "active"}]}, **{"If-Match": headers["ETag"]})
    ask("DELETE", path, 204)
    ask("GET", path, 404)
    for path in ["ServiceProviderConfig", "Schemas", "ResourceTypes", "Groups"]:
        ask("GET", f"/scim/v2/{path}", 200)
    ask("GET", "/scim/v2/Nothing", 404)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


if __name__ == "__main__":
    {"local": local, "package": package, "lambda": function, "sam": sam}[sys.argv[1]]()
