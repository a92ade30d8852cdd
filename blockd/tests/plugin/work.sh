#!/bin/sh
# Unprivileged containers work in volumes that are named after exports.
. "$(dirname "$0")/lib.sh"

# One command, without a create before it; the owner is the container's user.
[ -z "$(in_volume team/project@main git status --short)" ] || fail "the status is not clean"
[ "$(in_volume team/project@main stat -c %u:%g . file1 .git/config | sort -u)" = 1000:1000 ] || fail "the owner"
nothing_is_attached || fail "attached after the last container"
in_volume team/project@main make
in_volume team/project@main $commit second --allow-empty
# The branch moves on; a volume with changes stays where it is, and another does not.
git -C repos/team/project -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m newer
[ "$(in_volume team/project@main git log --format=%s | xargs)" = "second first" ] || fail "the changes are not kept"
[ "$(in_volume team/project git log --format=%s | xargs)" = "newer first" ] || fail "an old commit"
has "$(docker volume inspect team/project@main)" '"uri": "nbd+unix:///team/project@main?socket='

# docker volume rm drops the changes, and not while a container has them.
docker run -d --name holds --network none --volume-driver blockd -v team/project@main:/workspace tools sleep infinity >/dev/null
has "$(refused docker volume rm team/project@main)" "volume is in use"
[ "$(docker exec holds git -C /workspace -c safe.directory=* log -n 1 --format=%s)" = second ] || fail "the changes"
docker rm -f holds >/dev/null
docker volume rm team/project@main >/dev/null
[ ! -e "$volumes/team%2Fproject%40main" ] || fail "the record of a volume is left"
! in_volume team/project@main git log --format=%s | grep -q second || fail "the changes are not dropped"
docker volume rm team/project@main team/project >/dev/null
[ -z "$(ls "$volumes")$(ls "$state/places")" ] || fail "left: $(ls "$volumes" "$state/places")"

# Volumes of one export share its device.
for number in $(seq "${CONTAINERS:-4}"); do
    docker volume create --driver blockd --opt uri=team/project@main --opt upper=tmpfs "tree$number" >/dev/null
    docker run -d --name "runs$number" --network none --cap-drop ALL --user 1000 -v "tree$number:/workspace" \
        -w /workspace tools sh -c "echo $number >file1; sleep infinity" >/dev/null
done
[ "$(ls "$state/lowers" | wc -l)" = 1 ] || fail "a device for each: $(ls "$state/lowers")"
docker run -d --name again --network none --cap-drop ALL --user 1000 -v tree1:/workspace tools sleep infinity >/dev/null
[ "$(docker exec again cat /workspace/file1)" = 1 ] || fail "containers with one volume do not share it"
docker ps -aq | xargs docker rm -f >/dev/null
nothing_is_attached || fail "attached after many"

# The options, and what is none.
docker volume create --driver blockd --opt uri=team/project@main --opt readonly --opt uid=7 --opt gid=8 shown >/dev/null
[ "$(in_volume shown stat -c %u:%g file1)" = 7:8 ] || fail "uid and gid"
has "$(refused in_volume shown touch x)" "Read-only file system"
docker volume create --driver blockd --opt uri=team/project@main --opt cow=block blocks >/dev/null
in_volume blocks $commit blocks --allow-empty
[ "$(in_volume blocks git log -n 1 --format=%s)" = blocks ] || fail "changed blocks are not kept"
create() { refused docker volume create --driver blockd "$@" other; }
has "$(create --opt url=x)" "no option url: those are uri"
has "$(create --opt uid=me)" "uid=me: invalid digit"
has "$(create --opt readonly --opt upper=tmpfs)" "leave upper and cow out"
has "$(create --opt uri=http://x/y)" "must begin with nbd://"
ask() { curl -sS --unix-socket /run/docker/plugins/blockd.sock -d "$2" "http://plugin/$1"; }
has "$(ask VolumeDriver.Create '{"Name": "shown", "Opts": {"uid": "1"}}')" "with other options"
has "$(ask VolumeDriver.Mount '{"Name": "nowhere", "ID": "1"}')" "there is no volume nowhere"
has "$(ask VolumeDriver.Mount '{"Name": ')" "not one of Docker's protocol"
has "$(ask NetworkDriver.GetCapabilities '{}')" "it is a volume driver"
long=$(printf '%0300d' 0)
has "$(refused in_volume "$long" true)" "it is too long"
has "$(refused in_volume team/missing@main true)" "team/missing"
has "$(refused in_volume team/project@missing true)" "missing"
! docker volume ls -q | grep -q missing || fail "a mistaken name is a volume"

# The examples are what they say.
export EXPORT=team/project@main IMAGE=tools
cp -r "$examples/docker" compose
(cd compose && docker-compose up --no-color >../compose.log 2>&1) || fail "docker-compose up"
has "$(cat compose.log)" "work"
! grep -q 'exited with code [1-9]' compose.log || fail "a service failed"
(cd compose && docker-compose down -v >>../compose.log 2>&1) || fail "docker-compose down"
mount=$(sed -n 's/.*"workspaceMount": "\(.*\)".*/\1/p' "$examples/devcontainer/.devcontainer/devcontainer.json")
docker run --rm --network none --cap-drop ALL --user 1000 --mount "$mount" tools git -C /workspace status --short
nothing_is_attached || fail "attached after the examples"
