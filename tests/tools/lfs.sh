#!/usr/bin/env bash
# git-lfs: its hooks, its filters, a file of its own.
set -euo pipefail

git lfs install --local
find .git/hooks -type f ! -name '*.sample' -printf '%P %m\n' | sort
git lfs track '*.bin'
seq 20000 >large.bin
git add .gitattributes large.bin
git lfs status
git commit -q -m 'a large file'
git lfs ls-files --long --size
git cat-file blob HEAD:large.bin
find .git/lfs/objects -type f -printf '%P %s\n' | sort
git lfs fsck
echo 'changed' >>large.bin
git diff
git commit -q -a -m 'changed'
git checkout -q HEAD~1
! [ -e large.bin ] || echo 'it is still there'
git switch -q main
tail -n 1 large.bin
git stash list
git lfs prune --verbose | tail -n 1
git status --porcelain
git log --format=%H -n 1
