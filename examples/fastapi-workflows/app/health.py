"""Health for probes. `/api/health` is liveness: this process answers, and asks nobody else. The others ask one store each."""

from fastapi import APIRouter
from sqlalchemy import text

from app import sessions
from app.database import Database

router = APIRouter(prefix="/api/health", tags=["health"])


@router.get("")
async def live() -> dict:
    return {"status": "ok"}


@router.get("/auth")
async def auth() -> dict:
    await sessions.redis.ping()
    return {"status": "ok"}


@router.get("/database")
async def database(connection: Database) -> dict:
    await connection.scalar(text("SELECT 1"))
    return {"status": "ok"}
