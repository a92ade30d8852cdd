. lib/parse.sh
got=$(printf '# a comment\n\n2026-01-02 bread 3.25\n2026-01-03 rent -700\n2026-01-04 tea 2.5\n2026-01-05 tea -0.05\n2026-01-06 tea -3.50\n' | parse)
want='bread 325
rent -70000
tea 250
tea -5
tea -350'
[ "$got" = "$want" ] || { echo "got:"; echo "$got"; echo "want:"; echo "$want"; exit 1; }
