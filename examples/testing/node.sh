# Sourced by tests and by the images' builder: Node and an application's packages, from npm's own registry and fetched once.
# The versions are those of the application's `.node-version` and `package-lock.json`.
#
#   node_program DIR    prints the path of Node for the application in DIR
#   node_packages DIR   prints the directory with its `node_modules`, without those for development

# Debian's Node may be too old for the application. npm has the official program of each version as a package.
node_program() {
    local version arch home
    version=$(cat "$1/.node-version")
    case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) echo "no Node is known for $(uname -m)" >&2; return 1 ;;
    esac
    home=$(node_cache "program-$version-$arch")
    if [ ! -d "$home" ]; then
        node_npm || return
        npm install --silent --no-save --prefix "$home.$$" "node-linux-$arch@$version" >&2 || return
        node_keep "$home"
    fi
    echo "$home/node_modules/node-linux-$arch/bin/node"
}

# Without the packages' own scripts: what is native comes compiled.
node_packages() {
    local home
    home=$(node_cache "packages-$(cat "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c 1-16)")
    if [ ! -d "$home" ]; then
        node_npm || return
        mkdir -p "$home.$$" && cp "$1/package.json" "$1/package-lock.json" "$home.$$" || return
        (cd "$home.$$" && npm ci --silent --omit=dev --ignore-scripts) >&2 || return
        node_keep "$home"
    fi
    echo "$home"
}

node_cache() {
    echo "${ACCORD_CACHE:-/var/cache/accord}/node/$1"
}

# Whole or not at all. Where another run was faster, its result stays.
node_keep() {
    mv -T "$1.$$" "$1" 2>/dev/null || rm -rf "$1.$$"
}

node_npm() {
    command -v npm >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "npm is missing. Install Node with npm, or run this as root on Debian." >&2
        return 1
    fi
    echo "installing npm" >&2
    { apt-get -q -y install --no-install-recommends npm ||
        { apt-get -q update && apt-get -q -y install --no-install-recommends npm; }; } >/dev/null
}
