"""What the packaged function takes: size, time to its first poll, memory, throughput.

    cargo lambda build --release && python3 benches/function.py

Plays the Lambda runtime API to `target/lambda/scim-lambda/bootstrap`, over the emulator of
`cargo local`: the requests are GETs of one user. One instance, one request at a time. Then
each of the requests that take the most memory is sent to an instance of its own; the
exit status is 1 if one of them exceeds PEAK.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

BOOTSTRAP = Path(sys.argv[1] if len(sys.argv) > 1 else "target/lambda/scim-lambda/bootstrap")
TOKEN = "scim_demo_bench_" + "0" * 64
STARTS = 10
WARM_UP = 200
REQUESTS = 1_000
# MB that no request within the limits may exceed.
PEAK = 200
MAX_BODY = 4 * 1024 * 1024
MAX_BULK = 1024 * 1024
MAX_VALUES = 250_000
GROUPS = [f"0000000{n}-0000-4000-9000-000000000000" for n in range(3)]
MEMBERS = 100_000


class Api(HTTPServer):
    """Hands out events until there are none, and keeps the times of the polls."""

    def __init__(self, event):
        super().__init__(("127.0.0.1", 0), Handler)
        self.event = event
        self.polls = []
        self.replies = []


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
        self.server.replies.append(reply)
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
        fill(ready["dynamodb"])
        peaks(ready["dynamodb"])
    finally:
        local.terminate()


def memory(process, line):
    status = Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = [text.split()[1] for text in status.splitlines() if text.startswith(line)]
    return int(kilobytes) / 1024


def fill(dynamodb):
    """Puts groups of the largest size into the table."""
    host = dynamodb.removeprefix("http://")

    def put(items):
        puts = [{"PutRequest": {"Item": {name: value if isinstance(value, dict) else {"S": value} for name, value in item.items()}}} for item in items]
        connection = http.client.HTTPConnection(host)
        connection.request("POST", "/", json.dumps({"RequestItems": {"scim": puts}}), {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        })
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()

    def members(group):
        for n in range(MEMBERS):
            member = f"{n * 0x9E3779B9 & 0xFFFFFFFF:08x}-0000-4000-8000-{n:012x}"
            yield {"pk": f"demo#Group#{group}", "sk": member, "type": "User", "member_pk": f"demo#member#{member}"}

    time = "2026-01-31T09:00:00Z"
    put([{
        "pk": "demo#Group", "sk": group, "version": {"N": "1"}, "write_id": "-", "index_digest": "-",
        "created": time, "modified": time, "change_pk": "demo#changed#Group#0", "hour": "2026-01-31T09",
        "resource": {"M": {"displayName": {"S": group}}},
        "roster": {"M": {"members": {"N": str(MEMBERS)}, "epoch": {"N": "0"}, "nests": {"BOOL": False}}},
    } for group in GROUPS])
    put([{"pk": "demo#census#Group", "sk": "00", "c0": {"N": str(len(GROUPS))}}])
    with ThreadPoolExecutor(4) as pool:
        for group in GROUPS:
            items = list(members(group))
            for _ in pool.map(put, (items[at : at + 25] for at in range(0, MEMBERS, 25))):
                pass


def worst():
    """Yields the requests that take the most memory for what they are: name, method, path, body."""
    def full(element, length, most=MAX_BODY):
        count = min((most - 1_000) // (len(element) + 1), length)
        return "[" + ",".join([element] * count) + "]"

    for name, element, values in [
        ("objects", '{"a":0}', 2), ("arrays", "[0]", 2), ("empty objects", "{}", 1), ("numbers", "0", 1),
        ("nested", '[[[{"a":[0]}]]]', 6),
    ]:
        for count in [10 ** 9, (MAX_VALUES - 10) // values]:
            yield f"body of {name}", "POST", "/Users", f'{{"userName":"x","x":{full(element, count)}}}'
    for name, value in [
        ("users", '{"op":"add","path":"emails","value":[{"value":"a@example.com"}]}'),
        ("members", '{"op":"add","path":"members","value":[{"value":"00000000-0000-4000-8000-000000000000","type":"User"}]}'),
    ]:
        path = "/Users/" if name == "users" else "/Groups/"
        yield f"PATCH, {name}", "PATCH", path + GROUPS[0], f'{{"Operations":{full(value, 20_000)}}}'
    for size in [85_000, 10 ** 9]:
        ids = [f'{{"value":"{n:05x}"}}' if size > MEMBERS else f'{{"value":"{n:036x}"}}' for n in range(min(size, MAX_VALUES // 2 - 10))]
        yield "PUT, members", "PUT", f"/Groups/{GROUPS[0]}", f'{{"displayName":"{GROUPS[0]}","members":[{",".join(ids)}]}}'
    put = lambda n: f'{{"method":"PUT","path":"/Groups/{GROUPS[n % 3]}","data":{{"displayName":"{GROUPS[n % 3]}","members":[{{"value":"a"}}]}}}}'
    yield "bulk, PUTs of groups", "POST", "/Bulk", f'{{"Operations":[{",".join(put(n) for n in range(12))}]}}'
    create = lambda n, data: f'{{"method":"POST","path":"/Users","bulkId":"{n}","data":{{"userName":"u{n}","x":{data}}}}}'
    each = full('{"a":0}', 120, MAX_BULK)
    yield "bulk, objects", "POST", "/Bulk", f'{{"Operations":[{",".join(create(n, each) for n in range(1_000))}]}}'
    yield "bulk, one of objects", "POST", "/Bulk", f'{{"Operations":[{create(0, full(chr(123) + chr(125), 10 ** 9, MAX_BULK - 1_000))}]}}'
    yield "GET, group", "GET", f"/Groups/{GROUPS[0]}", ""
    yield "GET, page of groups", "GET", "/Groups", ""
    yield "GET, page of members without a part", "GET", "/Groups?attributes=members.display", ""
    yield "GET, filter on members", "GET", "/Groups?filter=members.display+eq+%22x%22", ""


def peaks(dynamodb):
    worst_peak = 0
    for name, method, path, body in worst():
        path, _, query = path.partition("?")
        event = {
            "version": "2.0", "rawPath": f"/scim/v2{path}", "rawQueryString": query, "body": body,
            "headers": {"authorization": f"Bearer {TOKEN}", "accept-encoding": "gzip"},
            "requestContext": {"stage": "$default", "http": {"method": method}}, "isBase64Encoded": False,
        }
        api = Api(json.dumps(event).encode())
        process, begun = start(api, dynamodb)
        api.timeout = 40
        while not api.replies:
            api.handle_request()
        took, peak = time.perf_counter() - begun, memory(process, "VmHWM")
        process.kill()
        process.wait()
        api.server_close()
        status = api.replies[0]["statusCode"]
        print(f"{peak:7.1f} MB, {took:5.1f} s, {status}: {name}, {len(body) / 1e6:.1f} MB", flush=True)
        # An answer that ran out of time has read less than the request asked for.
        assert status < 500, api.replies[0]
        worst_peak = max(worst_peak, peak)
    assert worst_peak < PEAK, f"{worst_peak:.0f} MB, the limit is {PEAK}"


def serve(api, process):
    api.timeout = 30
    while len(api.polls) <= WARM_UP + REQUESTS:
        api.handle_request()
    assert all(reply["statusCode"] == 200 for reply in api.replies), api.replies[-1]
    took = api.polls[WARM_UP + REQUESTS] - api.polls[WARM_UP]
    print(f"memory after {WARM_UP + REQUESTS} requests: {memory(process, 'VmRSS'):.1f} MB")
    print(f"throughput of a warm instance: {REQUESTS / took:.0f} requests/s, this API and the emulator included")


if __name__ == "__main__":
    os.environ.setdefault("CARGO_TERM_COLOR", "never")
    main()
