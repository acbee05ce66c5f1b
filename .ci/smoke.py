"""The commands of the README, run as a reader would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

EVENTS_TOKEN = "scim_demo_events_" + "0" * 64
NOT_IN_THE_PACKAGE = {"axum", "clap", "dynoxide-rs", "libsqlite3-sys", "rusqlite"}


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
    """`cargo lambda watch` and `invoke` find the function and its DynamoDB."""
    with cargo_local("--token", EVENTS_TOKEN) as ready:
        environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_ENDPOINT_URL_DYNAMODB": ready["dynamodb"],
            "AWS_REGION": "us-east-1",
            "AWS_SECRET_ACCESS_KEY": "local",
            "SCIM_TABLE": ready["table"],
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        address = ["-A", "127.0.0.1", "-P", port]
        with running("cargo", "lambda", "watch", *address, env=environment):
            wait_for(int(port))
            for event, status in [
                ("okta/create-user.json", 201),
                ("okta/find-user.json", 200),
                ("rfc/7644-3.4.1-get-unknown-user.json", 404),
            ]:
                reply = subprocess.run(
                    ["cargo", "lambda", "invoke", *address, "--data-file", f"events/{event}"],
                    check=True, stdout=subprocess.PIPE, text=True, timeout=300,
                ).stdout
                print(event, reply)
                assert json.loads(reply)["statusCode"] == status


def wait_for(port):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


if __name__ == "__main__":
    {"local": local, "package": package, "lambda": function}[sys.argv[1]]()
