# Sourced by tests: starts Postgres and Valkey (or Redis) on loopback, with data in a
# temporary directory, and ends them by their recorded process ids.
#
#   stores_start    exports STORES_DIR, POSTGRES_PORT, CACHE_PORT, POSTGRES_URL, CACHE_URL
#   stores_stop     for a trap on EXIT
#   python_venv DIR REQUIREMENTS   makes or reuses a virtual environment, prints its python

stores_need() {
    command -v "$1" >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "$1 is missing. Install Debian's package $2, or run this as root on Debian." >&2
        return 1
    fi
    echo "installing $2" >&2
    { apt-get -q -y install --no-install-recommends "$2" ||
        { apt-get -q update && apt-get -q -y install --no-install-recommends "$2"; }; } >/dev/null
}

# Debian keeps the server's programs outside PATH, one directory a version: take the newest.
stores_postgres_bin() {
    ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1
}

stores_cache_program() {
    command -v valkey-server || command -v redis-server
}

# initdb refuses root: everything of Postgres runs as its own user then.
stores_as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

stores_free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

stores_wait() {
    local what=$1; shift
    for _ in $(seq 150); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "$what did not answer within 30 s; its log:" >&2
    cat "$STORES_DIR/$what.log" >&2
    return 1
}

stores_start() {
    [ -n "$(stores_postgres_bin)" ] || stores_need initdb postgresql || return
    stores_cache_program >/dev/null || stores_need valkey-server valkey-server 2>/dev/null ||
        stores_need redis-server redis-server || return
    local bin; bin=$(stores_postgres_bin)

    STORES_DIR=$(mktemp -d "${TMPDIR:-/tmp}/accord-stores.XXXXXX")
    chmod 755 "$STORES_DIR"
    mkdir "$STORES_DIR/postgres"
    [ "$(id -u)" != 0 ] || chown postgres "$STORES_DIR/postgres"
    POSTGRES_PORT=$(stores_free_port)
    CACHE_PORT=$(stores_free_port)

    (cd / && stores_as_postgres "$bin/initdb" -D "$STORES_DIR/postgres" -U postgres -A trust -N -E UTF8 --locale=C) \
        >"$STORES_DIR/postgres.log" 2>&1 || { cat "$STORES_DIR/postgres.log" >&2; return 1; }
    # pg_ctl, because the process that is recorded must be the server and not runuser.
    (cd / && stores_as_postgres "$bin/pg_ctl" -D "$STORES_DIR/postgres" -s -W start \
        -o "-p $POSTGRES_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off") \
        </dev/null >>"$STORES_DIR/postgres.log" 2>&1
    stores_wait postgres "$bin/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" || return

    stores_cache_start || return
    POSTGRES_URL="postgres://postgres@127.0.0.1:$POSTGRES_PORT"
    CACHE_URL="redis://127.0.0.1:$CACHE_PORT/0"
    export STORES_DIR POSTGRES_PORT CACHE_PORT POSTGRES_URL CACHE_URL
}

stores_cache_start() {
    "$(stores_cache_program)" --bind 127.0.0.1 --port "$CACHE_PORT" --dir "$STORES_DIR" --save '' \
        --appendonly no </dev/null >"$STORES_DIR/cache.log" 2>&1 &
    echo $! >"$STORES_DIR/cache.pid"
    stores_wait cache bash -c "exec 3<>/dev/tcp/127.0.0.1/$CACHE_PORT; printf 'PING\r\n' >&3; read -t 1 -u 3 line; [[ \$line == +PONG* ]]"
}

stores_database() {
    "$(stores_postgres_bin)/createdb" -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres "$1"
}

# Empty afterwards: it keeps nothing on disk.
stores_cache_restart() {
    stores_end "$STORES_DIR/cache.pid"
    stores_cache_start
}

stores_end() {
    local pid
    pid=$(head -n 1 "$1" 2>/dev/null) || return 0
    kill -INT "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    echo "process $pid of $1 did not end within 10 s" >&2
    return 1
}

stores_stop() {
    [ -n "${STORES_DIR:-}" ] || return 0
    stores_end "$STORES_DIR/cache.pid" || true
    stores_end "$STORES_DIR/postgres/postmaster.pid" || true
    rm -rf "$STORES_DIR"
    STORES_DIR=
}

python_venv() {
    local dir=$1 requirements=$2 digest
    digest=$(sha256sum "$requirements" | cut -c 1-16)
    if [ "$(cat "$dir/.requirements" 2>/dev/null)" != "$digest" ]; then
        mkdir -p "$(dirname "$dir")"
        python3 -m venv --clear "$dir" >&2
        "$dir/bin/pip" install -q --disable-pip-version-check -r "$requirements" >&2
        echo "$digest" >"$dir/.requirements"
    fi
    echo "$dir/bin/python"
}
