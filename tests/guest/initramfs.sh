#!/usr/bin/env bash
# Packs what every guest needs: busybox, the modules of the kernel path,
# nbd-client, git and the libraries of both.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

kernel=${1:?usage: initramfs.sh KERNEL-FOLDER OUTPUT}
output=${2:?usage: initramfs.sh KERNEL-FOLDER OUTPUT}
release=$(cat "$kernel/release")
tree=$root/lib/modules/$release

mkdir -p "$root"/{dev,etc,mnt,proc,root,run,sys,tmp,usr/bin} "$tree"
ln -s bin "$root/sbin"
ln -s ../bin "$root/usr/sbin"

# module_files NAME...: the files of these modules and of all they depend on.
# Nothing else knows the right order, virtio_ring before virtio for one.
module_files() {
    local stage=$root/stage
    mkdir -p "$stage/lib/modules"
    ln -s "$(cd "$kernel/modules" && pwd)" "$stage/lib/modules/$release"
    [ -e "$kernel/modules/modules.dep" ] || busybox depmod -b "$stage" "$release"
    rm -r "$stage"
    for name; do
        awk -F: -v name="/$name.ko" 'index($1, name) { print $1; print $2 }' "$kernel/modules/modules.dep"
    done | tr ' ' '\n' | sed '/^$/d' | sort -u
}

module_files virtio_pci virtio_net nbd overlay loop fuse | while read -r file; do
    mkdir -p "$tree/$(dirname "$file")"
    cp "$kernel/modules/$file" "$tree/$file"
    case $file in
    *.xz) xz -d "$tree/$file" ;;
    *.zst) zstd -q -d --rm "$tree/$file" ;;
    esac
done
cp "$kernel"/modules/modules.{builtin,order} "$tree/"
busybox depmod -b "$root" "$release"

cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
program nbd-client
program git
ln -s git "$root/bin/git-upload-pack"
ln -s git "$root/bin/git-receive-pack"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
cp "$here/init" "$root/init"
archive "$output"
