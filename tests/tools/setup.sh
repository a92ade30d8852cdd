#!/usr/bin/env bash
# Fetches the tools that work on git trees, each at one version, from the
# registries that pip and npm are set up with, into .cache; says where they are.
#   python/bin/    GitPython, pygit2, dulwich, pre-commit, lefthook
#   js/            isomorphic-git
set -euo pipefail
cd "$(dirname "$0")/../.."

python=(GitPython==3.2.1 pygit2==1.21.0 dulwich==1.2.21 pre-commit==4.7.0 lefthook==2.2.2)
js=(isomorphic-git@1.44.11)

# A virtual environment knows its own place, so both are made where they stay.
fetch_all() {
    python3 -m venv python
    python/bin/pip install --quiet "${python[@]}"
    mkdir js
    cd js
    npm init --yes
    npm install --no-audit --no-fund "${js[@]}"
}

versions=$(printf '%s\n' "${python[@]}" "${js[@]}" | sha256sum | cut -c 1-12)
folder=.cache/tools-$versions
mkdir -p "$folder"
(
    flock 9
    if ! [ -e "$folder/ready" ]; then
        echo "setup.sh: fetching ${python[*]} ${js[*]}" >&2
        rm -rf "$folder"/{python,js}
        if ! (cd "$folder" && fetch_all) >"$folder/log" 2>&1; then
            tail -n 20 "$folder/log" >&2
            echo "setup.sh: cannot fetch them: $folder/log has all of it" >&2
            exit 1
        fi
        touch "$folder/ready"
    fi
) 9>"$folder/lock"
realpath "$folder"
