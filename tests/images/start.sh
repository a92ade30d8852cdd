#!/usr/bin/env bash
# Starts the images as the platform does: the image is the root file system of
# a machine, whose only program is the image's, as root, with the kernel's file
# systems and nothing else of this host. A server and an agent; the agent must
# show the work tree that the server has, codex must be there, and both must end
# when they are told to.
#   start.sh [PROGRAMS]     put these programs over those of the image first
set -euo pipefail
cd "$(dirname "$0")"
source ./lib.sh
programs=${1:-}
work=$(mktemp -d)
pids=()

clean_up() {
    code=$?
    trap - EXIT
    for pid in "${pids[@]}"; do
        kill -KILL -- "-$pid" 2>/dev/null || true
    done
    if ((code != 0)); then
        tail -n 20 "$work"/*.log >&2 || true
    fi
    for image in blockd agent; do
        buildah_here rm "try-$image" >/dev/null 2>&1 || true
    done
    rm -rf --one-file-system "$work"
    exit "$code"
}
trap clean_up EXIT

# root IMAGE: where its files are.
root_of() {
    buildah_here rm "try-$1" >/dev/null 2>&1 || true
    buildah_here from --pull-never --name "try-$1" "localhost/$1" >/dev/null
    buildah_here mount "try-$1"
}

# machine IMAGE ROOT COMMAND...: a machine of this image in the background. All
# that it mounts goes with it.
machine() {
    local image=$1 root=$2
    shift 2
    mapfile -t environment < <(buildah_here inspect --type image --format \
        '{{range .OCIv1.Config.Env}}{{.}}{{"\n"}}{{end}}' "localhost/$image" | sed '/^$/d')
    setsid unshare --mount --pid --fork --kill-child sh -c '
        set -e
        root=$1; shift
        mount --make-rprivate /
        mount -t proc proc "$root/proc"
        mount -t sysfs sysfs "$root/sys"
        mount -t devtmpfs devtmpfs "$root/dev" 2>/dev/null || mount --rbind /dev "$root/dev"
        mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true
        # The disk behind the root file system, which is no overlay.
        mkdir -p "$root/.fly-upper-layer"
        mount -t tmpfs tmpfs "$root/.fly-upper-layer"
        exec chroot "$root" env -i "$@"
    ' sh "$root" "${environment[@]}" "$@" >"$work/$image.log" 2>&1 &
    pids+=($!)
}

wait_for() {
    for ((tries = 0; tries < 600; tries++)); do
        if grep -q "$2" "$work/$1.log" 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "start.sh: $1 does not say $2" >&2
    exit 1
}

for image in blockd agent; do
    declare "$image=$(root_of "$image")"
    if [ -n "$programs" ]; then
        for program in blockd agent; do
            ! [ -e "${!image}/usr/local/bin/$program" ] || install "$programs/$program" "${!image}/usr/local/bin/"
        done
    fi
done

# shellcheck disable=SC2154 # declared above
chroot "$agent" /usr/local/bin/codex --version
for file in codex-code-mode-host codex; do
    [ -x "$agent/opt/codex/bin/$file" ]
done
chroot "$agent" sh -c 'command -v nbd-client modprobe fusermount3 git curl tar mount >/dev/null'

# shellcheck disable=SC2154
git -c user.name=x -c user.email=x@localhost -c init.defaultBranch=main init -q "$work/project"
echo "of the image" >"$work/project/file"
git -C "$work/project" add . && git -C "$work/project" -c user.name=x -c user.email=x@localhost commit -qm first
mkdir -p "$blockd/data/repos"
cp -a "$work/project" "$blockd/data/repos/"

# The names of the private network, both kinds of address.
for root in "$agent" "$blockd"; do
    printf '127.0.0.1 localhost\n::1 localhost blockd.flycast\n127.0.0.1 blockd.internal\n' >"$root/etc/hosts"
done
machine blockd "$blockd" BLOCKD_LISTEN="[::]:0" serve-blockd
wait_for blockd 'serving nbd:'
port=$(sed -n 's/^serving nbd:..[^/]*:\([0-9]*\)\/.*/\1/p' "$work/blockd.log")
server=$(pgrep -f -n 'blockd serve --repos /data/repos')
[ "$(stat -c %U "/proc/$server")" != root ] || { echo "start.sh: the server is root" >&2; exit 1; }

# Whichever name works, first the one of the proxy.
machine agent "$agent" REPO=project AGENT_SERVERS="blockd.flycast:$port,blockd.internal:$port" \
    AGENT_TOKEN=0123456789abcdef AGENT_GROUND='[::1]:0' agent boot -- --listen '[::]:0' --command cat
wait_for agent 'serving http:'
wait_for agent 'exercises at'
url=$(sed -n 's/.*serving http:..\[::\]:\([0-9]*\)\/mcp.*/http:\/\/127.0.0.1:\1/p' "$work/agent.log")
ground=$(sed -n 's/.*exercises at \(http.*\)$/\1/p' "$work/agent.log")
curl -fsS "$url/healthz" >/dev/null
curl -fsS "${url/127.0.0.1/[::1]}/healthz" >/dev/null
agent_pid=$(pgrep -f -n 'agent serve --workspace /workspace')
[ "$(cat "/proc/$agent_pid/root/workspace/file")" = "of the image" ]
[ "$(stat -c %u "/proc/$agent_pid")" = 1000 ]
chroot "$agent" env -i PATH=/usr/local/bin:/usr/bin:/bin AGENT_TOKEN=0123456789abcdef \
    agent smoke --tier wiring --target "$url" --ground "$ground" >"$work/verdict.json" 2>"$work/smoke.log" ||
    { cat "$work/verdict.json" >&2; exit 1; }

# Told to end as the platform does it: the program itself.
kill -TERM "$(pgrep -f -n 'agent boot -- --listen')"
wait_for agent 'agent serve has ended'
kill -TERM "$server"
wait_for blockd 'stopped'
echo "images: blockd serves, and an agent has attached it, kept changes apart and ended well"
