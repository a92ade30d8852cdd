#!/usr/bin/env bash
# Says where the pinned codex is; brings it from npm, into .cache, if it is not
# there. The version is the one that the images ship.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^ARG CODEX=//p' fly/Dockerfile)
case $(uname -m) in
x86_64) platform=linux-x64 ;;
aarch64) platform=linux-arm64 ;;
*) echo "codex.sh: there is no codex for $(uname -m)" >&2; exit 1 ;;
esac
cache=.cache/codex-$version
if ! [ -d "$cache/package" ]; then
    command -v npm >/dev/null || { echo "codex.sh: npm is missing, which brings codex" >&2; exit 1; }
    mkdir -p .cache
    new=$(mktemp -d "$cache.XXXXXX")
    (cd "$new" && npm pack --silent "@openai/codex@$version-$platform" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz)
    # Whoever else has brought it meanwhile was first.
    mv -T "$new" "$cache" 2>/dev/null || rm -rf "$new"
fi
realpath "$cache"/package/vendor/*/bin/codex
