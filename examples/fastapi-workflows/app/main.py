"""The application that uvicorn serves."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app import auth, csrf, errors, faults, health, metrics, sessions, settings, workflows
from app.database import engine


@asynccontextmanager
async def lifespan(app: FastAPI):
    await faults.start()
    yield
    await sessions.redis.aclose()
    await engine.dispose()


# The pages that describe the API are for developers.
described = "/openapi.json" if settings.ENVIRONMENT == "development" else None
app = FastAPI(title="Workflows", lifespan=lifespan, openapi_url=described)
app.add_middleware(
    CORSMiddleware,
    allow_origins=settings.CORS_ORIGINS,
    allow_credentials=True,
    allow_methods=["GET", "POST"],
    allow_headers=["Content-Type", "Authorization", "X-CSRF-Token"],
)
app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.ALLOWED_HOSTS, www_redirect=False)
errors.register(app)
for module in (auth, csrf, workflows, health, metrics):
    app.include_router(module.router)


@app.middleware("http")
async def security_headers(request, call_next):
    response = await call_next(request)
    response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    return response
