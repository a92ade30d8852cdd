#!/bin/sh
# Runs every test and says which hold; fails unless all do.
cd "$(dirname "$0")/.." || exit 1
failed=0
for test in tests/*.t; do
    if said=$(sh "$test" 2>&1); then
        echo "ok ${test#tests/}"
    else
        echo "not ok ${test#tests/}"
        echo "$said" | sed 's/^/    /'
        failed=1
    fi
done
exit $failed
