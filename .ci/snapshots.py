"""Every snapshot is the expected value of a test, and none is pending.

Run after the tests, which list each snapshot that they read in the file that
INSTA_SNAPSHOT_REFERENCES_FILE names.
"""

import os
import sys
from pathlib import Path

references = Path(os.environ["INSTA_SNAPSHOT_REFERENCES_FILE"]).read_text().splitlines()
referenced = {Path(line).resolve() for line in references}
tests = Path("tests").resolve()
snapshots = set(tests.rglob("*.snap"))
print(len(snapshots), "snapshots")
problems = [f"no test reads {file}" for file in sorted(snapshots - referenced)]
problems += [f"{file} is pending" for file in sorted(tests.rglob("*.snap.new"))]
problems += [f"{file} is pending" for file in sorted(tests.rglob("*.pending-snap"))]
if problems:
    sys.exit("\n".join(problems).replace(f"{tests.parent}{os.sep}", ""))
