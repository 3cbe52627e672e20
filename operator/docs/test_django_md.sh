#!/usr/bin/env bash
# Makes the project of django.md from a fresh startproject and runs it as two replicas
# on a Postgres and a Valkey or Redis, which it starts on loopback and ends again.
set -euo pipefail
cd "$(dirname "$0")"
docs=$PWD
. ../../examples/testing/local-stores.sh
trap stores_stop EXIT

python3 tests/test_run_blocks.py

stores_start
stores_database mysite
# The page's own `pip install` fills this one; PyYAML is for reading its declaration.
echo "PyYAML==6.0.3" >"$STORES_DIR/requirements.txt"
python=$(python_venv "${ACCORD_CACHE:-/var/cache/accord}/venv/django-md" "$STORES_DIR/requirements.txt")
export PATH="$(dirname "$python"):$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1
python3 run_blocks.py build django.md "$STORES_DIR/project"

export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890" SECRET_KEY_FALLBACKS=
# No trusted origins, so that the scheme has to be read from the router's header; and gunicorn
# trusts that header from loopback by itself, which no router in a cluster is.
export ALLOWED_HOSTS=mysite.example.com CSRF_TRUSTED_ORIGINS= FORWARDED_ALLOW_IPS=192.0.2.1
export DATABASE_URL="$POSTGRES_URL/mysite" REDIS_URL="$CACHE_URL"
restart="bash -c '. $docs/../../examples/testing/local-stores.sh; stores_cache_restart'"
"$python" tests/replicas_agree.py "$STORES_DIR/project" "$restart"
