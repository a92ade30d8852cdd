# What every script here begins with: a server, a plugin and a dockerd of its own, in
# the mount namespace that it was started in.
#
#   SCRIPT BLOCKD FOLDER EXAMPLES
set -eu
blockd=$1 folder=$2 examples=$3
here=$(dirname "$0")
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export DOCKER_HOST=unix://$folder/docker.sock
state=$folder/state volumes=$folder/volumes
uri=nbd+unix:///?socket=$folder/socket

# dockerd looks for plugins in one place.
mkdir -p /run/docker
mount -t tmpfs none /run/docker
cd "$folder"

fail() {
    echo "FAILED: $*"
    tail -n 40 "$folder"/*.log
    exit 1
}

wait_until() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    fail "timeout: $*"
}

# What a command that must fail says.
refused() {
    if "$@" >"$folder/said" 2>&1; then fail "succeeds: $*"; fi
    cat "$folder/said"
}

has() {
    case $1 in
    *"$2"*) ;;
    *) fail "no \"$2\" in: $1" ;;
    esac
}

serve() {
    BLOCKD_LOG=warn "$blockd" serve --repos "$folder/repos" --state "$folder/served" --unix "$folder/socket" >>serve.log 2>&1 &
    server=$!
    wait_until test -S "$folder/socket"
}

plugin() {
    "$blockd" plugin docker --server "$uri" --uid 1000 --gid 1000 --state "$state" --volumes "$volumes" "$@" >>plugin.log 2>&1 &
    plugin=$!
    wait_until test -S /run/docker/plugins/blockd.sock
}

dockerd_starts() {
    dockerd --iptables=false --bridge=none --storage-driver vfs --data-root "$folder/docker" \
        --exec-root "$folder/exec" -H "$DOCKER_HOST" --pidfile "$folder/docker.pid" "$@" >>dockerd.log 2>&1 &
    dockerd=$!
    wait_until docker version
}

stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

end() {
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
    stop "$dockerd"
    stop "$plugin"
    stop "$server"
    for left in "$volumes"/*/tree; do
        "$blockd" detach --state "$state" --lazy "$left" >/dev/null 2>&1 || true
    done
}

# Nothing but the records of volumes.
nothing_is_attached() {
    [ ! -e "$state/lowers" ] || [ -z "$(ls "$state/lowers")" ]
}

# An unprivileged container with a volume.
in_volume() {
    volume=$1
    shift
    docker run --rm --network none --cap-drop ALL --user 1000 --volume-driver blockd -v "$volume:/workspace" \
        -w /workspace -e HOME=/tmp tools "$@"
}

commit="git -c user.name=a -c user.email=a@example.org commit -q -m"

repository() {
    mkdir -p repos/team
    git init -q -b main repos/team/project
    for number in 1 2 3; do echo "file $number" >"repos/team/project/file$number"; done
    printf 'built: file1\n\tcat file1 >built\n' >repos/team/project/Makefile
    echo built >repos/team/project/.gitignore
    git -C repos/team/project add .
    git -C repos/team/project -c user.name=a -c user.email=a@example.org commit -q -m first
}

repository
serve
dockerd_starts
trap end EXIT
plugin
sh "$here/image.sh" image
tar -C image -c . | docker import - tools >/dev/null
