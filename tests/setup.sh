#!/usr/bin/env bash
# Installs the Debian packages that building, the demo, the tests or the
# benches need, where they are missing, and fetches what the tests run against.
# Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")"

build="cc:gcc cc:libc6-dev"
unit="python3:python3 ps:procps unshare:util-linux"
demo="mount:mount losetup:mount fusermount3:fuse3 nbd-client:nbd-client"
bench="nbdkit:nbdkit nbdcopy:libnbd-bin nbdinfo:libnbd-bin fio:fio python3:python3 ip:iproute2 unshare:util-linux"
test="e2fsck:e2fsprogs debugfs:e2fsprogs dumpe2fs:e2fsprogs python-nbd:python3-libnbd nbdinfo:libnbd-bin
    nbdcopy:libnbd-bin nbdkit:nbdkit openssl:openssl qemu-img:qemu-utils fio:fio strace:strace strip:binutils
    setpriv:util-linux qemu-system-x86_64:qemu-system-x86 busybox:busybox-static
    cpio:cpio xz:xz-utils zstd:zstd curl:curl
    npm:npm python-venv:python3-venv chromium:chromium chromedriver:chromium-driver
    script:bsdutils"
images="buildah:buildah debootstrap:debootstrap npm:npm git:git curl:curl pgrep:procps strip:binutils unshare:util-linux"

case ${1:-test} in
build) wanted=$build ;;
unit) wanted="$build $unit" ;;
demo) wanted="$build $demo" ;;
bench) wanted="$build $demo $bench" ;;
images) wanted="$build $demo $images" ;;
test) wanted="$build $unit $demo $test" ;;
*)
    echo "usage: setup.sh [build|unit|demo|bench|images|test]" >&2
    exit 2
    ;;
esac

has() {
    case $1 in
    # Debian's module is for Debian's interpreter; another may be first on the path.
    python-nbd) /usr/bin/python3 -c 'import nbd' 2>/dev/null ;;
    python-venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

missing() {
    for pair in $wanted; do
        has "${pair%%:*}" || echo "${pair#*:}"
    done | sort -u
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# Rather nothing removed: a newer qemu-utils does not go with Debian's own
# qemu-system. Where there is no other way, the next round puts it right.
install() {
    as_root apt-get install -y -q --no-install-recommends --no-remove "$@" ||
        as_root apt-get install -y -q --no-install-recommends "$@"
}

need_apt() {
    echo "setup.sh: these Debian packages are missing: $*" >&2
    if ! command -v apt-get >/dev/null; then
        echo "setup.sh: there is no apt-get here to install them with" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "setup.sh: install them as root (there is no sudo here): apt-get install $*" >&2
        exit 1
    fi
}

packages=$(missing | xargs)
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # a list of words
    need_apt $packages
    as_root apt-get update -q
    for _ in 1 2; do
        # shellcheck disable=SC2086 # a list of words
        install $packages
        packages=$(missing | xargs)
        [ -n "$packages" ] || break
    done
fi
if [ -n "$packages" ]; then
    echo "setup.sh: apt-get did not bring $packages" >&2
    exit 1
fi
if [ "${1:-test}" = test ]; then
    guest/kernel.sh ../.cache/guest
    ../agent/tests/setup.sh ../.cache/agent
fi
