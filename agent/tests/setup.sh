#!/usr/bin/env bash
# Fetches the programs that judge the agent, each at one version, from the
# registries that npm and pip are set up with. Says nothing when all is there.
#   setup.sh FOLDER [newest]
#   FOLDER/codex-VERSION/    the native package of codex
#   FOLDER/npm-VERSIONS/     node, MCP's conformance suite and inspector
#   FOLDER/python-VERSION/   MCP's Python SDK
#   FOLDER/typescript-VERSION/   MCP's TypeScript SDK
#   FOLDER/codex-newest      with newest: the newest version of codex, if the
#                            registry could be asked; it is fetched, too
# The versions are in versions.sh.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=versions.sh
. "$here/versions.sh"
mkdir -p "${1:?usage: setup.sh FOLDER [newest]}"
cd "$1"

case $(uname -m) in
x86_64) platform=linux-x64 ;;
aarch64) platform=linux-arm64 ;;
*)
    echo "setup.sh: there is no codex for $(uname -m)" >&2
    exit 1
    ;;
esac

# Makes a folder whole or not at all.
make_folder() {
    local folder=$1
    [ -d "$folder" ] && return
    echo "setup.sh: fetching $folder" >&2
    rm -rf "$folder.new"
    mkdir "$folder.new"
    if ! (cd "$folder.new" && "$2") >"$folder.log" 2>&1; then
        tail -n 20 "$folder.log" >&2
        echo "setup.sh: cannot fetch $folder: $1.log has all of it" >&2
        exit 1
    fi
    mv "$folder.new" "$folder"
    rm "$folder.log"
}

# Codex is a static program in a tarball of its own; the launcher is not needed.
codex() {
    npm pack --silent "@openai/codex@$codex-$platform"
    tar xzf ./*.tgz
    mv package/vendor/*/* .
    rm -r package ./*.tgz codex-resources/voice
}

tools() {
    npm init --yes
    npm install --no-audit --no-fund "node@$node" \
        "@modelcontextprotocol/conformance@$conformance" "@modelcontextprotocol/inspector@$inspector"
}

# A virtual environment knows its own place, and is made where it stays.
python_sdk() {
    python3 -m venv "../python-$python"
    "../python-$python/bin/pip" install --quiet "mcp==$python"
}

typescript_sdk() {
    npm init --yes
    npm install --no-audit --no-fund "@modelcontextprotocol/sdk@$typescript"
}

make_folder "codex-$codex" codex
make_folder "npm-$node-$conformance-$inspector" tools
make_folder "python-$python.ready" python_sdk
make_folder "typescript-$typescript" typescript_sdk

[ "${2:-}" = newest ] || exit 0
rm -f codex-newest
if ! version=$(npm view @openai/codex version) || [ -z "$version" ]; then
    echo "setup.sh: the registry cannot be asked for the newest codex: only $codex is tested" >&2
    exit 0
fi
echo "setup.sh: the newest codex is $version" >&2
codex=$version
make_folder "codex-$codex" codex
echo "$version" >codex-newest
