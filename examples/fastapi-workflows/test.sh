#!/usr/bin/env bash
# Tests of the application against a real Postgres and a real Valkey or Redis, which it
# starts on loopback and ends again. Arguments go to `python -m unittest`.
set -euo pipefail
cd "$(dirname "$0")"
. ../testing/local-stores.sh
trap stores_stop EXIT

python=$(python_venv "${ACCORD_CACHE:-/var/cache/accord}/venv/fastapi-workflows" requirements.txt)
stores_start
stores_database workflows

export PYTHONDONTWRITEBYTECODE=1
export DATABASE_URL="postgresql+asyncpg://postgres@127.0.0.1:$POSTGRES_PORT/workflows" REDIS_URL="$CACHE_URL"
export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890"
export ALLOWED_HOSTS=workflows.example.com

# With a fault declared too: a Job gets the servers' environment.
export WORKFLOWS_FAULT=token-format
"$python" -m alembic -q upgrade head
"$python" -m alembic -q check
for _ in 1 2; do DEMO_USERS_PASSWORD="correct horse battery" "$python" -m app.demo_users >/dev/null; done
unset WORKFLOWS_FAULT
"$python" -m unittest "${@:-discover}"
