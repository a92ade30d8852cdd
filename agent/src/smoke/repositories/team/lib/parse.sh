# parse: DATE ACCOUNT AMOUNT becomes ACCOUNT CENTS.
parse() {
    awk '/^#/ { next }
        NF { split($3, part, "."); print $2, part[1] * 100 + part[2] }'
}
