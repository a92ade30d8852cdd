#!/bin/sh
# The tree of an image with a shell, git and make, from this machine's own programs.
#   image.sh FOLDER
set -eu
tree=$1
for program in sh git make cat sleep stat touch; do
    path=$(command -v "$program")
    real=$(realpath "$path")
    install -D "$real" "$tree/usr/bin/$program"
    ldd "$real" | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$tree$library" ] || install -D "$(realpath "$library")" "$tree$library"
    done
done
mkdir -p "$tree/tmp" "$tree/etc"
ln -s usr/bin "$tree/bin"
