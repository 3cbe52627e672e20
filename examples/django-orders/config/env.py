"""Reads settings from the environment, and says which variable is wrong.

A setting that must be the same on every replica has no default here: a default
is a value that each replica would make up for itself.
"""

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


def required(name, meaning):
    """The value of `name`; refuses to start without it."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ImproperlyConfigured(
            f"The environment variable {name} is missing or empty. Set it to {meaning}."
        )
    return value


def required_url(name, schemes, meaning):
    """A URL with one of `schemes`. The value isn't repeated: it holds a password."""
    value = required(name, meaning)
    scheme = urlsplit(value).scheme
    if scheme not in schemes:
        raise ImproperlyConfigured(
            f"{name} has the scheme {scheme!r}, expected one of {', '.join(schemes)}. "
            f"Set it to {meaning}."
        )
    return value


def required_list(name, meaning):
    """A comma-separated list with at least one entry."""
    values = split(required(name, meaning))
    if not values:
        raise ImproperlyConfigured(f"{name} has no entry. Set it to {meaning}.")
    return values


def optional_list(name):
    """A comma-separated list that may be empty."""
    return split(os.environ.get(name, ""))


def choice(name, allowed, default):
    """One of a few words."""
    value = os.environ.get(name, "").strip() or default
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{name} is {value!r}, expected one of {', '.join(allowed)}."
        )
    return value


def split(text):
    return [part.strip() for part in text.split(",") if part.strip()]
