#!/usr/bin/env bash
# Runs the README's two commands as on a new machine: a clean checkout in a tree
# of Debian 12 that has git, make, this host's Rust and nothing else, without
# this host's environment, so that nothing left over here hides a missing step.
# What cargo has downloaded is brought along.
#   fresh.sh                     make demo and make test
#   fresh.sh TARGET...           make these instead
#   fresh.sh --keep TARGET...    the same in the tree of the last --keep, built on
# The tree is in .cache/fresh and is removed at the end; --keep leaves it there.
# .cache/fresh/log has all that was said.
set -euo pipefail
cd "$(dirname "$0")"
source ./debian.sh
top=$(realpath ..)
folder=$top/.cache/fresh
tree=$folder/tree
mkdir -p "$folder"
alone "$folder/lock" "$@"

keep=
if [ "${1:-}" = --keep ]; then
    keep=1
    shift
fi
targets=("$@")
[ $# != 0 ] || targets=(demo test)

# Nothing is mounted in the tree here, only where `enter` is.
clean_up() {
    local code=$?
    trap - EXIT
    [ -n "$keep" ] || rm -rf --one-file-system "$tree"
    if ((code != 0)); then
        echo "fresh.sh: it has failed ($code): .cache/fresh/log has all that was said" >&2
    fi
    exit "$code"
}
trap clean_up EXIT

# step NAME COMMAND...: runs it, and says how long that took.
step() {
    local name=$1 start=$SECONDS
    shift
    echo "== fresh: $name"
    "$@" </dev/null
    echo "== fresh: $name took $((SECONDS - start)) s"
}

# What the clients of registries are told by this host: the ways through its
# network. What else is set here stays here.
client_environment() {
    env | grep -E '^((https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY|(PIP|npm_config|NPM_CONFIG|CARGO_(HTTP|NET|REGISTRIES|REGISTRY|SOURCE))_[A-Za-z_]*)=' || true
}

client_files() {
    local home=${HOME:-/root} file
    for file in /etc/resolv.conf /etc/hosts "$authorities" /etc/pip.conf /etc/npmrc; do
        ! [ -e "$file" ] || install -D -m 644 "$file" "$tree$file"
    done
    for file in .npmrc .config/pip/pip.conf .pip/pip.conf; do
        ! [ -e "$home/$file" ] || install -D -m 600 "$home/$file" "$tree/root/$file"
    done
    file=${CARGO_HOME:-$home/.cargo}/config.toml
    ! [ -e "$file" ] || install -D -m 600 "$file" "$tree/root/.cargo/config.toml"
}

new_tree() {
    debian_tree "$tree" "$folder/debootstrap.log"
    client_files
    enter / sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends git make' \
        >"$folder/apt.log" 2>&1 || { tail -n 20 "$folder/apt.log" >&2 && exit 1; }
    touch "$tree/made"
}

# enter DIRECTORY COMMAND...: runs it in the tree, as if the tree were a machine.
enter() {
    unshare --mount --pid --fork --kill-child bash -euo pipefail -c "$(declare -f inside) && inside \"\$@\"" \
        bash "$tree" "$(rustc --print sysroot)" "${CARGO_HOME:-${HOME:-/root}/.cargo}/registry" "${links:-}" "$@"
}

# The tree becomes the root and the host is unmounted: for a tree that is only
# chroot'ed to, the kernel makes no user namespaces.
inside() {
    local tree=$1 rust=$2 crates=$3 links=$4 directory=$5
    shift 5
    mount --bind "$tree" "$tree"
    cd "$tree"
    mount --rbind /dev dev
    mount --rbind /sys sys
    mount -t proc proc proc
    mkdir -p opt/rust root/.cargo/registry "$crates" host
    mount --bind -o ro "$rust" opt/rust
    mount --bind "$crates" root/.cargo/registry
    if [ -n "$links" ]; then
        mkdir -p ".$links"
        mount --bind -o ro "$links" ".$links"
    fi
    pivot_root . host
    umount --lazy /host
    cd "$directory"
    # This shell stays, as the first process: it collects whom nobody waits for.
    "$@"
}

# The commit, with its history, which the demo shows.
checkout() {
    if [ -n "$(git status --porcelain)" ]; then
        echo "fresh.sh: what is not committed is not tried"
    fi
    if [ -d "$tree/src" ]; then
        git -C "$tree/src" fetch -q "file://$top" HEAD
        git -C "$tree/src" checkout -q --detach FETCH_HEAD
    else
        git clone -q "file://$top" "$tree/src"
    fi
}

run() {
    links=${PIP_FIND_LINKS:-}
    [ -d "$links" ] || links=
    if [ -z "$keep" ] || ! [ -e "$tree/made" ]; then
        step "a tree of Debian" new_tree
    fi
    checkout
    mapfile -t environment < <(client_environment && trust)
    for target in "${targets[@]}"; do
        step "make $target" enter /src env -i HOME=/root \
            PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            "${environment[@]}" make "$target"
    done
    echo "== fresh: ${targets[*]}: all has passed, in $((SECONDS / 60)) minutes"
}

# Written by one and read by the other, so that both end as `run` does.
run 2>&1 | tee "$folder/log"
