"""CSRF by double submit: a page of another site can make a browser send our cookie, but can't read it to send it as a header."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, HTTPException, Response

from app import metrics, settings

COOKIE = "csrf_token"

router = APIRouter(prefix="/api/auth", tags=["auth"])


@router.get("/csrf")
async def csrf(response: Response) -> dict:
    token = secrets.token_urlsafe(32)
    # Scripts of the frontend read it, so it isn't HttpOnly.
    response.set_cookie(COOKIE, token, **settings.COOKIES)
    response.headers["Cache-Control"] = "no-store"
    return {"csrf_token": token}


async def require_csrf(
    csrf_token: Annotated[str | None, Cookie()] = None,
    x_csrf_token: Annotated[str | None, Header()] = None,
    authorization: Annotated[str | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> None:
    if authorization and not session:
        # No browser sends this header by itself: there is nothing to forge.
        return
    if not csrf_token or not x_csrf_token or not secrets.compare_digest(
        csrf_token.encode(), x_csrf_token.encode()
    ):
        metrics.count("csrf_failures")
        raise HTTPException(403, "The CSRF token is missing or wrong: fetch /api/auth/csrf first.")


CsrfChecked = Depends(require_csrf)
