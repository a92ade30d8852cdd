#!/usr/bin/env bash
# lefthook, from $TOOLS/python: installed, refusing, letting pass.
set -euo pipefail
export PATH=$TOOLS/python/bin:$PATH NO_COLOR=1 LEFTHOOK_QUIET=meta,summary,execution_info
lefthook=$TOOLS/python/bin/lefthook

# It says so in an order of its own each time.
"$lefthook" install >/dev/null
find .git/hooks -type f ! -name '*.sample' -printf '%P %m\n' | sort
echo 'forbidden' >docs/forbidden.txt
git add docs/forbidden.txt
git commit -q -m 'fine' >/dev/null 2>&1 && echo "a forbidden file was let pass"
git rm -q -f docs/forbidden.txt
git commit -q --allow-empty -m 'bad' >/dev/null 2>&1 && echo "a bad message was let pass"
echo 'more' >>docs/notes.txt
git commit -q -a -m 'fine' >/dev/null 2>&1
git log --format='%H %s' -n 2
git status --porcelain
"$lefthook" uninstall >/dev/null
find .git/hooks -type f ! -name '*.sample'
