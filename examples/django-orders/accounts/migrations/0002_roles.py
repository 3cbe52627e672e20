"""The roles, as groups. A migration, so that they exist once and everywhere."""

from django.db import migrations

ROLES = ("staff", "manager", "finance")


def create_roles(apps, schema_editor):
    groups = apps.get_model("auth", "Group").objects
    for role in ROLES:
        groups.get_or_create(name=role)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    # Going back keeps the groups: users may be in them.
    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
