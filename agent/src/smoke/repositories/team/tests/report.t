. lib/report.sh
got=$(printf 'bread 325\nrent -70000\ntea 5\ntin -5\nwine 1000\nzinc -350\n' | report)
want='bread 3.25
rent -700.00
tea 0.05
tin -0.05
wine 10.00
zinc -3.50'
[ "$got" = "$want" ] || { echo "got:"; echo "$got"; echo "want:"; echo "$want"; exit 1; }
