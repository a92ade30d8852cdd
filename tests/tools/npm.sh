#!/usr/bin/env bash
# npm: a package of this tree is installed, and scripts run in it.
set -euo pipefail
export npm_config_cache=$SCRATCH/npm npm_config_update_notifier=false

npm install --offline --no-audit --no-fund 2>&1 | sed 's/ in [0-9.]*m\?s$//'
npm ls --all
node_modules/.bin/part
cat built.txt
npm run prepare --silent
npm version patch -m 'version %s' --allow-same-version --force 2>/dev/null || git status --porcelain
npm pack --json --ignore-scripts | grep -E 'shasum|integrity|"path"|unpackedSize'
git status --porcelain
git log --format='%T %s' -n 1
