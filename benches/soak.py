"""Real instances of the function under faults, checked by a model while they run.

    cargo build --features local && python3 benches/soak.py --minutes 5 --seed 1

Several processes of the function, each with a clock of its own, answer clients behind a small
front that plays the Lambda runtime API. They reach the emulator of `cargo local` through a proxy
that drops, delays and repeats requests, loses answers, delivers requests after they were given
up, and throttles each partition. Instances are killed at random. The clients compare each answer
with a model. At the end all cleanup jobs are done, and `scimctl check` must find nothing.

Clocks are changed by libfaketime, which is installed from PyPI into target/soak. Needs Linux.
Exit status 1 if an answer contradicts the model, or the check finds something.
"""

import argparse
import http.client
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "scim_demo_soak_" + "0" * 64
CLOCKS = [0, 20, -20, 60]
# API Gateway's time for a request.
WAIT = 29
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchExecuteStatement"}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Proxy(Server):
    """The network between the instances and DynamoDB."""

    def __init__(self, emulator, options):
        self.emulator, self.options = emulator, options
        self.random, self.lock = random.Random(options.seed), threading.Lock()
        self.faults, self.calls, self.is_calm = Counter(), Counter(), False
        self.room = defaultdict(lambda: (float(options.units), time.monotonic()))
        super().__init__(Passing)

    def choose(self):
        with self.lock:
            chance = 1.0 if self.is_calm else self.random.random()
            later = self.random.uniform(0.05, 3)
        for fault, share in self.options.faults.items():
            if chance < share:
                self.faults[fault] += 1
                return fault, later
            chance -= share
        return None, later

    def is_throttled(self, operation, request):
        """Takes the write units of a request from the partitions, unless one has too few."""
        units = Counter()
        for pk, unit in write_units(operation, request):
            units[pk] += unit
        with self.lock:
            now = time.monotonic()
            for pk, unit in units.items():
                room, since = self.room[pk]
                self.room[pk] = min(self.options.units, room + (now - since) * self.options.units), now
            if any(self.room[pk][0] < min(unit, self.options.units) for pk, unit in units.items()):
                self.faults["throttle"] += 1
                return True
            for pk, unit in units.items():
                self.room[pk] = self.room[pk][0] - unit, now
        return False

    def forward(self, headers, body):
        host = self.emulator.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text


class Passing(Handler):
    def do_POST(self):
        proxy, body = self.server, self.body()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        operation = self.headers.get("X-Amz-Target", "").rsplit(".")[-1]
        proxy.calls[operation] += 1
        fault, later = proxy.choose()
        if fault == "delay":
            time.sleep(later / 4)
        if fault == "drop":
            return self.cut()
        if fault == "late":
            # The client gives up, and the request arrives all the same.
            threading.Timer(later, proxy.forward, (headers, body)).start()
            return self.cut()
        if operation in WRITES and not proxy.is_calm and proxy.is_throttled(operation, json.loads(body)):
            return self.answer(400, throttled(operation, json.loads(body)))
        status, text = proxy.forward(headers, body)
        if fault == "repeat":
            status, text = proxy.forward(headers, body)
        if fault == "lose":
            return self.cut()
        self.answer(status, text, [("Content-Type", "application/x-amz-json-1.0")])

    def cut(self):
        self.close_connection = True


def throttled(operation, request):
    name = "com.amazonaws.dynamodb.v20120810#"
    if operation == "TransactWriteItems":
        reasons = [{"Code": "None"} for _ in request["TransactItems"]]
        reasons[0] = {"Code": "ThrottlingError", "Message": "Throughput exceeds the current capacity"}
        answer = {"__type": name + "TransactionCanceledException", "message": "cancelled", "CancellationReasons": reasons}
    else:
        answer = {"__type": name + "ProvisionedThroughputExceededException", "message": "The level of configured provisioned throughput for the table was exceeded"}
    return json.dumps(answer).encode()


