"""Sessions in Redis that fail loudly.

Django's cache sessions treat an unreachable cache as an empty session. The user
is then anonymous, and the answer deletes the cookie: a cache that restarts for
two seconds logs out everybody who clicked in them. Here the error gets through,
`config.errors` answers 503, and the next request finds the session again.
"""

from django.contrib.sessions.backends.cache import KEY_PREFIX
from django.contrib.sessions.backends.cache import SessionStore as CacheSessionStore


class SessionStore(CacheSessionStore):
    cache_key_prefix = KEY_PREFIX

    def load(self):
        data = self._cache.get(self.cache_key)
        if data is None:
            self._session_key = None
            return {}
        return data
