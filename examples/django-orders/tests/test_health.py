"""Liveness asks nobody; readiness asks the stores."""

from unittest import mock

from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.client import HOST, AppTestCase


class HealthTests(AppTestCase):
    def probe(self, path, host=HOST):
        # As kubelet asks: plain HTTP, no forwarded header.
        return self.client_class().get(path, HTTP_HOST=host)

    def test_liveness_needs_neither_store_nor_tls(self):
        with self.assertNumQueries(0), mock.patch("redis.Redis.get", side_effect=AssertionError):
            self.assertEqual(self.probe("/health/").status_code, 200)

    def test_readiness_names_the_store_that_is_away(self):
        self.assertEqual(self.probe("/health/ready/").status_code, 200)
        with mock.patch("redis.Redis.get", side_effect=RedisConnectionError("down")):
            answer = self.probe("/health/ready/")
        self.assertEqual(answer.status_code, 503)
        self.assertEqual(answer.json(), {"database": "ok", "cache": "unavailable"})
        with mock.patch("config.health.connection.cursor", side_effect=OperationalError("down")):
            answer = self.probe("/health/ready/")
        self.assertEqual(answer.json(), {"database": "unavailable", "cache": "ok"})

    def test_everything_else_wants_https_and_a_known_host(self):
        self.assertEqual(self.probe("/api/auth/me/").status_code, 301)
        self.assertEqual(self.probe("/health/", host="10.0.0.7").status_code, 400)
