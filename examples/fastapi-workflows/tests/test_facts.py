"""What the preset's facts command prints of this application, with each fault: the operator's tests judge `facts.json`.

Run with `WRITE_FACTS=1` to make the file anew.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from app.faults import FAULTS

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = PROJECT.parent.parent / "operator/plan/src/preset/facts/fastapi.py"
FILE = PROJECT / "tests/facts.json"
KEY = "only-for-tests-only-for-tests-only-for-tests-1234567890"
BINDINGS = {
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": "workflows.example.com",
    "DATABASE_URL": "postgresql+asyncpg://app_a:hidden-word@workflows-postgres.shop.svc:5432/app",
    "REDIS_URL": "rediss://:hidden-word@workflows-cache.shop.svc:6379/0",
    "ACCORD_FACTS": "1",
    "ACCORD_FACTS_KEY": KEY,
}


def ask(fault):
    """One run, as the runner's: the last line that is an answer."""
    keep = {k: os.environ[k] for k in ("PATH", "HOME", "PYTHONPATH") if k in os.environ}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.read_text()],
        env=keep | BINDINGS | {"WORKFLOWS_FAULT": fault},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "hidden-word" not in result.stdout and KEY not in result.stdout
    answers = [line for line in result.stdout.splitlines() if line.startswith('{"accordFacts":')]
    return {name: value for name, value in json.loads(answers[-1]).items() if name != "accordFacts"}


class FactsTests(unittest.TestCase):
    maxDiff = None

    def test_what_is_printed_with_each_fault(self):
        found = {fault: [ask(fault) for _ in range(2)] for fault in ("none", *FAULTS)}
        if "WRITE_FACTS" in os.environ:
            FILE.write_text(as_lines(found))
        self.assertEqual(json.loads(FILE.read_text()), found)


def as_lines(found):
    """JSON with a line for each run."""
    runs = [
        f"{json.dumps(variant)}: [\n" + ",\n".join(f"  {json.dumps(run)}" for run in both) + "\n]"
        for variant, both in found.items()
    ]
    return "{" + ",\n".join(runs) + "}\n"
