"""Settings that are missing stop the process, and the message names them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.test import SimpleTestCase

from config.faults import FAULTS

PROJECT = Path(__file__).resolve().parent.parent
GOOD = {
    "SECRET_KEY": "k" * 50,
    "ALLOWED_HOSTS": "orders.example.com",
    "DATABASE_URL": "postgres://u:hunter2@db.example/orders"
    "?sslmode=verify-full&sslrootcert=/etc/accord/ca.crt",
    "REDIS_URL": "rediss://:hunter2@cache.example:6379/0",
    "SECRET_KEY_FALLBACKS": "",
}


def settings(code="", **environment):
    """Loads the settings in a fresh process: without a value the variable is unset."""
    variables = {k: v for k, v in (GOOD | environment).items() if v is not None}
    keep = {k: os.environ[k] for k in ("PATH", "HOME", "PYTHONPATH") if k in os.environ}
    return subprocess.run(
        [sys.executable, "-c", f"from config import settings as s; {code}"],
        env=keep | variables,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )


class SettingsTests(SimpleTestCase):
    def test_each_shared_value_is_required_and_named(self):
        for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"):
            for value in (None, "", " "):
                with self.subTest(name=name, value=value):
                    result = settings(**{name: value})
                    self.assertNotEqual(result.returncode, 0)
                    self.assertIn("ImproperlyConfigured", result.stderr)
                    self.assertIn(f"{name} is missing", result.stderr)

    def test_a_wrong_database_is_refused_without_showing_its_password(self):
        result = settings(DATABASE_URL="sqlite:////tmp/hunter2.db")
        self.assertIn("DATABASE_URL has the scheme 'sqlite'", result.stderr)
        self.assertNotIn("hunter2", result.stderr)

    def test_tls_parameters_reach_the_driver(self):
        result = settings("print(s.DATABASES['default']['OPTIONS'])")
        self.assertIn("'sslmode': 'verify-full'", result.stdout, result.stderr)
        self.assertIn("'sslrootcert': '/etc/accord/ca.crt'", result.stdout)

    def test_fallback_keys_keep_their_order(self):
        result = settings("print(s.SECRET_KEY_FALLBACKS)", SECRET_KEY_FALLBACKS="new, old")
        self.assertEqual(result.stdout.strip(), "['new', 'old']")

    def test_only_the_switch_leads_to_sqlite(self):
        engine = "print(s.DATABASES['default']['ENGINE'])"
        self.assertIn("postgresql", settings(engine).stdout)
        self.assertIn("postgresql", settings(engine, ORDERS_DATABASE="").stdout)
        self.assertIn("sqlite3", settings(engine, ORDERS_DATABASE="sqlite").stdout)
        self.assertIn("ORDERS_DATABASE is 'mysql'", settings(ORDERS_DATABASE="mysql").stderr)

    def test_an_unknown_fault_is_refused_by_name(self):
        result = settings(ORDERS_FAULT="local-databse")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("ORDERS_FAULT is 'local-databse', expected one of none, local-d", result.stderr)

    def test_a_job_with_the_servers_environment_stays_right(self):
        show = "print(s.DATABASES['default']['ENGINE'], s.SESSION_ENGINE, s.SECRET_KEY)"
        right = settings(show).stdout
        self.assertIn("postgresql config.sessions kkk", right)
        with tempfile.TemporaryDirectory() as local:
            for fault in FAULTS:
                with self.subTest(fault=fault):
                    self.assertEqual(settings(show, ORDERS_FAULT=fault, TMPDIR=local).stdout, right)
