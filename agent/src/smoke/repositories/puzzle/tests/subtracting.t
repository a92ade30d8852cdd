# Numerals with a smaller digit before a larger one.
for pair in 4:IV 9:IX 14:XIV; do
    got=$(./roman "${pair%:*}")
    [ "$got" = "${pair#*:}" ] || { echo "${pair%:*} became $got, not ${pair#*:}"; exit 1; }
done
