# shellcheck shell=bash
# Where images are kept and built: below .cache, without a daemon or a registry.
suite=bookworm
store=$(realpath -m "$(dirname "${BASH_SOURCE[0]}")/../../.cache/images")
mkdir -p "$store"
# What lies on an overlay cannot be a layer of one: there layers are copies.
case $(stat --file-system --format %T "$store") in
overlayfs) driver=vfs ;;
*) driver=overlay ;;
esac

buildah_here() {
    buildah --storage-driver "$driver" --root "$store/storage" --runroot "$store/run" "$@"
}

# Runs the calling script in namespaces of its own, and nobody else's with the
# same store meanwhile: whatever becomes of it, no process and no mount is left.
alone() {
    if [ -z "${IMAGES_ALONE:-}" ]; then
        exec 9>"$store/lock"
        flock --nonblock 9 || { echo "waiting for another run in this clone" >&2 && flock 9; }
        IMAGES_ALONE=1 exec unshare --mount --pid --fork --kill-child --mount-proc "./${0##*/}" "$@"
    fi
    # The first process of a namespace ends by no signal that it does not take.
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Of a run that was killed: what was mounted is not, and half a build is none.
    rm -rf --one-file-system "$store/run"
    local container
    for container in $(buildah_here containers --noheading --format '{{.ContainerName}}'); do
        [[ $container == root-* ]] || buildah_here rm "$container" >/dev/null
    done
}
