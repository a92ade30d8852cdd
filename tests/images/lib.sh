# shellcheck shell=bash
# Where images are kept and built: below .cache, without a daemon or a registry.
# shellcheck source=tests/debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/../debian.sh"
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

# Of a run that was killed: what was mounted is not, and half a build is none.
forget_the_killed() {
    rm -rf --one-file-system "$store/run"
    local container
    for container in $(buildah_here containers --noheading --format '{{.ContainerName}}'); do
        [[ $container == root-* ]] || buildah_here rm "$container" >/dev/null
    done
}
