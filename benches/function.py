"""What the packaged function takes: size, time to its first poll, memory, throughput.

    cargo lambda build --release && python3 benches/function.py

Plays the Lambda runtime API to `target/lambda/scim-lambda/bootstrap`, over the emulator of
`cargo local`: the requests are GETs of one user. One instance, one request at a time.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

BOOTSTRAP = Path(sys.argv[1] if len(sys.argv) > 1 else "target/lambda/scim-lambda/bootstrap")
TOKEN = "scim_demo_bench_" + "0" * 64
STARTS = 10
WARM_UP = 200
REQUESTS = 1_000


class Api(HTTPServer):
    """Hands out events until there are none, and keeps the times of the polls."""

    def __init__(self, event):
        super().__init__(("127.0.0.1", 0), Handler)
        self.event = event
        self.polls = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.server.polls.append(time.perf_counter())
        if self.server.event is None:
            self.close_connection = True
            return
        self.answer(200, self.server.event)

    def do_POST(self):
        reply = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self.chunks())
        assert reply["statusCode"] == 200, reply
        self.answer(202, b"")

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
        self.send_header("Lambda-Runtime-Deadline-Ms", "4102444800000")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:scim")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start(api, dynamodb):
    environment = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "AWS_LAMBDA_FUNCTION_NAME": "scim",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
        "SCIM_TABLE": "scim",
    }
    begun = time.perf_counter()
    return subprocess.Popen([BOOTSTRAP], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), begun


def first_polls(dynamodb):
    for _ in range(STARTS):
        api = Api(None)
        process, begun = start(api, dynamodb)
        api.handle_request()
        yield 1000 * (api.polls[0] - begun)
        process.kill()
        process.wait()
        api.server_close()


def main():
    print(f"package: {BOOTSTRAP.stat().st_size / 1e6:.1f} MB")
    local = subprocess.Popen(
        ["cargo", "local", "--json", "--port", "0", "--token", TOKEN],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    try:
        ready = json.loads(local.stdout.readline())
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/scim+json"}
        user = json.dumps({"userName": "sarah", "emails": [{"value": "sarah@example.com"}]}).encode()
        made = urllib.request.urlopen(urllib.request.Request(ready["baseUrl"] + "/Users", user, headers))
        times = list(first_polls(ready["dynamodb"]))
        print(f"process start to first poll: {statistics.median(times):.1f} ms (median of {STARTS})")
        event = {
            "version": "2.0",
            "rawPath": f"/scim/v2/Users/{json.load(made)['id']}",
            "headers": {"authorization": f"Bearer {TOKEN}"},
            "requestContext": {"stage": "$default", "http": {"method": "GET"}},
            "isBase64Encoded": False,
        }
        api = Api(json.dumps(event).encode())
        process, _ = start(api, ready["dynamodb"])
        serve(api, process)
        process.kill()
    finally:
        local.terminate()


def serve(api, process):
    api.timeout = 30
    while len(api.polls) <= WARM_UP + REQUESTS:
        api.handle_request()
    took = api.polls[WARM_UP + REQUESTS] - api.polls[WARM_UP]
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    print(f"memory after {WARM_UP + REQUESTS} requests: {int(resident) / 1024:.1f} MB")
    print(f"throughput of a warm instance: {REQUESTS / took:.0f} requests/s, this API and the emulator included")


if __name__ == "__main__":
    os.environ.setdefault("CARGO_TERM_COLOR", "never")
    main()
