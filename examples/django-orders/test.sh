#!/usr/bin/env bash
# Tests of the application against a real Postgres and a real Valkey or Redis, which it
# starts on loopback and ends again. Arguments go to `manage.py test`.
set -euo pipefail
cd "$(dirname "$0")"
. ../testing/local-stores.sh
trap stores_stop EXIT

python=$(python_venv "${ACCORD_CACHE:-/var/cache/accord}/venv/django-orders" requirements.txt)
stores_start
stores_database orders

export PYTHONDONTWRITEBYTECODE=1
export DATABASE_URL="$POSTGRES_URL/orders" REDIS_URL="$CACHE_URL"
export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890"
# Refused logins are what the tests are about: their warnings would hide a failure.
export LOG_LEVEL=CRITICAL
# gunicorn trusts forwarded headers from loopback by itself, which no router in a cluster is.
export FORWARDED_ALLOW_IPS=192.0.2.1
export ALLOWED_HOSTS=orders.example.com CSRF_TRUSTED_ORIGINS=https://www.example.com

"$python" manage.py check --deploy --fail-level WARNING
"$python" manage.py makemigrations --check --dry-run
"$python" manage.py test --settings tests.settings "$@"
