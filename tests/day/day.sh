#!/usr/bin/env bash
# A day of work in the tree that this is started in. What every step says, how
# it ends and what it leaves is written out; a failure is part of that.
#   ORIGIN    a bare repository of the same commits, to fetch from and push to
#   SCRATCH   a folder for what belongs to no tree
#   FAR       how many commits back is far
#   SEED      which files are edited
#   TURN      a file: who holds its lock has the machine for a step
# SCRATCH/times has the microseconds of each step; SCRATCH/said what it said.
set -uo pipefail

export GIT_CONFIG_COUNT=4
export GIT_CONFIG_KEY_1=protocol.file.allow GIT_CONFIG_VALUE_1=always
# How short an id may be depends on how many objects there are.
export GIT_CONFIG_KEY_2=core.abbrev GIT_CONFIG_VALUE_2=12
export GIT_CONFIG_KEY_3=gc.auto GIT_CONFIG_VALUE_3=0
# What takes long shows its progress, and how long it takes is another thing.
export GIT_EDITOR=true GIT_PROGRESS_DELAY=86400
clock=1800000000
number=0
mkdir -p "$SCRATCH/said"

tick() {
    clock=$((clock + 60))
    export GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000"
}

# What is long is told by its length and its digest.
tell() {
    if (($(wc -l <"$1") > 200)); then
        printf '%s lines, %s\n' "$(wc -l <"$1")" "$(sha256sum <"$1")"
    else
        cat "$1"
    fi
}

step() {
    local name=$1 start end code
    number=$((number + 1))
    local said=$SCRATCH/said/$number-$name
    tick
    flock 9
    start=${EPOCHREALTIME/[.,]/}
    "$name" >"$said" 2>&1
    code=$?
    end=${EPOCHREALTIME/[.,]/}
    flock -u 9
    echo "$name $((end - start))" >>"$SCRATCH/times"
    printf '=== %s ended with %d at %s\n' "$name" "$code" "$(git rev-parse HEAD)"
    tell "$said"
    GIT_OPTIONAL_LOCKS=0 git status --porcelain >"$said-status"
    printf -- '--- status\n'
    tell "$said-status"
}

# edit WORD FILE...: at the beginning of its third line; the line keeps its end.
edit() {
    local word=$1
    shift
    sed -i "3s/^/$word: /" "$@"
}

commit_all() {
    tick
    git commit -q -a -m "$1"
}

first_status() { git status; }

log() {
    git log --oneline -n 1000
    git log -p -n 100
    git log --graph --stat -n 200
    git shortlog -s -n -e "HEAD~$((FAR / 5)).."
    git log --follow --format=%h -n 20 -- "${files[0]}"
}

blame() {
    local file
    for file in "${files[@]:0:3}"; do
        git blame -- "$file"
    done
}

search() {
    git grep -n -w return
    git grep -c -i -e line -e error "HEAD~$((FAR / 10))"
    grep -r --exclude-dir=.git -c -w return . | sort
}

tags() {
    git describe --tags --always
    git tag -a -m 'of this day' day
    git tag light HEAD~3
    git describe --always HEAD~1
    git tag -n -l 'day' 'light'
}

edits() {
    edit edited "${files[@]:0:4}"
    echo 'a line more' >>"${files[4]}"
    rm "${files[5]}"
    chmod +x "${files[6]}"
    git status
    git diff
    git diff --stat
    printf 'y\nn\ny\nn\ny\nn\n' | git add -p
    git diff --cached --stat
}

stash() {
    mkdir -p new/folder
    echo 'untracked' >new/folder/file
    git stash push -q -u -m 'put aside'
    git status
    git stash list
    git stash show --include-untracked --stat
    git stash pop
    git add new
}

commits() {
    git commit -q -a -m 'of this day'
    git show --stat
    echo 'amended' >>new/folder/file
    tick
    git commit -a --amend -m 'of this day, amended'
    git reset --hard HEAD~1
    git reset --hard 'HEAD@{1}'
    tick
    git mv new moved
    git commit -q -m 'moved'
    git show -M --stat
}

hooks() {
    printf '#!/bin/sh\n! git diff --cached | grep -q ^+FORBIDDEN\n' >.git/hooks/pre-commit
    printf '#!/bin/sh\necho "Seen-by: a hook" >>"$1"\n' >.git/hooks/commit-msg
    printf '#!/bin/sh\necho "from $1 to $2"\n' >.git/hooks/post-checkout
    chmod +x .git/hooks/{pre-commit,commit-msg,post-checkout}
    edit FORBIDDEN "${files[0]}"
    git commit -a -m 'refused' && echo 'it was let pass'
    git checkout -- "${files[0]}"
    edit allowed "${files[0]}"
    git commit -a -m 'let pass'
    git log -n 1
    git checkout -q -b hooked
    git checkout -q "$main"
    rm .git/hooks/{pre-commit,commit-msg,post-checkout}
}

branch() {
    git switch -c topic HEAD~2
    edit one "${files[7]}" && commit_all 'one'
    edit two "${files[8]}" && commit_all 'two'
    edit three "${files[9]}" && commit_all 'three'
    edit four "${files[7]}" && commit_all 'four'
    git log --oneline "$main.."
}

rebase() {
    GIT_SEQUENCE_EDITOR="sed -i -e 2{h\;d} -e 3G -e 4s/^pick/fixup/" git rebase -i "$main"
    git log --oneline "$main.."
    git rebase -i --exec 'git diff --quiet HEAD' "$main" </dev/null
    git range-diff "$main" ORIG_HEAD HEAD
}

cherry_pick() {
    git switch "$main"
    git cherry-pick -x topic~1
    tick
    git revert --no-edit HEAD~1
    git log --stat -n 2
}

