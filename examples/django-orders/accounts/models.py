"""Users. Roles are groups; they are read from the database, never cached."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Django's user, in a table of our own so that it can grow."""

    @property
    def roles(self):
        return sorted(self.groups.values_list("name", flat=True))

    def has_role(self, role):
        return role in self.roles
