#!/usr/bin/env bash
# Serves a repository, attaches it, works in it, and says how long each step
# took, beside what git takes for the same. Leaves nothing behind.
set -euo pipefail

blockd=$(realpath "${1:?usage: demo.sh BLOCKD REPOSITORY}")
repository=$(realpath "${2:?usage: demo.sh BLOCKD REPOSITORY}")
work=$(mktemp -d)
server=

sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    echo "Mounting takes root: sudo may ask for your password."
fi
if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' dim='' plain=''
fi

clean_up() {
    local code=$?
    trap - EXIT INT TERM
    cd /
    if mountpoint -q "$work/tree"; then
        $sudo "$blockd" detach "$work/tree" --discard --lazy --state "$work/client" || true
    fi
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if ((code != 0)) && [ -s "$work/log" ]; then
        echo "the server's log:" >&2
        cat "$work/log" >&2
    fi
    $sudo rm -rf --one-file-system "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Whoever owns the repository, git shall clone it, and somebody must commit.
export GIT_CONFIG_GLOBAL=$work/gitconfig GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
git config --global safe.directory '*'
git config --global user.name Demo
git config --global user.email demo@example.org
git config --global advice.detachedHead false

title() {
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

# timed NAME COMMAND...: runs it, shows the command and how long it took.
declare -A took
timed() {
    local name=$1 start end
    shift
    printf '%s$ %s%s\n' "$dim" "$(shown "$@")" "$plain"
    start=$(date +%s%N)
    "$@" >"$work/said" 2>&1 || {
        cat "$work/said"
        return 1
    }
    end=$(date +%s%N)
    took[$name]=$(((end - start) / 1000))
    sed -n "s|$work|…|g; s/^/  /; 1,5p" "$work/said" | cut -c1-110
    printf '  %s%s%s\n' "$bold" "$(seconds "${took[$name]}")" "$plain"
}

# A command as a person would type it.
shown() {
    local words=$*
    words=${words//$blockd/blockd}
    echo "${words//$work/…}"
}

# seconds MICROSECONDS
seconds() {
    printf '%d.%03d s' $(($1 / 1000000)) $(($1 / 1000 % 1000))
}

title "Serve $repository"
"$blockd" serve --repos "$repository" --unix "$work/socket" --state "$work/server" \
    >"$work/ready" 2>"$work/log" &
server=$!
for ((tries = 0; tries < 300; tries++)); do
    [ -s "$work/ready" ] && break
    kill -0 "$server" 2>/dev/null || exit 1
    sleep 0.1
done
sed -n "1s|$work|…|gp" "$work/ready"

title "Attach it"
mkdir "$work/tree"
timed attach $sudo "$blockd" attach "nbd+unix:///?socket=$work/socket" "$work/tree" --state "$work/client"
cd "$work/tree"
timed status git status --short --branch

title "Work in it"
timed log git log --oneline --no-decorate -5
git ls-files >"$work/files"
file=$(grep -m 1 -E '^(README|LICENSE|COPYING|Makefile)[^/]*$' "$work/files" || head -n 1 "$work/files")
timed blame git blame -s "$file"
echo "edited in the demo" >>"$file"
timed commit git commit -q -a -m "An edit of the demo"
timed after git status --short --branch
timed show git show --stat --format=%s
cd "$work"
echo "What this work tree stores of its own: $($sudo du -sh --exclude=lowers --one-file-system "$work/client" | cut -f1)"

title "The same with git alone"
timed clone git clone -q --no-hardlinks "file://$repository" "$work/clone"
timed clone-status git -C "$work/clone" status --short --branch
timed worktree git -C "$work/clone" worktree add -q --detach "$work/worktree" HEAD
timed worktree-status git -C "$work/worktree" status --short --branch

title "Detach it"
timed detach $sudo "$blockd" detach "$work/tree" --discard --state "$work/client"

title "Until the first git status has answered"
row() {
    printf '  %-18s %9s   %s\n' "$1" "$(seconds $((took[$2] + took[$3])))" "$4"
}
row "blockd attach" attach status "whole history, nothing copied"
row "git worktree add" worktree worktree-status "from a warm clone on this disk"
row "git clone" clone clone-status "whole history copied, from this disk"
echo "  ($(wc -l <"$work/files") files; the larger the repository, the larger the difference: make demo REPO=FOLDER)"
