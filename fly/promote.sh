#!/usr/bin/env bash
# Rolls an image of agents out to a fleet. Builds it and deploys it to the gate, where
# `agent smoke` must pass. The machine that ran the test then asks the coordinator to
# promote the image, with a token by which the platform vouches for machine and image.
# The coordinator creates one trial agent of it. When that is ready, new agents get
# the image, and so do existing ones: stopped ones at once, running ones when they
# are idle. Whatever fails, the fleet retains its image.
#   promote.sh           builds, tests and promotes
#   promote.sh IMAGE     tests and promotes an image by digest: NAME@sha256:…
# Needs flyctl (or the program in FLY), signed in.
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
    echo "promote.sh: ${image:-nothing} is not a digest, and a tag may be moved to another image: give NAME@sha256:…" >&2
    exit 1
    ;;
esac

echo "== test $image at the gate"
# The machine check of this deployment is `agent smoke`: if it fails, so does this.
"$fly" deploy -c fly/gate.toml --image "$image" --ha=false
echo "== $image has passed, and was promoted"
