"""Runs the commands of README.md and docs/*.md and compares their answers with the printed ones.

    python3 .ci/docs.py            fails if a command fails, an answer differs, a link is broken, or a
                                   `cargo test FILTER` of the text matches no test
    python3 .ci/docs.py --update   writes the real answers into the pages

A ```sh block is run. If a ``` block without a language begins on the next line, it is what the
commands print to stdout. The blocks of a page share one bash session. `<!-- not run: reason -->`
on the line above a block excludes it.

A block that begins with `cargo local` starts the endpoint in the background, in place of the one
before. The ports 3000 and 8000 of the pages become free ports of this machine.

Long lines of JSON are printed on several lines, each but the first indented. Not compared are the
headers Date, Content-Length, Content-Type, Content-Location, Vary and those that are on every answer,
times and durations. The random values of an answer
(ids, key ids, secrets) differ in each run: each one that a page prints corresponds to one real
value, in the answers and in the commands after it.

Needs Python 3.11, bash, curl and cargo.
"""

import difflib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
ENDPOINT, DYNAMODB = "127.0.0.1:3000", "127.0.0.1:8000"
WIDTH = 100
END = "-- end of block --"

BLOCK = re.compile(
    r"^(?P<skip><!-- not run: [^\n]+ -->\n)?```sh\n(?P<commands>.*?)^```\n(?:```\n(?P<answer>.*?)^```\n)?", re.M | re.S
)
RANDOM = re.compile(
    r"(?<![0-9A-Za-z-])([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{8})(?![0-9A-Za-z-])"
)
LEFT_OUT = re.compile(
    r"^(date|content-length|content-type|content-location|vary|cache-control|x-content-type-options): .*\n", re.M | re.I
)
NOT_COMPARED = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d+ ms\b"), "N ms"),
    # The digest of an entity tag covers the ids of groups.
    (re.compile(r'(W/\\?"\d+-)[0-9a-f]{16}'), r"\1DIGEST"),
    (re.compile(r"\n +"), ""),
    # The width of a column follows its longest time.
    (re.compile(r" {2,}"), "  "),
]


class Failed(Exception):
    """A command did not succeed."""


class Page:
    """A page while it is run: its bash session, its endpoint, and the real value for each random
    value that it prints."""

    def __init__(self, folder):
        self.folder = folder
        self.real = {}
        self.ports = {address: f"127.0.0.1:{free_port()}" for address in (ENDPOINT, DYNAMODB)}
        self.endpoint = None
        self.errors = open(folder / "stderr", "w+", encoding="utf-8")
        self.bash = subprocess.Popen(
            ["bash", "-eo", "pipefail"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )

    def close(self):
        self.stop_endpoint()
        self.bash.communicate()
        self.errors.close()

    def run(self, commands, printed):
        """What the commands print to stdout, with the page's own random values."""
        for own, real in (self.real | self.ports).items():
            commands = commands.replace(own, real)
        answer = self.serve(commands) if commands.startswith("cargo local") else self.execute(commands)
        answer = LEFT_OUT.sub("", answer.replace("\r\n", "\n")).rstrip("\n") + "\n"
        for own, real in self.ports.items():
            answer = answer.replace(real, own)
        # A value that is new takes the place of one that the page has not printed before.
        unused = [own for own in values(printed) if own not in self.real]
        own = {real: own for own, real in self.real.items()}
        for real in values(answer):
            if real not in own:
                own[real] = unused.pop(0) if unused else real
                self.real[own[real]] = real
        answer = RANDOM.sub(lambda found: own[found[0]], answer)
        return "".join(f"{wrapped_line(line)}\n" for line in answer.splitlines())

    def execute(self, commands):
        script = self.folder / "block.sh"
        script.write_text(commands, encoding="utf-8")
        self.bash.stdin.write(f"source {script} </dev/null\nprintf '\\n%s\\n' '{END}'\n")
        self.bash.stdin.flush()
        answer = ""
        for line in self.bash.stdout:
            if line == f"{END}\n":
                return answer
            answer += line
        raise self.failed(self.bash.wait())

    def serve(self, commands):
        """Starts the endpoint. The answer is what it prints until it listens."""
        self.stop_endpoint()
        address = self.ports[ENDPOINT]
        command = [*shlex.split(commands), "--port", address.rpartition(":")[2]]
        with open(self.folder / "served", "w+", encoding="utf-8") as printed:
            self.endpoint = subprocess.Popen(
                command, cwd=ROOT, stdout=printed, stderr=self.errors, start_new_session=True
            )
            while not is_served(address):
                if self.endpoint.poll() is not None:
                    raise self.failed(self.endpoint.returncode)
                time.sleep(0.05)
            printed.seek(0)
            return printed.read()

    def stop_endpoint(self):
        if self.endpoint is not None and self.endpoint.poll() is None:
            os.killpg(self.endpoint.pid, signal.SIGINT)
            self.endpoint.wait(30)

    def failed(self, status):
        self.errors.seek(0)
        return Failed(f"exit status {status}\n{self.errors.read()[-2000:]}")


def check(path, update):
    """Runs a page. Returns what is wrong with it."""
    text = path.read_text(encoding="utf-8")
    wrong, new, end = [], [], 0
    blocks = list(BLOCK.finditer(text))
    if len(blocks) != len(re.findall(r"^\s*```sh\b", text, re.M)):
        return [f"{path.relative_to(ROOT)}: a sh block that cannot be read"]
    with tempfile.TemporaryDirectory() as folder, closing(Page(Path(folder))) as page:
        for block in blocks:
            if block["skip"]:
                continue
            where = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, block.start('commands'))}"
            try:
                answer = page.run(block["commands"], block["answer"] or "")
            except Failed as error:
                # What follows depends on it.
                wrong.append(f"{where}: {error}")
                break
            if block["answer"] is None or compared(answer) == compared(block["answer"]):
                continue
            if update:
                new += [text[end:block.start("answer")], answer]
                end = block.end("answer")
            else:
                printed, real = block["answer"].splitlines(), answer.splitlines()
                difference = difflib.unified_diff(printed, real, "printed", "real", lineterm="")
                wrong.append("\n".join([f"{where}: the answer differs", *difference]))
    if new:
        path.write_text("".join(new) + text[end:], encoding="utf-8")
    return wrong


