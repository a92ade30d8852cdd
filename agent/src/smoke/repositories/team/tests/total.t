. lib/total.sh
got=$(printf 'tea 250\nbread 325\ntea -5\nrent 0\ntea 100\n' | total)
want='bread 325
rent 0
tea 345'
[ "$got" = "$want" ] || { echo "got:"; echo "$got"; echo "want:"; echo "$want"; exit 1; }
