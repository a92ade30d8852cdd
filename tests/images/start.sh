#!/usr/bin/env bash
# Starts the images as the platform does: the image is the root file system of
# a machine, whose only program is the image's, as root, with the kernel's file
# systems and nothing else of this host. A server and an agent; the agent must
# show the work tree that the server has, codex must be there, and both must end
# when they are told to. build.sh calls it.
#   start.sh [PROGRAMS]     put these programs over those of the image first
set -euo pipefail
cd "$(dirname "$0")"
source ./lib.sh
programs=${1:-}
work=$(mktemp -d)
declare -A machines=()

clean_up() {
    code=$?
    trap - EXIT
    if ((code != 0 && code < 128)); then
        tail -n 20 "$work"/*.log >&2 || true
    fi
    for pid in "${machines[@]}"; do
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    umount --recursive --lazy "$work"
    rmdir "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# What machines write is gone with them, and images stay as they are.
mount -t tmpfs tmpfs "$work" || { rmdir "$work"; trap - EXIT; exit 1; }

fail() {
    echo "start.sh: $*" >&2
    exit 1
}

# root_of IMAGE: where its files are, over the image's own, as on the platform.
root_of() {
    local image=$1 own=$work/$1
    mkdir -p "$own/upper" "$own/work" "$own/root"
    mount -t overlay overlay "$own/root" \
        -o "lowerdir=$(buildah_here mount "root-$image"),upperdir=$own/upper,workdir=$own/work"
    echo "$own/root"
}

# machine IMAGE ROOT COMMAND...: a machine of this image in the background. All
# that it mounts goes with it.
machine() {
    local image=$1 root=$2
    shift 2
    mapfile -t environment < <(buildah_here inspect --type image --format \
        '{{range .OCIv1.Config.Env}}{{.}}{{"\n"}}{{end}}' "localhost/$image" | sed '/^$/d')
    # shellcheck disable=SC2016 # its own words
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
    machines[$image]=$!
}

# says IMAGE TEXT: waits until its machine does.
says() {
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        if grep -q "$2" "$work/$1.log"; then
            return
        fi
        kill -0 "${machines[$1]}" 2>/dev/null || fail "$1 has ended and never said $2"
        sleep 0.1
    done
    fail "$1 does not say $2"
}

for image in blockd agent; do
    declare "$image=$(root_of "$image")"
    for program in blockd agent; do
        if [ -n "$programs" ] && [ -e "${!image}/usr/local/bin/$program" ]; then
            install "$programs/$program" "${!image}/usr/local/bin/"
        fi
    done
done

# shellcheck disable=SC2154 # declared above
mount -t proc proc "$agent/proc"
chroot "$agent" /usr/local/bin/codex --version
for file in codex-code-mode-host codex; do
    [ -x "$agent/opt/codex/bin/$file" ] || fail "there is no $file"
done
chroot "$agent" sh -c 'command -v nbd-client modprobe fusermount3 git curl tar mount >/dev/null'

# shellcheck disable=SC2154
mkdir -p "$blockd/data/repos"
project=$blockd/data/repos/project
git_here() {
    env GIT_CONFIG_GLOBAL=/dev/null git -C "$project" -c user.name=x -c user.email=x@localhost "$@"
}
git init -q --initial-branch=main "$project"
echo "of the image" >"$project/file"
git_here add . && git_here commit -qm first

# The names of the private network, both kinds of address.
for root in "$agent" "$blockd"; do
    printf '127.0.0.1 localhost\n::1 localhost blockd.flycast\n127.0.0.1 blockd.internal\n' >"$root/etc/hosts"
done
machine blockd "$blockd" BLOCKD_LISTEN="[::]:0" serve-blockd
says blockd 'serving nbd:'
port=$(sed -n 's/^serving nbd:..[^/]*:\([0-9]*\)\/.*/\1/p' "$work/blockd.log")
server=$(pgrep -f -n 'blockd serve --repos /data/repos')
[ "$(stat -c %U "/proc/$server")" != root ] || fail "the server is root"

# Whichever name works, first the one of the proxy. AGENT_GROUND is the name that the
# last release had for AGENT_EXERCISES.
machine agent "$agent" REPO=project AGENT_SERVERS="blockd.flycast:$port,blockd.internal:$port" \
    AGENT_TOKEN=0123456789abcdef AGENT_GROUND='[::1]:0' agent boot -- --listen '[::]:0' --command cat
says agent 'serving http:'
says agent 'exercises at'
url=$(sed -n 's/.*serving http:..\[::\]:\([0-9]*\)\/mcp.*/http:\/\/127.0.0.1:\1/p' "$work/agent.log")
exercises=$(sed -n 's/.*exercises at \(http.*\)$/\1/p' "$work/agent.log")
curl -fsS "$url/healthz" >/dev/null
curl -fsS "${url/127.0.0.1/[::1]}/healthz" >/dev/null
agent_pid=$(pgrep -f -n 'agent serve --workspace /workspace')
[ "$(cat "/proc/$agent_pid/root/workspace/file")" = "of the image" ] || fail "the work tree is another"
# Neither root nor the user that codex has; /proc names root as the owner of its files.
user=$(awk '$1 == "Uid:" { print $2 }' "/proc/$agent_pid/status")
[ "$user" = 990 ] || fail "agent serve is user $user, not 990"
chroot "$agent" env -i PATH=/usr/local/bin:/usr/bin:/bin AGENT_TOKEN=0123456789abcdef \
    agent smoke --tier wiring --target "$url" --exercises "$exercises" >"$work/verdict.json" 2>"$work/smoke.log" ||
    { cat "$work/verdict.json" >&2; fail "agent smoke --tier wiring has failed"; }

# Told to end as the platform does it: the program itself.
kill -TERM "$(pgrep -f -n 'agent boot -- --listen')"
wait "${machines[agent]}" || fail "the agent has ended with $?"
says agent 'agent serve has ended'
kill -TERM "$server"
wait "${machines[blockd]}" || fail "the server has ended with $?"
echo "images: blockd serves, and an agent has attached it, kept changes apart and ended well"
