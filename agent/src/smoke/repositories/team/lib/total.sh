# total: the sum of each account.
total() {
    awk '{ sum[$1] = $2 } END { for (account in sum) print account, sum[account] }' | sort
}