def write_units(operation, request):
    """Yields partition keys and the write units that a request takes from them."""
    def of(action, factor):
        item = action.get("Item") or action.get("Key") or {}
        unit = factor * (1 + len(json.dumps(action)) // 1024)
        for name in ("pk", "member_pk", "change_pk"):
            if name in item:
                yield item[name]["S"], unit if name == "pk" else 1

    if operation == "TransactWriteItems":
        for part in request["TransactItems"]:
            for action in part.values():
                yield from of(action, 2)
    elif operation == "BatchExecuteStatement":
        for statement in request["Statements"]:
            names = [part.rstrip(" =:'").rsplit("'", 1)[-1].rsplit(" ", 1)[-1] for part in statement["Statement"].split("?")]
            for name, value in zip(names, statement.get("Parameters", [])):
                if name in ("pk", "member_pk"):
                    yield value["S"], 1
    else:
        yield from of(request, 1)


class Instance(Server):
    """One process of the function, and the runtime API that it polls."""

    def __init__(self, front, clock):
        self.front, self.clock = front, clock
        self.events, self.reply, self.is_dead = queue.Queue(), queue.Queue(), False
        super().__init__(Runtime)
        environment = {
            **front.environment,
            "AWS_LAMBDA_FUNCTION_NAME": "_", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server_port}", "SCIM_LOG": "error",
            **front.faked(clock),
        }
        self.process = subprocess.Popen([front.options.binaries + "/scim-lambda"], env=environment, stdout=front.log, stderr=front.log)
        front.idle.put(self)

    def kill(self):
        self.is_dead = True
        self.process.kill()
        self.process.wait()
        # Whoever waits for its answer.
        self.reply.put(None)
        threading.Thread(target=lambda: (self.shutdown(), self.server_close()), daemon=True).start()


