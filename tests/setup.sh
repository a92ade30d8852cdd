#!/usr/bin/env bash
# Installs the Debian packages that building, the demo, the tests or the
# benches need, where they are missing, and fetches what the tests run against.
# Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")"

# PROGRAM:PACKAGE for all that is started, in groups of stages; tests/programs
# compares this with the sources, both ways. Given are Debian's essential
# packages and what debootstrap adds to them, and what the README asks for.
# shellcheck disable=SC2034 # for tests/programs
given="apt-cache:apt apt-config:apt apt-get:apt awk:mawk basename:coreutils bash:bash cargo:cargo cat:coreutils
    chmod:coreutils chroot:coreutils cp:coreutils cut:coreutils date:coreutils dd:coreutils
    diff:diffutils dirname:coreutils dpkg-deb:dpkg du:coreutils env:coreutils false:coreutils
    find:findutils flock:util-linux git:git grep:grep head:coreutils iconv:libc-bin id:coreutils
    install:coreutils ldd:libc-bin ln:coreutils ls:coreutils make:make mkdir:coreutils mknod:coreutils
    mktemp:coreutils mountpoint:util-linux mv:coreutils pivot_root:util-linux realpath:coreutils
    rm:coreutils rmdir:coreutils rustc:rustc sed:sed seq:coreutils setpriv:util-linux setsid:util-linux
    sh:dash sha256sum:coreutils sleep:coreutils sort:coreutils stat:coreutils stty:coreutils
    sync:coreutils tail:coreutils tar:tar tee:coreutils timeout:coreutils touch:coreutils tr:coreutils
    truncate:coreutils uname:coreutils unshare:util-linux wc:coreutils xargs:findutils"

build="cc:gcc libc:libc6-dev"
web="node:nodejs npm:npm"
blockd="e2fsck:e2fsprogs fusermount3:fuse3 modprobe:kmod nbd-client:nbd-client"
agent="curl:curl ps:procps kill:procps python3:python3"
unit="debugfs:e2fsprogs docker-compose:docker-compose docker:docker.io dockerd:docker.io
    dumpe2fs:e2fsprogs findmnt:util-linux fincore:util-linux-extra file:file fio:fio losetup:mount
    mke2fs:e2fsprogs mount:mount nbdcopy:libnbd-bin nbdinfo:libnbd-bin nbdkit:nbdkit
    python-asciinema:asciinema python-nbd:python3-libnbd python-prometheus:python3-prometheus-client qemu-img:qemu-utils qemu-io:qemu-utils strace:strace tune2fs:e2fsprogs
    umount:mount"
test="busybox:busybox-static chromedriver:chromium-driver chromium:chromium cpio:cpio git-lfs:git-lfs
    java:default-jre-headless jgit:jgit-cli node:nodejs npm:npm openssl:openssl python-venv:python3-venv
    qemu-system-x86_64:qemu-system-x86 strip:binutils xz:xz-utils zstd:zstd"
bench="fio:fio ip:iproute2 kill:procps mount:mount nbdcopy:libnbd-bin nbdinfo:libnbd-bin nbdkit:nbdkit
    pgrep:procps python3:python3 umount:mount"
images="buildah:buildah curl:curl debootstrap:debootstrap mount:mount node:nodejs npm:npm pgrep:procps
    strip:binutils umount:mount"
fresh="debootstrap:debootstrap mount:mount umount:mount"

case ${1:-test} in
build) wanted="$build" ;;
web) wanted="$web" ;;
unit) wanted="$build $blockd $agent $unit" ;;
demo) wanted="$build $blockd" ;;
bench) wanted="$build $blockd $bench" ;;
images) wanted="$build $images" ;;
test) wanted="$build $blockd $agent $unit $test" ;;
fresh) wanted="$fresh" ;;
*)
    echo "usage: setup.sh [build|web|unit|demo|bench|images|test|fresh]" >&2
    exit 2
    ;;
esac

has() {
    case $1 in
    libc) [ -e "$(cc -print-file-name=crt1.o 2>/dev/null)" ] ;;
    # Debian's launcher of it lacks a jar.
    jgit) [ -e /usr/share/java/org.eclipse.jgit.pgm.jar ] ;;
    # Debian's module is for Debian's interpreter; another may be first on the path.
    python-asciinema) /usr/bin/python3 -c 'import asciinema' 2>/dev/null ;;
    python-nbd) /usr/bin/python3 -c 'import nbd' 2>/dev/null ;;
    python-prometheus) /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ;;
    python-venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin type -P "$1" >/dev/null ;;
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
apt_install() {
    apt_get install -y --no-install-recommends --no-remove "$@" ||
        apt_get install -y --no-install-recommends "$@"
}

# What it says of every package is of interest where it fails.
apt_get() {
    mkdir -p ../.cache
    as_root apt-get -q "$@" >../.cache/apt.log 2>&1
}

need_apt() {
    echo "setup.sh: these Debian packages are missing, and are installed: $*" >&2
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
    apt_get update || { tail -n 20 ../.cache/apt.log >&2 && exit 1; }
    for _ in 1 2; do
        # shellcheck disable=SC2086 # a list of words
        apt_install $packages || true
        packages=$(missing | xargs)
        [ -n "$packages" ] || break
    done
fi
if [ -n "$packages" ]; then
    tail -n 20 ../.cache/apt.log >&2
    echo "setup.sh: apt-get did not bring $packages; .cache/apt.log has all that it said" >&2
    exit 1
fi
if [ "${1:-test}" = test ]; then
    guest/kernel.sh ../.cache/guest
    ../agent/tests/setup.sh ../.cache/agent
    tools/setup.sh >/dev/null
fi
