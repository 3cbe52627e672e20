"""Creates the demo users. Running it again changes nothing that is right already.

The password comes from the environment only: an argument would show in the list
of processes, a default would be the same weak one everywhere.
"""

import os

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User

PASSWORD_VARIABLE = "DEMO_USERS_PASSWORD"
DEMO_USERS = {
    "staff1": ["staff"],
    "staff2": ["staff"],
    "manager1": ["manager", "staff"],
    "finance1": ["finance"],
}


class Command(BaseCommand):
    help = f"Creates {', '.join(DEMO_USERS)} with the password from {PASSWORD_VARIABLE}."

    def handle(self, *args, **options):
        password = password_from_environment()
        with transaction.atomic():
            for username, roles in DEMO_USERS.items():
                changed = ensure_user(username, password, roles)
                self.stdout.write(f"{username}: {'written' if changed else 'unchanged'}")


def password_from_environment():
    password = os.environ.get(PASSWORD_VARIABLE, "")
    if not password:
        raise CommandError(
            f"{PASSWORD_VARIABLE} is not set. Give it the demo users' password, "
            "for example from a Secret; there is no default."
        )
    try:
        validate_password(password)
    except ValidationError as error:
        raise CommandError(f"{PASSWORD_VARIABLE} is too weak: {' '.join(error.messages)}") from None
    return password


def ensure_user(username, password, roles):
    """Whether anything had to be written."""
    user, changed = User.objects.get_or_create(
        username=username, defaults={"email": f"{username}@example.com"}
    )
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
        changed = True
    if user.roles != sorted(roles):
        user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
        changed = True
    return changed
