"""A client as a browser behind the router is: HTTPS, the canonical host, its Origin."""

from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import TestCase
from rest_framework.test import APIClient

from accounts.models import User

HOST = "orders.example.com"
ORIGIN = f"https://{HOST}"
PASSWORD = "correct horse battery"


def browser(**extra):
    # Each is also a client of its own: no cookies but those it was given.
    headers = {"HTTP_HOST": HOST, "HTTP_X_FORWARDED_PROTO": "https", "HTTP_ORIGIN": ORIGIN}
    return APIClient(enforce_csrf_checks=True, **headers | extra)


class AppTestCase(TestCase):
    """Starts with an empty cache: it isn't rolled back like the database."""

    def setUp(self):
        cache.clear()
        self.user = User.objects.create_user("staff1", "staff1@example.com", PASSWORD)
        self.client = browser()

    def login(self, client=None, username="staff1", password=PASSWORD):
        return (client or self.client).post(
            "/api/auth/login/", {"username": username, "password": password}, format="json"
        )

    def me(self, client=None, access=None):
        headers = {"HTTP_AUTHORIZATION": f"Bearer {access}"} if access else {}
        return (client or self.client).get("/api/auth/me/", **headers)

    def with_roles(self, *roles, username=None):
        user = self.user
        if username:
            user = User.objects.create_user(username, f"{username}@example.com", PASSWORD)
        user.groups.set(Group.objects.filter(name__in=roles))
        return user
