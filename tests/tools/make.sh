#!/usr/bin/env bash
# make, which builds what is newer than what was built of it.
set -euo pipefail
unset MAKEFLAGS MAKELEVEL MFLAGS

make 2>&1
make 2>&1
echo 'other' >parts/one.txt
make 2>&1
make 2>&1
git stash -q
make 2>&1
cat built/one built/two
git status --porcelain
