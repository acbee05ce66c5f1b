"""Words that the prose of the product avoids, each with a better one.

Reads comments and string literals of `src/**/*.rs`, and docs, README.md and template.yaml
except inline code. JSON below src quotes RFCs and is not read.
"""

import re
import sys
from pathlib import Path

ROOTS = ["src", "docs", "README.md", "template.yaml"]

# A space stands for any white space, also over a line break within a comment or a string.
AVOIDED = [
    ("whoever", "any client that, the user that"),
    ("nobody", "no client, no one"),
    ("anew", "again"),
    ("meanwhile", "since then, concurrently"),
    ("told", "informed, notified, distinguished"),
    ("mend(?:s|ed|ing)?", "repair"),
    (r"(?-i:Beside)|beside (?:that|these|those|(?:its|their|the \S+) own)", "besides, in addition to"),
    ("cut(?:s|ting)? off", "interrupt, truncate"),
    (r"(?:go|goes|going|gone|went) on(?= (?:with|from|\w+ing)\b|[?.,;])", "continue, resume"),
    ("(?:let|lets|letting) in", "accept"),
    ("on the desk", "locally"),
    ("give or take", "about, to within"),
    ("stands?(?! (?:for|in for|alone))", "is, exists"),
    ("(?:has|have) to", "must"),
    ("(?:is|are) to be", "must be, will be"),
    ("may not", "cannot, must not; might not for a possibility"),
    ("gave up", "retries exhausted"),
    (r"any more(?=[.,:;!?)\"]|\s*$)", "no longer"),
    ("he|him|his|himself", "it, they"),
]

GAP = r"(?:[ \t]*\\?\s+(?:(?://[/!]?|\#|>|\*)[ \t]*)?)"
# Not a part of an identifier, a path, a host, an address or a placeholder.
BEFORE, AFTER = r"(?<![\w@/.{\-])", r"(?![\w@/\-]|\.\w)"
PATTERNS = [
    (re.compile(f"{BEFORE}(?:{words.replace(' ', GAP)}){AFTER}", re.IGNORECASE | re.MULTILINE), better)
    for words, better in AVOIDED
]

RUST_TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<string> (?<!\w)b?r(?P<hashes>\#*)".*?"(?P=hashes) | b?"(?:\\.|[^"\\])*" )
    | b?'(?:\\.[^'\n]*|[^\\'\n])'
    """,
    re.DOTALL | re.VERBOSE,
)

MUST_MATCH = [
    "Nobody is let in since then.",
    "Whoever is deleted leaves all groups.",
    "written anew",
    "what others wrote meanwhile",
    "SNS topic that is told of alarms",
    "/// Mend what needs no decision",
    "Beside its own tokens a tenant can take others",
    "others beside these",
    "a request that is cut\n    /// off",
    "both can be interrupted and gone on with",
    "Go on? [y/N]",
    "on the desk",
    "an hour, give or take",
    "it stands here",
    "the body has to hold Operations",
    "each resource has\n    /// to exist",
    "values to be found that are to be read",
    "the group may not be its own member",
    '"gave up"',
    "not any more: restart",
    "the user and his groups",
]
MUST_NOT_MATCH = [
    "`nobody` is a user of the emulator",
    "nobody@example.com and src/told.rs and told.example.com",
    "a snapshot beside the line that surprises",
    "documents beside this file",
    "besides, recommend, amend, renewed, commander",
    "an id stands for a resource",
    "the values that a resource has",
    "have together",
    "are there any more of them?",
    "goes on the wire, call on the device",
    "Let in-memory items be",
    "line {told}, {he:?}",
    "cutoff, hold, standing, this, the",
]


def rust_prose(source):
    """Blanks the code of Rust; offsets and lines stay."""
    blank = lambda code: re.sub(r"\S", "\0", code)
    kept, end = [], 0
    for token in RUST_TOKEN.finditer(source):
        kept.append(blank(source[end : token.start()]))
        is_prose = token["comment"] or token["string"]
        kept.append(token[0] if is_prose else blank(token[0]))
        end = token.end()
    return "".join(kept) + blank(source[end:])


def rust_code(source):
    """Blanks the comments and literals of Rust; offsets and lines stay."""
    return RUST_TOKEN.sub(lambda token: re.sub(r"\S", " ", token[0]), source)


def matches(text):
    """Yields offset, words and suggestion of each match."""
    text = re.sub(r"`[^`\n]*`", lambda code: "\0" * len(code[0]), text)
    for pattern, better in PATTERNS:
        for match in pattern.finditer(text):
            yield match.start(), match[0], better


def findings():
    """Lists (file, line, words, suggestion) of all files."""
    found = []
    for root in map(Path, ROOTS):
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.suffix not in {".rs", ".md", ".yaml"}:
                continue
            text = file.read_text(encoding="utf-8")
            prose = rust_prose(text) if file.suffix == ".rs" else text
            for offset, words, better in sorted(matches(prose)):
                found.append((file, text.count("\n", 0, offset) + 1, re.sub(GAP, " ", words), better))
    return found


def check_self():
    for text in MUST_MATCH:
        assert list(matches(text)), f"not found in: {text}"
    for text in MUST_NOT_MATCH:
        assert not list(matches(text)), f"found in: {text}"
    source = "let told = 'a'; // told\nf::<'b>(\"told \\\" told\", r#\"told\"#, told, '\"', told); /* told */"
    assert len(list(matches(rust_prose(source)))) == 5, rust_prose(source)
    assert rust_code(source).count("told") == 3, rust_code(source)


if __name__ == "__main__":
    check_self()
    found = findings()
    for file, line, words, better in found:
        print(f'{file}:{line}: "{words}": prefer {better}')
    print(f"{len(found)} words to avoid in", *ROOTS)
    sys.exit(bool(found))
