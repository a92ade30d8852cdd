#!/usr/bin/env bash
# JGit. Debian's own launcher lacks a jar, so this has them all on its path.
set -euo pipefail

jgit_command() {
    java -XX:TieredStopAtLevel=1 -cp '/usr/share/java/*' org.eclipse.jgit.pgm.Main "$@"
}

jgit_command status
echo 'by JGit' >>docs/notes.txt
echo 'new' >new.txt
jgit_command status
jgit_command diff
jgit_command add docs/notes.txt new.txt
jgit_command commit --author 'A U Thor <author@example.org>' -m 'by JGit' | sed 's/ [0-9a-f]*\]/ ID]/'
# JGit goes by the clock; git gives the commit the date of all others.
git commit -q --amend --no-edit --reset-author
jgit_command blame docs/guide.txt
jgit_command checkout -b topic
jgit_command log -n 3 v1
git log --format='%T %s' -n 2
