#!/usr/bin/env bash
# Makes stand-ins for the base images that fly/Dockerfile names, under the same
# names, where no container registry is at hand: Debian by debootstrap from this
# host's apt sources, with this host's Rust and Node where the name says so.
#   base.sh NAME...    build.sh calls it
set -euo pipefail
cd "$(dirname "$0")"
source ./lib.sh

make_debian() {
    local tar=$store/debian.tar
    if ! [ -e "$tar" ]; then
        debian_tree "$store/root.new" "$store/debootstrap.log"
        tar -C "$store/root.new" --numeric-owner -cf "$tar.new" .
        rm -rf --one-file-system "$store/root.new"
        mv "$tar.new" "$tar"
    fi
    buildah_here from --name "$1" scratch
    buildah_here add -q "$1" "$tar" /
    buildah_here config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$1"
}

# What fetches packages trusts whom this host trusts.
trusting() {
    buildah_here copy -q "$1" "$authorities" "$authorities"
    for variable in $(trust); do
        buildah_here config --env "$variable" "$1"
    done
}

make_node() {
    make_debian "$1"
    trusting "$1"
    local node npm
    node=$(realpath "$(type -P node)")
    npm=$(dirname "$(dirname "$(realpath "$(type -P npm)")")")
    if ldd "$node" | grep -q libnode; then
        # Debian's own lies about in a hundred packages.
        buildah_here run --isolation chroot "$1" sh -c \
            'apt-get update -q && apt-get install -y -q --no-install-recommends npm' >"$store/node.log"
        return
    fi
    buildah_here copy -q "$1" "$node" /usr/local/bin/node
    buildah_here copy -q "$1" "$npm" /usr/local/lib/node_modules/npm
    buildah_here run --isolation chroot "$1" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
}

make_rust() {
    make_debian "$1"
    trusting "$1"
    local sysroot
    sysroot=$(rustc --print sysroot)
    buildah_here run --isolation chroot "$1" sh -c \
        'apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev' >"$store/rust.log"
    for part in bin lib libexec; do
        ! [ -d "$sysroot/$part" ] || buildah_here copy -q "$1" "$sysroot/$part" "/usr/local/rustup/$part"
    done
    buildah_here config --env PATH=/usr/local/rustup/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env CARGO_HOME=/usr/local/cargo "$1"
}

for name in "$@"; do
    [ -z "$(buildah_here images -q "localhost/$name" 2>/dev/null || true)" ] || continue
    echo "making a stand-in for $name"
    container=base-${name//[:\/]/-}
    "make_${name%%:*}" "$container" >/dev/null
    buildah_here commit -q --rm "$container" "localhost/$name" >/dev/null
done
