#!/usr/bin/env bash
# What custom.md says of its example: the lines that it shows are the example's own, and `accord verify`, as on the page,
# tells right servers from broken ones. Postgres, cache and servers are started on loopback and ended again.
# ACCORD names the program where it is built already.
set -euo pipefail
cd "$(dirname "$0")/../../examples/express-accounts"
. ../testing/local-stores.sh
. ../testing/node.sh

python3 ../../operator/docs/tests/custom_excerpts.py

servers=()
end_servers() {
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}"; do wait "$pid" || true; done
    servers=()
}
trap 'end_servers; stores_stop' EXIT

if [ -z "${ACCORD:-}" ]; then
    # Together with the tests, so that libraries that were built for them serve here too.
    (cd ../.. && cargo build --quiet --locked --workspace --tests --bin accord)
    ACCORD=$(cd ../.. && realpath "${CARGO_TARGET_DIR:-target}")/debug/accord
fi
node=$(node_program .)
packages=$(node_packages .)
[ -d node_modules ] && [ ! -L node_modules ] || ln -sfn "$packages/node_modules" node_modules
stores_start
stores_database accounts

export DATABASE_URL="$POSTGRES_URL/accounts" REDIS_URL="$CACHE_URL"
export SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-1234567890"
export ACCORD_USERNAME=probe ACCORD_PASSWORD="only for tests: Aa1!"
"$node" commands/migrate.js >/dev/null
ACCORD_CANARY_USERNAME=$ACCORD_USERNAME ACCORD_CANARY_EMAIL=probe@example.com ACCORD_CANARY_PASSWORD=$ACCORD_PASSWORD \
    "$node" commands/canary.js

echo "$CACHE_URL" >"$STORES_DIR/cache-uri"

# Arguments: fault, replicas, the exit code and the words that are expected, more options.
verify() {
    local fault=$1 replicas=$2 expected=$3 words=$4 urls=() port code=0 said
    shift 4
    for _ in $(seq "$replicas"); do
        port=$(stores_free_port)
        ACCOUNTS_FAULT=$fault PORT=$port "$node" src/server.js >"$STORES_DIR/server-$port.log" 2>&1 &
        servers+=($!)
        stores_wait "server-$port" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
        urls+=(--url "http://127.0.0.1:$port")
    done
    said=$("$ACCORD" verify "${urls[@]}" --hostname accounts.example.com --recipe recipe.yaml "$@" 2>&1) || code=$?
    if [ "$code" != "$expected" ] || ! grep -q -- "$words" <<<"$said"; then
        echo "fault '$fault', $replicas replicas: exit code $code, expected $expected and the words '$words' in:" >&2
        echo "$said" >&2
        return 1
    fi
    echo "== ${fault:-as it should be}, $replicas replicas${*:+, with the cache}: exit code $code"
    echo "$said"
    end_servers
}

verify "" 2 0 "2 of 2 replicas agree"
verify "" 3 0 "3 of 3 replicas agree" --cache "$STORES_DIR/cache-uri"
for fault in memory-sessions key-per-start; do
    verify "$fault" 2 1 Diverges
done
verify memory-sessions 2 1 "Diverges *LocalSession" --cache "$STORES_DIR/cache-uri"
verify key-per-start 3 1 "It may be KeyMismatch or LocalDatabase" --cache "$STORES_DIR/cache-uri"
