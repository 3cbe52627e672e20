#!/usr/bin/env bash
# Tests of the application against a real Postgres and a real Valkey or Redis, which it
# starts on loopback and ends again. Arguments go to `node --test`.
set -euo pipefail
cd "$(dirname "$0")"
. ../testing/local-stores.sh
. ../testing/node.sh
trap stores_stop EXIT

node=$(node_program .)
packages=$(node_packages .)
# A directory of one's own, made by `npm ci`, stays.
[ -d node_modules ] && [ ! -L node_modules ] || ln -sfn "$packages/node_modules" node_modules
stores_start
stores_database accounts

export DATABASE_URL="$POSTGRES_URL/accounts" REDIS_URL="$CACHE_URL"
export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890"

# With a fault declared too: a Job gets the servers' environment. And twice: a Job may run again.
export ACCOUNTS_FAULT=key-per-start
for _ in 1 2; do
    "$node" commands/migrate.js
    DEMO_USERS_PASSWORD="correct horse battery" "$node" commands/demo-users.js
    ACCORD_CANARY_USERNAME=canary ACCORD_CANARY_EMAIL=canary@example.com ACCORD_CANARY_PASSWORD="one canary's password" \
        "$node" commands/canary.js
done >/dev/null
unset ACCOUNTS_FAULT
# One file at a time: in one of them Redis goes away.
"$node" --test --test-concurrency=1 "$@"
