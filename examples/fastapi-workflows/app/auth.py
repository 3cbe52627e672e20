"""Login, refresh, logout, and who is logged in: by cookie for browsers, by token for other clients."""

import time
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from app import metrics, passwords, sessions, settings, tokens
from app.csrf import CsrfChecked
from app.database import Database
from app.models import User

router = APIRouter(prefix="/api/auth", tags=["auth"])


class Credentials(BaseModel):
    username: str = Field(max_length=150)
    password: str = Field(max_length=1024)


class RefreshToken(BaseModel):
    refresh_token: str = Field(max_length=200)


def unauthorized(detail: str) -> HTTPException:
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


async def current_user(
    database: Database,
    authorization: Annotated[str | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> User:
    condition = None
    if authorization and authorization.lower().startswith("bearer "):
        condition = tokens.owner(authorization[7:])
    elif session and (user_id := await sessions.owner(session)) is not None:
        condition = User.id == user_id
    user = await database.scalar(select(User).where(condition)) if condition is not None else None
    if user is None:
        raise unauthorized("Log in first.")
    return user


CurrentUser = Annotated[User, Depends(current_user)]


async def token_pair(user: User) -> dict:
    return {
        "access_token": tokens.issue(user),
        "refresh_token": await sessions.issue_refresh(user.id),
        "token_type": "bearer",
        "expires_in": settings.ACCESS_SECONDS,
    }


@router.post("/login", dependencies=[CsrfChecked])
async def login(credentials: Credentials, response: Response, database: Database) -> dict:
    began = time.monotonic()
    user = await database.scalar(select(User).where(User.username == credentials.username))
    known = await passwords.match(user.password_hash if user else passwords.NOBODYS, credentials.password)
    metrics.count("login_seconds_sum", time.monotonic() - began)
    metrics.count("logins")
    if user is None or not known:
        metrics.count("login_failures")
        raise unauthorized("Wrong username or password.")
    session = await sessions.begin(user.id)
    response.set_cookie(
        "session", session, max_age=settings.SESSION_SECONDS, httponly=True, **settings.COOKIES
    )
    return await token_pair(user)


@router.get("/me")
async def me(user: CurrentUser) -> dict:
    return {"username": user.username, "email": user.email, "role": user.role}


@router.post("/refresh")
async def refresh(body: RefreshToken, database: Database) -> dict:
    user_id = await sessions.take_refresh(body.refresh_token)
    user = await database.get(User, user_id) if user_id is not None else None
    if user is None:
        raise unauthorized("The refresh token is invalid or used up.")
    return await token_pair(user)


@router.post("/logout", dependencies=[CsrfChecked])
async def logout(
    user: CurrentUser,
    response: Response,
    body: RefreshToken | None = None,
    session: Annotated[str | None, Cookie()] = None,
) -> dict:
    """Ends the session and the refresh token. The access token lives until it expires: it is checked without a lookup."""
    if body:
        await sessions.take_refresh(body.refresh_token)
    if session and await sessions.owner(session) == user.id:
        await sessions.end(session)
        response.delete_cookie("session", httponly=True, **settings.COOKIES)
    return {"detail": "Logged out."}
