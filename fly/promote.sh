#!/usr/bin/env bash
# From a tree to a fleet that runs it. Builds the image of the agents and deploys
# it to the gate, where `agent smoke` must pass. What has passed promotes itself:
# the machine that checked tells the coordinator, with a token by which the
# platform says what machine and image it is; the coordinator makes one agent of
# it, and only when that is ready makes all new ones of it and moves the others
# over: those that are stopped, and those that run when they have nothing to do.
# Whatever fails, the fleet goes on with the image that it has.
#   promote.sh           build, try, promote
#   promote.sh IMAGE     the same with an image by digest: NAME@sha256:…
# Needs flyctl (FLY), signed in.
set -euo pipefail
cd "$(dirname "$0")/.."

fly=${FLY:-fly}

image=${1:-}
if [ -z "$image" ]; then
    echo "== build and push"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    "$fly" deploy -c fly/agents.toml --build-only --push | tee "$log"
    image=$(sed -n 's/^.*image: *\([^ ]*\).*$/\1/p' "$log" | tail -n 1)
fi
case $image in
*@sha256:*) ;;
*)
    echo "promote.sh: ${image:-nothing} is no digest, and what a tag means may change: give NAME@sha256:…" >&2
    exit 1
    ;;
esac

echo "== try $image at the gate"
# One machine; its machine checks are `agent smoke`, and their failure is this one's.
"$fly" deploy -c fly/gate.toml --image "$image" --ha=false
echo "== $image has passed, and is promoted"
