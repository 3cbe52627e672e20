"""The engine, and a session a request. TLS comes from PGSSLMODE and PGSSLROOTCERT: asyncpg refuses it in the URL."""

import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app import settings

engine = create_async_engine(
    settings.DATABASE_URL,
    pool_size=5,
    max_overflow=5,
    # Checked before use, so that a restarted database costs a reconnect and not an error.
    pool_pre_ping=True,
    connect_args={
        "timeout": 5,
        # The replica's name in pg_stat_activity: who holds which connection.
        "server_settings": {"application_name": os.environ.get("PGAPPNAME", socket.gethostname())[:63]},
    },
)
sessionmaker = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessionmaker() as opened:
        yield opened


Database = Annotated[AsyncSession, Depends(session)]
