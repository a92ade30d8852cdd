#!/usr/bin/env bash
# Builds the images of fly/Dockerfile with buildah, without a registry and a
# daemon, and starts them: blockd serves, an agent attaches what it serves.
#   build.sh full                    all of it, the programs compiled in the image
#   build.sh given BLOCKD AGENT      with these programs in place of compiled ones
# The second keeps its images until something else of them changes.
set -euo pipefail
cd "$(dirname "$0")"
source ./lib.sh
alone "$store/lock" "$@"
forget_the_killed
root=$(realpath ../..)

# build IMAGE OPTIONS...: the image, and its files as a container of its own.
build() {
    local target=$1
    shift
    echo "building the image $target"
    buildah_here build --isolation chroot --pull-never --file "$root/fly/Dockerfile" --target "$target" \
        --tag "localhost/$target" "$@" "$root" >"$store/build-$target.log" 2>&1 ||
        { tail -n 30 "$store/build-$target.log" >&2; exit 1; }
    buildah_here rm "root-$target" >/dev/null 2>&1 || true
    buildah_here from --pull-never --name "root-$target" "localhost/$target" >/dev/null
}

case ${1:-} in
full)
    ./base.sh debian:bookworm-slim node:22-bookworm-slim rust:1.95-slim-bookworm
    rm -f "$store/given"
    # Crates that this host has need not be fetched once more.
    crates=${CARGO_HOME:-$HOME/.cargo}/registry
    for target in blockd agent; do
        # With layers both are made of what was compiled once.
        build "$target" --layers --volume "$crates:/usr/local/cargo/registry:rw"
    done
    buildah_here rmi --prune >/dev/null
    ;;
given)
    ./base.sh debian:bookworm-slim node:22-bookworm-slim
    programs=$store/programs
    rm -rf "$programs"
    install -D --strip -t "$programs/out" "$2" "$3"
    now=$(cat "$root"/fly/{Dockerfile,serve-blockd,serve-coordinator,codex.toml} {base,build,lib}.sh ../debian.sh | sha256sum)
    if [ "$now" != "$(cat "$store/given" 2>/dev/null)" ]; then
        rm -f "$store/given"
        for target in blockd agent; do
            build "$target" --build-context "programs=$programs"
        done
        buildah_here rmi --prune >/dev/null
        echo "$now" >"$store/given"
    fi
    ;;
*)
    echo "usage: build.sh full | build.sh given BLOCKD AGENT" >&2
    exit 2
    ;;
esac
./start.sh "${programs:+$programs/out}"
