#!/bin/sh
# What was booked in a file, added up by account.
here=$(dirname "$0")/../lib
for part in parse total report; do
    . "$here/$part.sh"
done
parse <"$1" | report | total
