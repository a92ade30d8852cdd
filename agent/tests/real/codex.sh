#!/usr/bin/env bash
# A real codex through a real MCP client: start, messages of many shapes, a file
# edit, stop. Nothing leaves this host: the model is responses.py.
#   codex.sh AGENT [inline|alternate]
# Set up by itself: the pinned codex comes from the npm registry into .cache/.
set -euo pipefail

version=0.169.0
agent=$(realpath "${1:?usage: codex.sh AGENT [inline|alternate]}")
mode=${2:-inline}
here=$(dirname "$(realpath "$0")")
cache=$here/../../../.cache/codex-$version
port=18473

case $(uname -m) in
    x86_64) platform=linux-x64 ;;
    aarch64) platform=linux-arm64 ;;
    *) echo "no codex for this machine"; exit 1 ;;
esac
if ! [ -d "$cache/package" ]; then
    mkdir -p "$cache.new"
    (cd "$cache.new" && npm pack --silent "@openai/codex@$version-$platform" && tar xzf ./*.tgz && rm ./*.tgz)
    rm -rf "$cache" && mv "$cache.new" "$cache"
fi
codex=$(echo "$cache"/package/vendor/*/bin/codex)

work=$(mktemp -d "$here/../../../.cache/real.XXXXXX")
mkdir "$work/home" "$work/workspace"
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
coproc stub { exec python3 "$here/responses.py"; }
pids=("$stub_PID")
read -r stub_port <&"${stub[0]}"

cat >"$work/home/config.toml" <<CONFIG
model = "gpt-5.5"
model_provider = "stub"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[notice]
model_migrations = { "gpt-5.5" = "gpt-6-sol" }
[model_providers.stub]
name = "stub"
base_url = "http://127.0.0.1:$stub_port/v1"
wire_api = "responses"
env_key = "STUB_KEY"
CONFIG
before=$(sha256sum <"$work/home/config.toml")

options=()
[ "$mode" = inline ] || options=(--alt-screen)
STUB_KEY=x CODEX_HOME=$work/home "$agent" serve --listen "127.0.0.1:$port" --workspace "$work/workspace" \
    --log-dir "$work/logs" --command "$codex" --pass-env STUB_KEY "${options[@]}" >"$work/out" 2>"$work/err" &
pids+=($!)
url=http://127.0.0.1:$port
for _ in $(seq 50); do curl -fs "$url/healthz" >/dev/null && break; sleep 0.1; done

"$agent" start "$url" || { cat "$work/err"; exit 1; }
python3 "$here/messages.py" "$agent" "$url" "$work"
[ "$mode" = alternate ] || [ "$(curl -s "$url/live" | wc -l)" -gt 0 ] || { echo "the log has no lines"; exit 1; }
curl -s "$url/live" | cmp - <(cat "$work"/logs/*/*)
"$agent" status "$url"
curl -fs -X POST "$url/stop" | grep -q '"exit_code":0'
[ "$before" = "$(sha256sum <"$work/home/config.toml")" ] || echo "note: codex itself has rewritten config.toml"
left=$(find /proc -maxdepth 2 -name exe -lname "$(realpath "$(dirname "$codex")")/*" 2>/dev/null || true)
[ -z "$left" ] || { echo "codex left something behind"; exit 1; }
echo "real codex, $mode: all right"
