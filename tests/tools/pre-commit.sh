#!/usr/bin/env bash
# pre-commit, from $TOOLS/python: installed, refusing, letting pass.
set -euo pipefail
export PRE_COMMIT_HOME=$SCRATCH/pre-commit PATH=$TOOLS/python/bin:$PATH PRE_COMMIT_COLOR=never
pre_commit=$TOOLS/python/bin/pre-commit

"$pre_commit" install
"$pre_commit" run --all-files
printf 'a\ttab\n' >>docs/notes.txt
git add docs/notes.txt
git commit -q -m 'refused' 2>&1 && echo "a tab was let pass"
git status --porcelain
git restore --staged --worktree docs/notes.txt
printf 'no tab\n' >>docs/notes.txt
# What is not added is put aside while the hooks run.
printf 'left\n' >>docs/guide.txt
git add docs/notes.txt
git commit -q -m 'passed' 2>&1 | sed 's/patch[0-9]*-[0-9]*/PATCH/g'
git status --porcelain
git log --format='%H %s' -n 2
head -n 4 .git/hooks/pre-commit
stat -c '%A' .git/hooks/pre-commit
"$pre_commit" uninstall
