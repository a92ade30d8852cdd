#!/bin/sh
# What mount(8) and umount(8) do with a type of file system that is blockd's. Run in
# a mount namespace of its own, in which /sbin has the helpers.
#
#   mount_helper.sh BLOCKD URI FOLDER
#
# FOLDER/state is the state directory, FOLDER/tree the mountpoint.
set -eu
blockd=$1 uri=$2 folder=${3%/}
tree=$folder/tree state=$folder/state
options=via=fuse,any-ext4,state=$state

mkdir "$folder/sbin" "$folder/run"
mount -t tmpfs none "$folder/sbin"
mkdir "$folder/sbin/upper" "$folder/sbin/work"
mount -t overlay none -o "lowerdir=/usr/sbin,upperdir=$folder/sbin/upper,workdir=$folder/sbin/work" /usr/sbin
ln -s "$blockd" /sbin/mount.blockd
ln -s "$blockd" /sbin/umount.blockd
# What mount(8) writes down is for this namespace alone.
mkdir -p /run/mount
mount -t tmpfs none /run/mount

fail() {
    echo "$*"
    exit 1
}

nothing_is_left() {
    [ ! -e "$state/lowers" ] || [ -z "$(ls "$state/lowers")" ] || fail "$1: a lower layer is left"
    ! grep -q "$tree" /proc/self/mountinfo || fail "$1: a mount is left"
    ! grep -q "$tree" /run/mount/utab || fail "$1: utab knows of it"
}

# The exit code of a command that must fail.
code() {
    if "$@" >"$folder/said" 2>&1; then
        fail "succeeds: $*"
    else
        echo $?
    fi
}

said() {
    grep -q "$1" "$folder/said" || fail "no $1 in: $(cat "$folder/said")"
}

mount -t blockd -o "$options,uid=1000,gid=1000,_netdev" "$uri" "$tree"
[ "$(findmnt -n -o FSTYPE,SOURCE "$tree" | xargs)" = "overlay blockd" ] || fail "findmnt: $(findmnt "$tree")"
[ "$(stat -c %u:%g "$tree")" = 1000:1000 ] || fail "the owner is not the one of uid= and gid="
echo mine >"$tree/mine"
# What is mounted already is no error, by another URI it is.
mount -t blockd -o "$options,uid=1000,gid=1000" "$uri" "$tree"
[ "$(code mount -t blockd -o "$options" "${uri%%\?*}2?${uri#*\?}" "$tree")" = 32 ] || fail "another export over the first"
said "attached at $tree already"
umount "$tree"
nothing_is_left umount
[ ! -e "$tree" ] || fail "the directory that attach made is left"

echo "$uri $tree blockd $options,uid=1000,gid=1000,_netdev,nofail,x-systemd.automount 0 0" >"$folder/fstab"
mount -a -T "$folder/fstab"
mount -a -T "$folder/fstab"
[ "$(cat "$tree/mine")" = mine ] || fail "the changes are gone"
exec 5<"$tree/README"
[ "$(code umount "$tree")" = 32 ] || fail "a busy tree is unmounted"
said "is busy"
umount -l "$tree"
! grep -q "$tree" /proc/self/mountinfo || fail "umount -l: it is mounted"
exec 5<&-
for _ in $(seq 200); do
    [ -n "$(ls "$state/lowers")" ] || break
    sleep 0.05
done
nothing_is_left "umount -l"

mount -t blockd -o "$options,ro" "$uri" "$tree"
[ "$(code touch "$tree/x")" = 1 ] || fail "ro is not read-only"
# Where the helper is not installed, what is left is found by detach.
rm /sbin/umount.blockd
umount "$tree"
"$blockd" detach --discard --state "$state" "$tree"
nothing_is_left "detach after umount"

[ "$(code mount -t blockd -o "$options,noexec" "$uri" "$tree")" = 1 ] || fail "noexec"
said "unknown mount option noexec"
mount -t blockd -f -s -o "$options,noexec" "$uri" "$tree"
nothing_is_left "mount -f"
[ "$(code mount -t blockd -o "$options,uid=me" "$uri" "$tree")" = 1 ] || fail "uid=me"
said "invalid value 'me'"
[ "$(code mount -t blockd -o "$options" "nbd+unix:///x?socket=/nowhere" "$tree")" = 32 ] || fail "no server"
said "No such file"
[ ! -e "$tree" ] || fail "a mount that failed leaves its directory"
