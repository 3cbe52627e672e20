"""Commands for Jobs. Passwords come from the environment: an argument would show in the list of processes."""

import os

import click

from tickets.models import User, db

DEMO_USERS = {"admin": "manager", "agent1": "user", "agent2": "user"}
SHORTEST = 12


def register(app):
    @app.cli.command("create-demo-users")
    def create_demo_users():
        """Creates the demo users; running it again changes nothing that is right."""
        password = from_environment("DEMO_USERS_PASSWORD")
        if len(password) < SHORTEST:
            raise click.ClickException(f"DEMO_USERS_PASSWORD is shorter than {SHORTEST} characters.")
        for username, role in DEMO_USERS.items():
            ensure_user(username, password, role)

    @app.cli.command("create-canary")
    def create_canary():
        """Creates the account that Accord logs in with, without rights."""
        ensure_user(from_environment("ACCORD_CANARY_USERNAME"), from_environment("ACCORD_CANARY_PASSWORD"), "user")


def from_environment(name):
    value = os.environ.get(name, "")
    if not value:
        raise click.ClickException(f"{name} is not set. There is no default.")
    return value


def ensure_user(username, password, role):
    user = db.session.scalar(db.select(User).filter_by(username=username)) or User(username=username)
    if user.id is None or not user.has_password(password):
        user.set_password(password)
    user.role = role
    db.session.add(user)
    db.session.commit()
    click.echo(f"{username} is there")
