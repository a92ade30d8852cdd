#!/usr/bin/env bash
# Packs what one test adds to the guest: its script, and the program under
# test without the debug information that would fill the guest's memory.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

script=${1:?usage: overlay.sh SCRIPT BLOCKD OUTPUT}
blockd=${2:?usage: overlay.sh SCRIPT BLOCKD OUTPUT}
output=${3:?usage: overlay.sh SCRIPT BLOCKD OUTPUT}

cp "$script" "$root/test.sh"
program blockd "$blockd"
strip "$root/bin/blockd"
archive "$output"
