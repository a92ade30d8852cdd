# Numerals that only add up.
for pair in 1:I 2:II 3:III 6:VI 15:XV 60:LX 1000:M 3000:MMM; do
    got=$(./roman "${pair%:*}")
    [ "$got" = "${pair#*:}" ] || { echo "${pair%:*} became $got, not ${pair#*:}"; exit 1; }
done
