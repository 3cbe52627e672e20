"""Drops a user's cached lookup on all replicas when the user changes.

Before the transaction commits, so that an unreachable cache fails the change and
not the invalidation; and after it, so that the marker's time counts from there.
"""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from accounts import lookup
from accounts.models import User

# Written at each login; not part of what is cached.
UNCACHED_FIELDS = {"last_login"}


@receiver(post_save, sender=User)
def user_saved(instance, created, update_fields, **kwargs):
    if created or (update_fields and set(update_fields) <= UNCACHED_FIELDS):
        return
    forget(instance)


@receiver(post_delete, sender=User)
def user_deleted(instance, **kwargs):
    forget(instance)


def forget(user):
    lookup.forget(user.get_username())
    transaction.on_commit(partial(lookup.forget, user.get_username()))
