#!/usr/bin/env bash
# Tests of the application against a real Postgres and a real Valkey or Redis, which it
# starts on loopback and ends again. Arguments go to `python -m unittest`.
set -euo pipefail
cd "$(dirname "$0")"
. ../testing/local-stores.sh
trap stores_stop EXIT

python=$(python_venv "${ACCORD_CACHE:-/var/cache/accord}/venv/flask-tickets" requirements.txt)
stores_start
stores_database tickets

export PYTHONDONTWRITEBYTECODE=1
export DATABASE_URL="postgresql+psycopg://postgres@127.0.0.1:$POSTGRES_PORT/tickets" REDIS_URL="$CACHE_URL"
export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890"
export TRUSTED_HOSTS=tickets.example.com

# With a fault declared too: a Job gets the servers' environment.
TICKETS_FAULT=key-per-start "$python" -m flask db upgrade
"$python" -m flask db check
"$python" -m unittest "${@:-discover}"
