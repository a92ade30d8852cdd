#!/usr/bin/env bash
# Makes dist/, the pages of the agent, which cargo embeds in the program; does
# nothing when it is newer than all that it is made of. `make web` calls it.
set -euo pipefail
cd "$(dirname "$0")"
if [ -d dist ] && [ -z "$(find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -newer dist -print)" ]; then
    exit
fi
npm ci --ignore-scripts --no-audit --no-fund --silent
node build.js
