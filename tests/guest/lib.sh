# Sourced by the scripts that pack a root file system for the guest.
# shellcheck shell=bash
set -euo pipefail

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin"

# program NAME [FILE]: a program and the libraries it is linked with, if any,
# at the places where it looks for them.
program() {
    local file=${2:-$(PATH=$PATH:/usr/sbin:/sbin command -v "$1")}
    cp -L "$file" "$root/bin/$1"
    { ldd "$file" || true; } | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        [ -e "$root$library" ] || cp -L "$library" "$root$library"
    done
}

# archive FILE: not compressed, since unpacking costs an emulated processor
# more than reading.
archive() {
    (cd "$root" && find . | sort | cpio --quiet -o -H newc --reproducible) >"$1.part"
    mv "$1.part" "$1"
}
