"""The seed: from the environment, twice the same, never printed."""

import os
from io import StringIO
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase

from accounts.models import User

PASSWORD = "only in a Secret 1"


def create(password):
    out = StringIO()
    with mock.patch.dict(os.environ, {"DEMO_USERS_PASSWORD": password}):
        call_command("create_demo_users", stdout=out, stderr=out)
    return out.getvalue()


class CreateDemoUsersTests(TestCase):
    def test_creates_them_once(self):
        first, second = create(PASSWORD), create(PASSWORD)
        self.assertEqual(User.objects.count(), 4)
        self.assertEqual(User.objects.get(username="staff1").roles, ["staff"])
        self.assertEqual(User.objects.get(username="manager1").roles, ["manager", "staff"])
        self.assertFalse(User.objects.filter(is_superuser=True).exists())
        self.assertEqual(first.count("written"), 4)
        self.assertEqual(second.count("unchanged"), 4)
        self.assertNotIn(PASSWORD, first + second)

    def test_repairs_what_differs(self):
        create(PASSWORD)
        User.objects.get(username="staff1").groups.clear()
        create("another Secret 2")
        staff1 = User.objects.get(username="staff1")
        self.assertTrue(staff1.check_password("another Secret 2"))
        self.assertEqual(staff1.roles, ["staff"])

    def test_refuses_without_a_password_or_with_a_weak_one(self):
        with self.assertRaisesMessage(CommandError, "DEMO_USERS_PASSWORD is not set"):
            create("")
        with self.assertRaisesMessage(CommandError, "too weak") as refused:
            create("password123")
        self.assertNotIn("password123", str(refused.exception))
        self.assertEqual(User.objects.count(), 0)
