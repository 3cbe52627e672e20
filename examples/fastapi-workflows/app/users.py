"""Makes sure that an account exists, for Jobs. Running it again changes nothing that is right."""

import asyncio
import os

from sqlalchemy import select

from app import passwords
from app.database import engine, sessionmaker
from app.models import User


def from_environment(name: str) -> str:
    """Passwords come from the environment: an argument would show in the list of processes."""
    value = os.environ.get(name, "")
    if not value:
        raise SystemExit(f"{name} is not set. There is no default.")
    return value


async def _ensure(accounts: dict[str, tuple[str, str]], password: str) -> None:
    async with sessionmaker() as database:
        for username, (email, role) in accounts.items():
            user = await database.scalar(select(User).where(User.username == username))
            user = user or User(username=username, password_hash="")
            if not await passwords.match(user.password_hash, password):
                user.password_hash = passwords.hashed(password)
            user.email, user.role = email, role
            database.add(user)
            print(f"{username} is there")
        await database.commit()
    await engine.dispose()


def ensure(accounts: dict[str, tuple[str, str]], password: str) -> None:
    """`accounts`: username to e-mail address and role."""
    asyncio.run(_ensure(accounts, password))
