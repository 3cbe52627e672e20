"""A client as a browser behind the router is: HTTPS, the canonical host, its Origin."""

import os
import unittest
from unittest import mock

from flask.testing import FlaskClient

from tickets import create_app
from tickets.models import Ticket, User, db

HOST = "tickets.example.com"
ORIGIN = f"https://{HOST}"
PASSWORD = "correct horse battery"


class Browser(FlaskClient):
    def open(self, *args, **kwargs):
        kwargs["headers"] = {"Origin": ORIGIN, "Host": HOST} | dict(kwargs.get("headers") or {})
        return super().open(*args, **{"base_url": ORIGIN} | kwargs)


class AppTestCase(unittest.TestCase):
    """Starts with empty stores, and the user `agent1`."""

    def setUp(self):
        self.app = create_app()
        context = self.app.app_context()
        context.push()
        self.addCleanup(context.pop)
        self.addCleanup(db.engine.dispose)
        self.addCleanup(db.session.remove)
        self.app.config["SESSION_REDIS"].flushdb()
        for model in (Ticket, User):
            db.session.execute(db.delete(model))
        self.user("agent1")
        self.client = self.browser()

    def user(self, username, role="user"):
        user = User(username=username, role=role)
        user.set_password(PASSWORD)
        db.session.add(user)
        db.session.commit()

    def browser(self):
        self.app.test_client_class = Browser
        return self.app.test_client()

    def login(self, client=None, username="agent1", password=PASSWORD, **extra):
        body = {"username": username, "password": password}
        return (client or self.client).post("/api/auth/login", json=body, **extra)

    def environment(self, **variables):
        return mock.patch.dict(os.environ, variables)
