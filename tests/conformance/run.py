#!/usr/bin/env python3
"""scim2-tester, by `scim test` of scim2-cli, against `cargo local`: every check has to
succeed, for a tolerant tenant, a strict one, and for schemas that are added."""

import json
import os
import re
import signal
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target" / "conformance"
TENANTS = [[], ["--policy", "interpretation=strict"], ["--definitions", "tests/api/definitions/devices.json"]]

# Where the tester is wrong: the check, and what the server answers to it.
EXCEPTIONS = [
    # It puts `schemas` into the object of an extension, where RFC 7643 s3.3 has only the
    # attributes of the extension. A tolerant tenant drops it.
    ("check_add_attribute", "schemas is not an attribute of urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
    ("check_replace_attribute", "schemas is not an attribute of urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
]


def install():
    venv.create(TOOLS, with_pip=True)
    packages = ["-r", Path(__file__).with_name("requirements.txt")]
    subprocess.run([TOOLS / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)


def checks(options):
    """Whether all succeed against a server with these options."""
    command = ["cargo", "local", "--port", "0", "--json", *options]
    with open(TOOLS / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
    try:
        ready = json.loads(server.stdout.readline())
        environment = {**os.environ, "SCIM_CLI_URL": ready["baseUrl"], "SCIM_CLI_HEADERS": f"Authorization: Bearer {ready['token']}"}
        tested = subprocess.run([TOOLS / "bin/scim", "test"], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(30)
    ends = re.findall(r"^([A-Z]+) (\S+)\n(.*)$", tested.stdout, re.MULTILINE)
    count = Counter()
    for status, check, reason in ends:
        if any(check == name and text in reason for name, text in EXCEPTIONS):
            status = "EXCEPTED"
        elif status != "SUCCESS":
            print(status, check, reason.strip())
        count[status] += 1
    print(" ".join(["cargo local", *options]) + ":", dict(count))
    # An output that does not look like checks is no success.
    return set(count) <= {"SUCCESS", "EXCEPTED"} and count["SUCCESS"] > 100


if __name__ == "__main__":
    install()
    results = [checks(options) for options in TENANTS]
    sys.exit(0 if all(results) else 1)
