# shellcheck shell=bash
# Where images are kept and built: below .cache, without a daemon, a registry
# or a kernel's help.
suite=bookworm
store=$(realpath -m "$(dirname "${BASH_SOURCE[0]}")/../../.cache/images")

buildah_here() {
    buildah --storage-driver vfs --root "$store/storage" --runroot "$store/run" "$@"
}
