"""Password authentication that asks the shared lookup cache first."""

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import check_password

from accounts import lookup
from accounts.models import User


class CachedLookupBackend(ModelBackend):
    def authenticate(self, request, username=None, password=None, **kwargs):
        if not username or password is None:
            return None
        known = lookup.find(username)
        if known is not None:
            if not check_password(password, known.password_hash):
                return None
            user = self.confirm(known, username)
            if user is not None:
                return user
        user = super().authenticate(request, username=username, password=password)
        if user is not None:
            lookup.remember(user)
        return user

    def confirm(self, known, username):
        """The row behind an entry whose password matched, if it is still the same."""
        user = User.objects.filter(
            pk=known.pk, username=username, password=known.password_hash
        ).first()
        return user if user is not None and self.user_can_authenticate(user) else None
