#!/bin/sh
# The plugin, the server and dockerd die, and come back.
. "$(dirname "$0")/lib.sh"

start() {
    docker run -d --name "$1" --network none --cap-drop ALL --user 1000 --volume-driver blockd \
        -v "${2:-team/project@main}:/workspace" -w /workspace -e HOME=/tmp tools sh -c 'trap exit TERM; sleep infinity & wait' >/dev/null
}

# A plugin that is killed takes nothing along; the next one knows what is mounted.
start works
kill -9 "$plugin"
wait "$plugin" || true
docker exec works sh -c 'echo mine >mine'
plugin
docker exec works cat mine >/dev/null
start joins
[ "$(docker exec joins cat mine)" = mine ] || fail "another tree under the same name"
docker rm -f works >/dev/null
[ "$(docker exec joins cat mine)" = mine ] || fail "unmounted under a container"
docker rm -f joins >/dev/null
nothing_is_attached || fail "attached after the last container"

# One that was killed while nobody asked it to unmount cleans up when it is back.
start works
kill -9 "$plugin"
wait "$plugin" || true
sed -i 's/"mounts": \[/"mounts_of_the_dead": [/; s/"options"/"mounts": [], "options"/' "$volumes"/*/volume.json
docker kill works >/dev/null
plugin
wait_until nothing_is_attached
docker rm -f works >/dev/null

# A server that is gone is waited for.
start works
kill -9 "$server"
wait "$server" || true
(docker exec works cat file3 >read 2>&1; echo "rc $?" >>read) &
reader=$!
serve
wait "$reader"
[ "$(cat read | xargs)" = "file 3 rc 0" ] || fail "a read over a server's restart: $(cat read)"

# A dockerd that is restarted finds its containers at work.
stop "$dockerd"
dockerd_starts --live-restore
docker rm -f works >/dev/null 2>&1 || true
start works
stop "$dockerd"
dockerd_starts --live-restore
[ "$(docker exec works cat mine)" = mine ] || fail "the tree is gone after a restart of dockerd"
docker rm -f works >/dev/null
nothing_is_attached || fail "attached after a restart of dockerd"

# No server: docker says so, in our words, and nothing is left.
stop "$server"
said=$(refused in_volume team/project@main true)
has "$said" "cannot attach the volume team/project@main"
has "$said" "socket"
said=$(refused in_volume team/other@main true)
has "$said" "cannot attach the volume team/other@main"
nothing_is_attached || fail "attached without a server"
serve
[ "$(in_volume team/project@main cat mine)" = mine ] || fail "the changes are gone"
