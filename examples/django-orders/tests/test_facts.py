"""What the preset's facts command prints of this application, with each fault: the operator's tests judge `facts.json`.

Run with `WRITE_FACTS=1` to make the file anew.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.test import SimpleTestCase

from config.faults import FAULTS
from tests.test_settings import PROJECT

SCRIPT = PROJECT.parent.parent / "operator/plan/src/preset/facts/django.py"
FILE = PROJECT / "tests/facts.json"
KEY = "only-for-tests-only-for-tests-only-for-tests-1234567890"
BINDINGS = {
    "SECRET_KEY": KEY,
    "SECRET_KEY_FALLBACKS": "",
    "ALLOWED_HOSTS": "orders.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://orders.example.com",
    "DATABASE_URL": "postgres://app_a:hidden-word@orders-postgres.shop.svc:5432/app?sslmode=verify-full",
    "DATABASE_REPLICA_URL": "postgres://app_a:hidden-word@replica.shop.svc:5432/app?sslmode=verify-full",
    "REDIS_URL": "rediss://:hidden-word@orders-cache.shop.svc:6379/0",
    "ACCORD_FACTS": "1",
    "ACCORD_FACTS_KEY": KEY,
}
VARIANTS = {fault: {"ORDERS_FAULT": fault} for fault in ("none", *FAULTS)} | {
    "image-sqlite": {"ORDERS_DATABASE": "sqlite"}
}


def ask(directory, **environment):
    """One run, as the runner's: the last line that is an answer."""
    keep = {k: os.environ[k] for k in ("PATH", "HOME", "PYTHONPATH") if k in os.environ}
    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", SCRIPT.read_text()],
        env=keep | BINDINGS | {"TMPDIR": directory} | environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "hidden-word" not in result.stdout and KEY not in result.stdout
    answers = [line for line in result.stdout.splitlines() if line.startswith('{"accordFacts":')]
    facts = json.loads(answers[-1].replace(directory, "TMPDIR"))
    return {name: value for name, value in facts.items() if name != "accordFacts"}


class FactsTests(SimpleTestCase):
    maxDiff = None

    def test_what_is_printed_with_each_fault(self):
        found = {}
        for variant, environment in VARIANTS.items():
            with tempfile.TemporaryDirectory() as local:
                found[variant] = [ask(local, **environment) for _ in range(2)]
        one, two = (run["keys"] for run in found["key-per-start"])
        self.assertNotEqual(one, two)
        # Others each time: what matters is that they are.
        for number, run in enumerate(found["key-per-start"]):
            for key in run["keys"]:
                key["fingerprint"] = f"made at start {number}"
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