class Runtime(Handler):
    def do_GET(self):
        event = self.server.events.get()
        deadline = int(1000 * (time.time() + self.server.clock + WAIT))
        self.answer(200, event, [
            ("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4())), ("Lambda-Runtime-Deadline-Ms", str(deadline)),
            ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:scim"),
        ])

    def do_POST(self):
        reply = self.body()
        self.answer(202, b"")
        self.server.reply.put(reply)


class Front:
    """What API Gateway and Lambda are to clients."""

    def __init__(self, options, dynamodb, environment, faked, log):
        self.options, self.dynamodb, self.environment, self.faked, self.log = options, dynamodb, environment, faked, log
        self.idle, self.instances, self.lock = queue.Queue(), [], threading.Lock()
        self.random, self.kills = random.Random(options.seed + 1), 0
        for number in range(options.instances):
            self.instances.append(Instance(self, CLOCKS[number % len(CLOCKS)]))

    def request(self, method, path, body=None, headers=()):
        """Returns the status and the body of the answer: 0 if it is unknown."""
        path, _, query = path.partition("?")
        event = {
            "version": "2.0", "rawPath": f"/scim/v2{path}", "rawQueryString": query,
            "headers": {"authorization": f"Bearer {TOKEN}", "content-type": "application/scim+json", "host": "example.com", **dict(headers)},
            "requestContext": {"stage": "$default", "http": {"method": method}},
            "isBase64Encoded": False, "body": None if body is None else json.dumps(body),
        }
        reply = self.invoke(event)
        if "statusCode" not in reply:
            return 0, {}, {}
        text = reply.get("body") or "{}"
        return reply["statusCode"], json.loads(text), {name.lower(): value for name, value in (reply.get("headers") or {}).items()}

    def invoke(self, event):
        """Returns the result of an invocation; an empty one if the instance has died."""
        while (instance := self.idle.get()).is_dead:
            pass
        instance.events.put(json.dumps(event).encode())
        try:
            reply = instance.reply.get(timeout=WAIT + 5)
        except queue.Empty:
            # Lambda ends a function at its time.
            self.replace(instance)
            return {}
        if reply is None:
            return {}
        self.idle.put(instance)
        return json.loads(reply)

    def replace(self, instance):
        with self.lock:
            if instance not in self.instances:
                return
            self.instances.remove(instance)
            instance.kill()
            self.instances.append(Instance(self, self.random.choice(CLOCKS)))
            self.kills += 1

    def kill_one(self):
        self.replace(self.random.choice(self.instances))


def members_of(group):
    return {member["value"] for member in group.get("members", [])}


class Model:
    """What clients have been told, and what they may therefore see."""

    def __init__(self, front, options):
        self.front, self.options = front, options
        self.lock = threading.Lock()
        self.statuses, self.times, self.wrong, self.swept = defaultdict(Counter), [], [], 0
        # userName -> creations and deletions that have happened, and that may have.
        self.names = defaultdict(Counter)
        self.counter, self.counted = None, Counter()
        self.pool, self.sets, self.groups, self.crew, self.gone = [], [], [], None, set()

    def ask(self, act, method, path, body=None, headers=()):
        begun = time.monotonic()
        answer = self.front.request(method, path, body, headers)
        with self.lock:
            self.times.append(time.monotonic() - begun)
            self.statuses[act][answer[0]] += 1
        return answer

    def found(self, text):
        with self.lock:
            self.wrong.append(text)
        print("WRONG:", text, flush=True)

    def until(self, act, wanted, *request):
        for _ in range(50):
            status, body, headers = self.ask(act, *request)
            if status in wanted:
                return status, body, headers
            time.sleep(0.2)
        raise SystemExit(f"{act}: no answer among {wanted}: {status} {body}")

    def prepare(self):
        for number in range(self.options.members):
            name = f"pool{number}"
            status, body, _ = self.until("prepare", {201, 409}, "POST", "/Users", {"userName": name})
            if status == 409:
                _, body, _ = self.until("prepare", {200}, "GET", f'/Users?filter=userName%20eq%20%22{name}%22')
                body = body["Resources"][0]
            self.pool.append(body["id"])
        size = self.options.members * 2 // 3
        self.sets = [set((self.pool * 2)[first : first + size]) for first in range(0, self.options.members, self.options.members // 4)]
        for name in ("whole0", "whole1", "crew"):
            self.until("prepare", {201, 409}, "POST", "/Groups", {"displayName": name})
            _, body, _ = self.until("prepare", {200}, "GET", f"/Groups?filter=displayName%20eq%20%22{name}%22")
            self.groups.append(body["Resources"][0]["id"])
        self.crew = self.groups.pop()
        self.until("prepare", {201, 409}, "POST", "/Users", {"userName": "counter", "title": "0"})
        _, body, _ = self.until("prepare", {200}, "GET", "/Users?filter=userName%20eq%20%22counter%22")
        self.counter = body["Resources"][0]["id"]

    # The acts. Each is the work of one client for some requests.

    def unique_names(self, rng):
        name = f"name{rng.randrange(12)}"
        status, body, _ = self.ask("POST user", "POST", "/Users", {"userName": name})
        with self.lock:
            self.names[name]["made" if status == 201 else "maybe made" if status in (0, 500, 503, 504) else "refused"] += 1
        if status == 201 and rng.random() < 0.8:
            with self.lock:
                self.names[name]["deletion begun"] += 1
            self.ask("DELETE user", "DELETE", f"/Users/{body['id']}")
            return
        status, body, _ = self.ask("find user", "GET", f"/Users?filter=userName%20eq%20%22{name}%22")
        if status == 200 and body["totalResults"] > 1:
            self.found(f"{name} is the name of {body['totalResults']} users")
        if status == 200 and body["totalResults"] == 1 and rng.random() < 0.5:
            with self.lock:
                self.names[name]["deletion begun"] += 1
            self.ask("DELETE user", "DELETE", f"/Users/{body['Resources'][0]['id']}")

    def count(self, rng):
        path = f"/Users/{self.counter}"
        status, body, headers = self.ask("GET user", "GET", path)
        if status != 200:
            return
        change = {"userName": "counter", "title": str(int(body["title"]) + 1)}
        status, _, _ = self.ask("PUT user, If-Match", "PUT", path, change, [("if-match", body["meta"]["version"])])
        with self.lock:
            self.counted["applied" if status == 200 else "refused" if status in (412, 429) else "unknown"] += 1

    def own_user(self, rng):
        name = f"own-{uuid.uuid4()}"
        status, body, _ = self.ask("POST user", "POST", "/Users", {"userName": name, "title": "0"})
        if status != 201:
            return
        path, possible = f"/Users/{body['id']}", {"0"}
        for number in range(1, 6):
            title = str(number)
            if rng.random() < 0.5:
                status, _, _ = self.ask("PATCH user", "PATCH", path, {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "title", "value": title}]})
            else:
                status, _, _ = self.ask("PUT user", "PUT", path, {"userName": name, "title": title})
            if status in (200, 204):
                possible = {title}
            elif status not in (429, 412):
                possible.add(title)
            status, body, _ = self.ask("GET user", "GET", path)
            if status == 200 and body.get("title") not in possible:
                self.found(f"{path} has the title {body.get('title')}, possible are {possible}")
            elif status == 404:
                self.found(f"{path} is gone")
        self.leaver(rng, path)

    def leaver(self, rng, path):
        """A deleted user is in no group."""
        user = path.rsplit("/", 1)[1]
        self.edit("add", self.crew, user)
        status, _, _ = self.ask("DELETE user", "DELETE", path)
        if status == 204:
            with self.lock:
                self.gone.add(user)
        self.look_at_crew(rng)

    def edit(self, op, group, user):
        if op == "add":
            operation = {"op": "add", "path": "members", "value": [{"value": user}]}
        else:
            operation = {"op": "remove", "path": f'members[value eq "{user}"]'}
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
        return self.ask(f"PATCH group, {op}", "PATCH", f"/Groups/{group}", body)[0]

    def look_at_crew(self, rng):
        with self.lock:
            gone = set(self.gone)
        status, body, _ = self.ask("GET group", "GET", f"/Groups/{self.crew}")
        if status == 200 and (shown := members_of(body) & gone):
            self.found(f"the group {self.crew} has deleted members: {shown}")

    def put_whole(self, rng):
        group, number = rng.randrange(len(self.groups)), rng.randrange(len(self.sets))
        body = {"displayName": f"whole{group}", "members": [{"value": user} for user in sorted(self.sets[number])]}
        self.ask("PUT group", "PUT", f"/Groups/{self.groups[group]}", body)
        self.look_at_whole(rng)

    def look_at_whole(self, rng):
        group = rng.choice(self.groups)
        status, body, _ = self.ask("GET group", "GET", f"/Groups/{group}")
        if status == 200 and (seen := members_of(body)) and seen not in self.sets:
            nearest = min(self.sets, key=lambda one: len(one ^ seen))
            self.found(f"the group {group} of {body['meta']['version']} has {len(seen)} members, {len(nearest - seen)} of a PUT are missing and {len(seen - nearest)} are not of it")

    def run(self, number, stop):
        rng = random.Random(f"{self.options.seed} {number}")
        acts = [self.unique_names, self.count, self.own_user, self.put_whole, self.put_whole, self.look_at_whole, self.look_at_crew]
        while time.monotonic() < stop:
            rng.choice(acts)(rng)

    def sweep(self, stop):
        event = json.loads(Path("events/eventbridge/sweep.json").read_text())
        while time.monotonic() < stop:
            swept = self.front.invoke(event)
            with self.lock:
                self.statuses["sweep"]["done" if "done" in swept else "failed"] += 1
                self.swept += swept.get("done", 0)
            time.sleep(5)

    def check_end(self):
        """What must hold when nothing is under way."""
        _, body, _ = self.until("end", {200}, "GET", f"/Users/{self.counter}")
        value, sums = int(body["title"]), self.counted
        if not sums["applied"] <= value <= sums["applied"] + sums["unknown"]:
            self.found(f"the counter is {value}: {dict(sums)}")
        for name, events in self.names.items():
            _, body, _ = self.until("end", {200}, "GET", f"/Users?filter=userName%20eq%20%22{name}%22")
            if body["totalResults"] > 1 or events["made"] - events["deletion begun"] > 1:
                self.found(f"{name}: {body['totalResults']} users, {dict(events)}")
            if body["totalResults"] < events["made"] - events["deletion begun"]:
                self.found(f"{name} is lost: {dict(events)}")
        for _ in range(4):
            for act in (self.look_at_whole, self.look_at_crew):
                act(random)


def faketime():
    """Installs libfaketime, and returns the variables that set a clock."""
    folder = Path("target/soak")
    if not (found := list(folder.rglob("libfaketime.so.1"))):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "libfaketime==3.0.1"], check=True)
        found = list(folder.rglob("libfaketime.so.1"))
    library = str(found[0].resolve())
    return lambda seconds: {"LD_PRELOAD": library, "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--members", type=int, default=180, help="users of which two thirds are put into a group")
    parser.add_argument("--units", type=int, default=1000, help="write units a second of a partition")
    parser.add_argument("--kill-every", type=float, default=2, help="seconds between kills; 0 kills none")
    parser.add_argument("--binaries", default="target/debug", help="folder of scim-lambda, scim-local and scimctl")
    for name, share in [("drop", 0.01), ("lose", 0.01), ("late", 0.01), ("repeat", 0.01), ("delay", 0.03)]:
        parser.add_argument(f"--{name}", type=float, default=share, help="share of the calls of DynamoDB")
    options = parser.parse_args()
    options.faults = {name: getattr(options, name) for name in ("drop", "lose", "late", "repeat", "delay")}
    faked = faketime()
    folder = Path("target/soak")
    local = subprocess.Popen([options.binaries + "/scim-local", "--json", "--port", "0", "--token", TOKEN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    log = open(folder / "log.jsonl", "w")
    front = None
    try:
        ready = json.loads(local.stdout.readline())
        proxy = Proxy(ready["dynamodb"], options)
        environment = {
            "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{proxy.server_port}", "SCIM_TABLE": "scim",
        }
        front = Front(options, ready["dynamodb"], environment, faked, log)
        model = Model(front, options)
        proxy.is_calm = True
        model.prepare()
        proxy.is_calm = False
        begun = time.monotonic()
        stop = begun + 60 * options.minutes
        threads = [threading.Thread(target=model.run, args=(number, stop)) for number in range(options.clients)]
        threads.append(threading.Thread(target=model.sweep, args=(stop,)))
        for thread in threads:
            thread.start()
        chance = random.Random(options.seed + 2)
        while time.monotonic() < stop:
            time.sleep(min(chance.expovariate(1 / options.kill_every) if options.kill_every else 1, 10))
            if options.kill_every and time.monotonic() < stop:
                front.kill_one()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begun
        # Late requests arrive.
        time.sleep(4)
        proxy.is_calm = True
        model.check_end()
        scimctl = lambda clock, *words: subprocess.run(
            [options.binaries + "/scimctl", "--endpoint", ready["dynamodb"], *words],
            env={**os.environ, **faked(clock)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        # Half an hour later, when all jobs are due. A job may put another.
        for later in (1800, 3600):
            swept = scimctl(later, "sweep")
        print(swept.stdout.replace("\n", " "))
        checked = scimctl(7200, "check", "demo")
        if checked.returncode != 0:
            model.found(checked.stdout)
        model.check_end()
        report(model, front, proxy, took)
        sys.exit(bool(model.wrong))
    finally:
        for instance in front.instances if front else []:
            instance.kill()
        local.terminate()


def report(model, front, proxy, took):
    times = sorted(model.times)
    for act, statuses in sorted(model.statuses.items()):
        print(f"{act:22}", ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(statuses.items())))
    print(f"counter: {dict(model.counted)}; deleted members: {len(model.gone)}; cleanup jobs done by sweeps: {model.swept}")
    print(f"{len(times)} requests in {took:.0f} s, half within {times[len(times) // 2]:.2f} s, 99 % within {times[len(times) * 99 // 100]:.2f} s")
    print(f"{sum(proxy.calls.values())} calls of DynamoDB, {front.kills} kills, faults: {dict(proxy.faults)}")
    print(f"{len(model.wrong)} answers or items were wrong")


if __name__ == "__main__":
    main()
