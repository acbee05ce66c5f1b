"""Figures of layout and prose, each with a limit: exits with 1 beyond one.

Reads Rust without its unit tests, which end a file as `#[cfg(test)] mod`.
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import prose

SRC = Path("src")
# Copies per 1000 lines that a wing may make.
WINGS = {"app": 8, "scim": 8, "store": 12}
LONG_FILE = 700
MANY_PARAMETERS = 6
SHOWN = 40
# A doc comment that begins so is a noun clause or an inversion.
ODD_OPENING = re.compile(
    r"//[/!]\s*(?:Of|Those|What|Whether|Who|Whoever|How|With|By|Until|Without|As|From|Which|To|One|It)\b"
)


def without_tests(source):
    return re.split(r"^[ \t]*#\[cfg\(test\)\][ \t]*\n[ \t]*mod ", source, maxsplit=1, flags=re.MULTILINE)[0]


SOURCES = {file: without_tests(file.read_text(encoding="utf-8")) for file in sorted(SRC.rglob("*.rs"))}


def kind(line):
    """Is "doc", "why" for any other comment, or "code"."""
    line = line.strip()
    if line.startswith(("///", "//!")):
        return "doc"
    return "why" if line.startswith("//") else "code"


def count_lines():
    count, clones, odd, panics, long = Counter(), defaultdict(Counter), [], [], []
    for file, source in SOURCES.items():
        lines = source.splitlines()
        before = None
        for number, (line, code) in enumerate(zip(lines, prose.rust_code(source).splitlines()), 1):
            this = kind(line)
            count[this] += 1
            if this == "doc" and before != "doc":
                count["docs"] += 1
                if ODD_OPENING.match(line.strip()):
                    odd.append(f"{file}:{number}: {line.strip()}")
            if re.search(r"\.unwrap\(\)|\.expect\(", code):
                panics.append(f"{file}:{number}: {line.strip()}")
            clones[file.relative_to(SRC).parts[0]]["clones"] += code.count(".clone()")
            before = this
        count["lines"] += len(lines)
        clones[file.relative_to(SRC).parts[0]]["lines"] += len(lines)
        if len(lines) > LONG_FILE:
            long.append(f"{file}: {len(lines)} lines")
    return count, clones, odd, panics, long


def nested(text, start):
    """Splits at commas from `start`, which is within a bracket, until the bracket closes."""
    parts, part, depth = [], "", 1
    for i in range(start, len(text)):
        char = text[i]
        if char in "(<[{":
            depth += 1
        elif char in ")]}" or char == ">" and text[i - 1] not in "-=":
            depth -= 1
            if depth == 0:
                break
        if char == "," and depth == 1:
            parts.append(part)
            part = ""
        else:
            part += char
    return [part for part in [*parts, part] if part.strip()], i + 1


def many_parameters():
    """Lists the functions with too many parameters; `self` is one."""
    found = []
    for file, source in SOURCES.items():
        code = prose.rust_code(source)
        for function in re.finditer(r"\bfn (\w+)([<(])", code):
            end = function.end()
            if function[2] == "<":
                _, end = nested(code, end)
                end = code.index("(", end) + 1
            parameters, _ = nested(code, end)
            if len(parameters) >= MANY_PARAMETERS:
                line = code.count("\n", 0, function.start()) + 1
                found.append(f"{file}:{line}: {function[1]} has {len(parameters)} parameters")
    return found


class Modules:
    """The module tree of the library, and what each module imports from `crate`."""

    def __init__(self, sources):
        """Takes {path below src: code}."""
        self.files, self.imports, self.exports = {}, {}, defaultdict(dict)
        for file in sources:
            if file.parts[0] != "bin" and file != Path("main.rs"):
                module = () if file == Path("lib.rs") else file.with_suffix("").parts
                self.files[module[:-1] if module[-1:] == ("mod",) else module] = file
        for module, file in self.files.items():
            code = sources[file]
            paths = []
            for use in re.finditer(r"(\bpub\b[^;\n]*)?\buse\s+([^;]+);", code):
                for path, name in expand(re.sub(r"\s+", " ", use[2])):
                    path = self.absolute(module, path)
                    if path is not None:
                        paths.append(path)
                        if use[1]:
                            self.exports[module][name] = path
            for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", re.sub(r"\buse\s+[^;]+;", "", code)):
                paths.append(self.absolute(module, tuple(path.split("::"))))
            self.imports[module] = paths

    def absolute(self, module, path):
        """Is `None` for a path into another crate."""
        if path[0] == "crate":
            return path[1:]
        if path[0] in ("self", "super"):
            above = path.count("super")
            return module[: len(module) - above] + path[above + (path[0] == "self") :]
        return module + path if module + path[:1] in self.files else None

    def resolve(self, path, depth=0):
        """Finds the module of a path, through `pub use` of another one."""
        module = ()
        for i, name in enumerate(path):
            if module + (name,) in self.files:
                module += (name,)
            elif name in self.exports[module] and depth < 8:
                return self.resolve(self.exports[module][name] + path[i + 1 :], depth + 1)
            else:
                break
        return module

    def circles(self):
        """Lists the circles of imports through two or more folders of the same folder.

        A circle may run through files beside them. In `src` a file counts as a folder. The
        `mod.rs` of a folder is the folder: its own files may import it. A method that is called
        without an import is not seen.
        """
        graphs = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
        for module, file in self.files.items():
            for path in self.imports[module]:
                ours, theirs = file.parts, self.files.get(self.resolve(path), Path("lib.rs")).parts
                level = 0
                while level < min(len(ours), len(theirs)) - 1 and ours[level] == theirs[level]:
                    level += 1
                a, b = ours[level], theirs[level]
                if a != b and not {a, b} & {"mod.rs", "lib.rs"}:
                    graphs[ours[:level]][a][b].add(f"{SRC / file} imports {'::'.join(path)}")
        found = []
        for folder, graph in sorted(graphs.items()):
            for circle in components(graph):
                folders = [node for node in circle if not folder or not node.endswith(".rs")]
                if len(folders) > 1:
                    edges = [(a, b, sorted(graph[a][b])) for a in circle for b in circle if b in graph.get(a, {})]
                    lines = [f"    {a} -> {b} ({len(imports)}): {imports[0]}" for a, b, imports in edges]
                    found.append("\n".join([f"circle in {SRC.joinpath(*folder)}: {', '.join(circle)}", *lines]))
        return found


def expand(tree):
    """Yields (path, name) of each leaf of a `use` tree."""
    head, brace, _ = tree.partition("{")
    if not brace:
        path, _, alias = tree.strip().partition(" as ")
        path = tuple(name.strip() for name in path.split("::") if name)
        if path[-1] in ("self", "*") and len(path) > 1:
            path = path[:-1]
        yield path, alias.strip() or path[-1]
        return
    for part in nested(tree, len(head) + 1)[0]:
        yield from expand(head + part.strip())


def components(graph):
    """Groups the nodes that reach each other."""
    nodes = sorted({*graph, *(to for edges in graph.values() for to in edges)})
    reached = {}
    for node in nodes:
        seen, todo = set(), [node]
        while todo:
            new = set(graph.get(todo.pop(), ())) - seen
            seen |= new
            todo += new
        reached[node] = seen
    groups = []
    for node in nodes:
        if not any(node in group for group in groups):
            mutual = [other for other in nodes if other in reached[node] and node in reached[other]]
            groups.append(mutual or [node])
    return groups


def check_self():
    def circles(**sources):
        files = {Path(name.replace("__", "/") + ".rs"): code for name, code in sources.items()}
        return [circle.split("\n")[0] for circle in Modules(files).circles()]

    one_way = {"lib": "pub mod a; pub mod b;", "a__mod": "use crate::b::{self, c::D};", "b__mod": "", "b__c": ""}
    assert circles(**one_way) == []
    assert circles(**one_way | {"b__c": "use std::fmt; use super::super::a::E as F;"}) == ["circle in src: a, b"]
    assert circles(**one_way | {"b__c": "fn f() { crate::a::g() }"}) == ["circle in src: a, b"]
    assert circles(**one_way | {"lib": "pub use a::E;", "b__c": "use crate::E;"}) == ["circle in src: a, b"]
    assert circles(a="use crate::b;", b="use crate::a;") == ["circle in src: a.rs, b.rs"]
    files = {"s__mod": "", "s__a": "use super::b::B;", "s__b": "use super::a::A;"}
    assert circles(**files) == []
    files |= {"s__d__mod": "", "s__d__x": "use crate::s::a;", "s__a": "use super::d::{e, x};", "s__e__mod": ""}
    assert circles(**files) == []
    assert circles(**files | {"s__e__mod": "use super::d;", "s__b": "use super::e;"}) == []
    assert circles(**files | {"s__e__mod": "use super::d;", "s__a": "use super::e;"}) == ["circle in src/s: a.rs, d, e"]
    assert nested("f(a: (u8, u8), b: impl Fn() -> Vec<u8>,)", 2)[0] == ["a: (u8, u8)", " b: impl Fn() -> Vec<u8>"]


def main():
    check_self()
    count, clones, odd, panics, long = count_lines()
    parameters = many_parameters()
    circles = Modules({file.relative_to(SRC): prose.rust_code(source) for file, source in SOURCES.items()}).circles()
    words = [f"{file}:{line}: {words}" for file, line, words, _ in prose.findings()]

    rows = [
        ("doc comments, % of lines", 100 * count["doc"] / count["lines"], 6, 14, []),
        ("other comments, % of lines", 100 * count["why"] / count["lines"], 3, None, []),
        ("docs with an odd opening, %", 100 * len(odd) / count["docs"], None, 3, odd),
        *(
            (f".clone() per 1000 lines, {wing}", 1000 * clones[wing]["clones"] / clones[wing]["lines"], None, limit, [])
            for wing, limit in WINGS.items()
        ),
        ("unwrap and expect", len(panics), None, 0, panics),
        (f"functions of {MANY_PARAMETERS} or more parameters", len(parameters), None, 4, parameters),
        (f"files over {LONG_FILE} lines", len(long), None, 0, long),
        ("circles of imports between folders", len(circles), None, 0, circles),
        ("words to avoid", len(words), None, 0, words),
        ("README.md, kB", Path("README.md").stat().st_size / 1000, None, 12, []),
    ]
    table, all_hold = [f"{'figure':40} {'value':>7} {'limit':>7}  ok"], True
    for figure, value, least, most, details in rows:
        limit = f">= {least}" if most is None else f"<= {most}" if least is None else f"{least}..{most}"
        holds = (least is None or value >= least) and (most is None or value <= most)
        all_hold &= holds
        shown = str(value) if isinstance(value, int) else f"{value:.1f}"
        table.append(f"{figure:40} {shown:>7} {limit:>7}  {'yes' if holds else 'NO'}")
        if details and not holds:
            print(f"{figure}:", *details[:SHOWN], sep="\n  ")
            if len(details) > SHOWN:
                print(f"  and {len(details) - SHOWN} more")
    print(f"{len(SOURCES)} files, {count['lines']} lines", *table, sep="\n")
    sys.exit(not all_hold)


if __name__ == "__main__":
    main()
