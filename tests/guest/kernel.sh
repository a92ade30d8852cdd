#!/usr/bin/env bash
# Fetches Debian's cloud kernel into FOLDER without installing it, so that it
# takes neither root nor a place in /boot. FOLDER/vmlinuz and FOLDER/modules
# are what comes of it.
set -euo pipefail

folder=${1:?usage: kernel.sh FOLDER}
[ -e "$folder/ready" ] && exit 0

package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
if [ -z "$package" ]; then
    echo "kernel.sh: apt knows no linux-image-cloud-amd64 (Debian on amd64, after apt-get update)" >&2
    exit 1
fi

rm -rf "$folder"
mkdir -p "$folder/package"
folder=$(cd "$folder" && pwd)
(cd "$folder/package" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb .)

# Since trixie everything lies below /usr.
mv "$folder"/package/boot/vmlinuz-* "$folder/vmlinuz"
for modules in "$folder"/package/lib/modules/* "$folder"/package/usr/lib/modules/*; do
    if [ -d "$modules/kernel" ]; then
        basename "$modules" >"$folder/release"
        mv "$modules" "$folder/modules"
    fi
done
rm -rf "$folder/package"
test -s "$folder/release"
touch "$folder/ready"
