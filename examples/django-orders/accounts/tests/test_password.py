"""A changed password takes effect at once, whatever is cached and wherever."""

from django.core.cache import cache

from accounts import lookup
from accounts.models import User
from tests.client import PASSWORD, AppTestCase, browser

NEW = "another fine password"


class ChangePasswordTests(AppTestCase):
    def change(self, client, old=PASSWORD, new=NEW, **extra):
        extra.setdefault("HTTP_X_CSRFTOKEN", client.cookies["csrftoken"].value)
        # on_commit runs as it would outside a test's transaction.
        with self.captureOnCommitCallbacks(execute=True):
            return client.post(
                "/api/auth/change-password/",
                {"old_password": old, "new_password": new},
                format="json",
                **extra,
            )

    def test_ends_all_but_this_session(self):
        elsewhere = browser()
        tokens = self.login(elsewhere).json()
        self.login()
        answer = self.change(self.client)
        self.assertEqual(answer.status_code, 200, answer.content)
        self.assertEqual(self.me().status_code, 200)
        self.assertEqual(self.me(elsewhere).status_code, 401)
        self.assertEqual(self.me(browser(), tokens["access"]).status_code, 401)
        refresh = browser().post("/api/auth/refresh/", {"refresh": tokens["refresh"]}, format="json")
        self.assertEqual(refresh.status_code, 401)
        self.assertEqual(self.me(browser(), answer.json()["access"]).status_code, 200)

    def test_old_refused_and_new_accepted_with_a_warm_cache(self):
        self.login()
        self.assertIsNotNone(lookup.find("staff1"))
        self.assertEqual(self.change(self.client).status_code, 200)
        self.assertEqual(self.login(browser(), password=PASSWORD).status_code, 401)
        self.assertEqual(self.login(browser(), password=NEW).status_code, 200)

    def test_needs_the_old_password_and_a_good_new_one(self):
        self.login()
        self.assertEqual(self.change(self.client, old="wrong").status_code, 400)
        self.assertEqual(self.change(self.client, new="password123").status_code, 400)
        self.assertEqual(self.login(browser()).status_code, 200)

    def test_needs_the_csrf_token(self):
        self.login()
        self.assertEqual(self.change(self.client, HTTP_X_CSRFTOKEN="").status_code, 403)


class LookupCacheTests(AppTestCase):
    def test_a_login_is_remembered_for_five_minutes(self):
        self.login()
        redis = cache._cache.get_client()
        remaining = redis.ttl(cache.make_key("user_lookup:staff1"))
        self.assertTrue(290 <= remaining <= 300, remaining)
        # The update of last_login doesn't count as a change.
        self.assertIsNotNone(lookup.find("staff1"))

    def test_a_wrong_password_is_refused_without_the_database(self):
        self.login()
        with self.assertNumQueries(0):
            self.assertEqual(self.login(browser(), password="wrong").status_code, 401)

    def test_a_stale_entry_lets_no_old_password_in(self):
        self.login()
        # As if the invalidation had been lost: no signal is sent.
        User.objects.filter(pk=self.user.pk).update(password="!")
        self.assertEqual(self.login(browser()).status_code, 401)

    def test_a_replica_that_read_before_the_change_cannot_bring_it_back(self):
        before = User.objects.get(pk=self.user.pk)
        self.user.set_password(NEW)
        with self.captureOnCommitCallbacks(execute=True):
            self.user.save()
        lookup.remember(before)
        self.assertIsNone(lookup.find("staff1"))
        self.assertEqual(self.login(browser(), password=NEW).status_code, 200)

    def test_a_deactivated_or_deleted_user_is_refused(self):
        self.login()
        User.objects.filter(pk=self.user.pk).update(is_active=False)
        self.assertEqual(self.login(browser()).status_code, 401)
        self.user.delete()
        self.assertEqual(self.login(browser()).status_code, 401)
