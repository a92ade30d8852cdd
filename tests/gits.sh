#!/usr/bin/env bash
# Runs a command once more with every git at hand whose version is another than
# that of the first on the path: Debian's own beside a newer one, mostly.
#   gits.sh COMMAND...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
seen=$(git version)

type -aP git | while read -r git; do
    version=$("$git" version)
    grep -qxF "$version" <<<"$seen" && continue
    seen+=$'\n'$version
    echo "== once more with $version, $git"
    ln -sfn "$git" "$folder/git"
    PATH=$folder:$PATH "$@" </dev/null
done