merge() {
    git switch -q -c ours "$main"
    edit ours "${files[10]}" "${files[11]}" && commit_all 'ours'
    git switch -q -c theirs "$main"
    edit theirs "${files[10]}" && commit_all 'theirs'
    git merge ours && echo 'no conflict?'
    git status
    git diff
    git merge --abort
    git merge ours
    git checkout --theirs -- "${files[10]}"
    git ls-files -u
    git add "${files[10]}"
    git commit -q --no-edit
    git switch "$main"
    git merge --no-ff -m 'merged' theirs topic
    git log --graph --oneline -n 12
}

worktree() {
    git worktree add -b linked "$SCRATCH/linked" HEAD~5
    (
        cd "$SCRATCH/linked" || exit
        edit linked "${files[3]}"
        git status
        commit_all 'in a linked work tree'
    )
    git worktree list
    git log --oneline -n 2 linked
    git worktree remove "$SCRATCH/linked"
    git worktree list
}

submodule() {
    git submodule add ../sub.git vendor/sub
    git commit -q -m 'a submodule'
    git submodule deinit -f vendor/sub
    git submodule update --init --recursive
    git submodule status
    git -C vendor/sub log --oneline
    git submodule foreach 'git status --short'
}

bisect() {
    git bisect start HEAD "HEAD~$((FAR / 2))"
    git bisect run sh -c "git merge-base --is-ancestor HEAD $main~$((FAR / 7))"
    git bisect log
    git bisect reset
}

sparse() {
    git sparse-checkout set --cone "$(dirname "${files[0]}")"
    git sparse-checkout list
    git status
    find . -name .git -prune -o -type f -print | sort
    git sparse-checkout disable
}

switch_far() {
    git switch --detach "HEAD~$FAR"
    git status
    git switch -
    git checkout "HEAD~$FAR" -- "$(dirname "${files[0]}")"
    git diff --cached --stat
    git restore --staged --worktree :/
}

reset() {
    git reset --hard HEAD~10
    git reset --hard ORIG_HEAD
    git reset --soft HEAD~1
    git commit -q -C ORIG_HEAD
    git reset --mixed HEAD~2
    git reset --hard 'HEAD@{1}'
    git reflog -n 5
}

push() {
    git push origin "$main:day" topic
    git push --tags
    git ls-remote origin 'refs/heads/*'
}

# Somebody has pushed meanwhile.
fetch() {
    git fetch
    git status -s -b
    git merge --no-edit "origin/$main"
    git log --oneline "HEAD^1..HEAD"
    git branch -a -v
}

archive() {
    git archive HEAD | sha256sum
    git archive --prefix=some/ "HEAD~$FAR" "$(dirname "${files[0]}")" | tar t
}

patches() {
    git format-patch -o "$SCRATCH/patches" "$main~1..ours"
    git format-patch --stdout topic~2..topic | sed '/^2\.[0-9.]*$/d'
    git switch -c applied topic~2
    git format-patch --stdout topic~2..topic | git am --keep-cr
    git diff --stat topic
    git switch "$main"
}

clean() {
    mkdir -p build untracked/folder
    touch build/x untracked/folder/y z.o
    git clean -n -d
    git clean -f -d -x
}

gc() {
    git gc --quiet
    # How many packs there are is another thing: the attached tree keeps those
    # that it has come with.
    git count-objects -v | grep -E '^(size-garbage|garbage)'
    git fsck --no-progress --no-dangling --connectivity-only
    git log --format=%H | sha256sum
}

# What a day begins with; all of it is asked of the origin, so that nothing of
# the tree has been read when the first step begins.
prepare() {
    local all step
    git remote set-url origin "$ORIGIN"
    main=$(git symbolic-ref --short HEAD)
    mapfile -t all < <(git -C "$ORIGIN" ls-tree -r -l HEAD |
        awk '$1 == "100644" && $4 > 400 && $4 < 40000' | cut -f 2 | grep -E '^[a-zA-Z0-9].*/.*\.(c|h|rs|py|js|ts|go|java|rb|md|txt|sh)$')
    step=$((${#all[@]} / 12))
    ((step > 0)) || { echo "12 text files in folders are needed, here are ${#all[@]}" && exit 1; }
    for ((i = 0; i < 12; i++)); do
        files+=("${all[i * step + SEED % step]}")
    done
    git init -q --bare "$SCRATCH/sub.git"
    git -C "$SCRATCH/sub.git" update-ref refs/heads/main \
        "$(git -C "$SCRATCH/sub.git" commit-tree -m 'of a submodule' "$(git -C "$SCRATCH/sub.git" mktree </dev/null)")"
    printf '%s\n' "$main" "${files[@]}"
}

# A commit on the origin's branch.
others_push() {
    local git=(git -C "$ORIGIN") blob
    export GIT_INDEX_FILE=$SCRATCH/others-index
    "${git[@]}" read-tree "$main"
    blob=$(printf 'by others\n' | "${git[@]}" hash-object -w --stdin)
    "${git[@]}" update-index --add --cacheinfo "100644,$blob,by-others.txt"
    "${git[@]}" update-ref "refs/heads/$main" \
        "$("${git[@]}" commit-tree -p "$main" -m 'by others' "$("${git[@]}" write-tree)")"
    unset GIT_INDEX_FILE
}

files=()
exec 9<"$TURN"
prepare
for name in first_status log blame search tags edits stash commits hooks branch rebase cherry_pick merge worktree \
    submodule bisect sparse switch_far reset push; do
    step "$name"
done
others_push
for name in fetch archive patches clean gc; do
    step "$name"
done