def values(text):
    """The random values of a text, each once, in order."""
    return list(dict.fromkeys(found[0] for found in RANDOM.finditer(text)))


def compared(answer):
    for pattern, name in NOT_COMPARED:
        answer = pattern.sub(name, answer)
    return answer


def wrapped_line(line):
    try:
        return wrapped(json.loads(line)) if len(line) > WIDTH else line
    except ValueError:
        return line


def wrapped(value, depth=1):
    """JSON in as few lines as fit, each but the first indented by its depth."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if depth + len(text) <= WIDTH or not isinstance(value, (dict, list)):
        return text
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}:{wrapped(part, depth + 1)}" for name, part in value.items()]
    else:
        parts = [wrapped(part, depth + 1) for part in value]
    lines = [""]
    for part in parts:
        separator = "," if lines != [""] else ""
        if separator and depth + len(lines[-1]) + len(part.split("\n")[0]) + 2 > WIDTH:
            lines[-1] += separator
            lines.append(part)
        else:
            lines[-1] += separator + part
    first, last = "{}" if isinstance(value, dict) else "[]"
    return first + f"\n{' ' * depth}".join(lines) + last


def broken_links(path):
    text = without_code(path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.exists():
            yield f"{path.relative_to(ROOT)}: {target}: no such file"
        elif anchor and anchor not in anchors(page):
            yield f"{path.relative_to(ROOT)}: {target}: no such heading"


def unknown_tests(pages):
    """Filters of `cargo test` in the text that select no test."""
    command = ["cargo", "test", "--test", "api", "--", "--list"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    tests = re.findall(r"^(\S+): test$", listed, re.M)
    for path in pages:
        for name in sorted(set(re.findall(r"`cargo test ([\w:]+)`", path.read_text(encoding="utf-8")))):
            if not any(name in test for test in tests):
                yield f"{path.relative_to(ROOT)}: cargo test {name}: no such test"


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_served(address):
    try:
        urllib.request.urlopen(f"http://{address}/", timeout=10)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    updating = sys.argv[1:] == ["--update"]
    failures = [failure for path in LINKED for failure in broken_links(path)]
    failures += unknown_tests(LINKED)
    for one in RUN:
        started = time.monotonic()
        failures += check(one, updating)
        print(f"{one.relative_to(ROOT)}: {time.monotonic() - started:.1f} s", flush=True)
    sys.exit("\n\n".join(failures) if failures else 0)
