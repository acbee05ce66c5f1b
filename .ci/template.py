"""What the template allows the function is what the tests saw it do, no less and no more.

Run after the tests, which leave a file for each action in target/tmp/permissions.
"""

import os
import re
import sys
from pathlib import Path

template = Path("template.yaml").read_text()
section = template.split("- Sid: Table\n")[1].split("- !If\n")[0]
table, indexes = section.split("- Sid: Indexes\n")
allowed = {f"{action}@table" for action in re.findall(r"- dynamodb:(\w+)", table)}
(action,) = re.findall(r"Action: dynamodb:(\w+)", indexes)
allowed |= {f"{action}@{index}" for index in re.findall(r"/index/(\w+)", indexes)}
target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
seen = {file.name for file in (target / "tmp/permissions").iterdir()}
print(len(seen), "actions:", *sorted(seen))
if seen - allowed:
    sys.exit(f"the template does not allow {seen - allowed}")
if allowed - seen:
    sys.exit(f"no test needs {allowed - seen}, which the template allows")
