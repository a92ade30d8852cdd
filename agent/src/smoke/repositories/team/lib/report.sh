# report: cents become an amount with two decimals.
report() {
    awk '{ printf "%s %d.%d\n", $1, $2 / 100, $2 % 100 }'
}
