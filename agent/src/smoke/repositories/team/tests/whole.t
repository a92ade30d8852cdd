book=$(mktemp)
trap 'rm -f "$book"' EXIT
cat >"$book" <<'BOOK'
# January
2026-01-02 bread 3.25
2026-01-03 rent -700

2026-01-04 tea 2.5
2026-01-05 bread 1.10
2026-01-06 tea -0.05
BOOK
got=$(bin/ledger "$book")
want='bread 4.35
rent -700.00
tea 2.45'
[ "$got" = "$want" ] || { echo "got:"; echo "$got"; echo "want:"; echo "$want"; exit 1; }
