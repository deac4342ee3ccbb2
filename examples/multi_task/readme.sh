#!/bin/sh
# readme.sh PROGRAM [--check]: puts the tables of smollm2.csv and byte.csv into README.md, between its marks; or only
# says, by its exit status, whether they are there. PROGRAM: multi_task as it was built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
made=$(mktemp)
trap 'rm -f "$made" "$made.tables"' EXIT
cp "$here/README.md" "$made"
for results in smollm2.csv byte.csv; do
    [ -f "$here/$results" ] || continue
    "$1" --tables "$here/$results" >"$made.tables"
    awk -v mark="<!-- tables of $results -->" -v tables="$made.tables" '
        $0 == mark { print; while ((getline line < tables) > 0) print line; left_out = 1 }
        $0 == "<!-- end of tables -->" { if (left_out) print ""; left_out = 0 }
        !left_out { print }' "$here/README.md" >"$made"
    if [ "${2:-}" = --check ]; then
        cmp "$made" "$here/README.md" >&2 || exit 1
    else
        cat "$made" >"$here/README.md"
    fi
done
