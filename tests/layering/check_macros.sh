#!/bin/sh
# check_macros.sh INCLUDE_SBORA: every macro that the library defines, and every environment variable that it reads, is
# in README.md there, by its name or as `PREFIX_*`. Prints those that aren't; exit 1 if there is one.
set -eu
cd "$1"

find . -name '*.hpp' -o -name '*.h' -o -name '*.inl' | LC_ALL=C sort | xargs sed -nE \
    -e 's/^ *# *define (SBORA_[A-Za-z0-9_]+).*/\1/p' -e 's/.*getenv\("([A-Z_]+)"\).*/\1/p' |
    LC_ALL=C sort -u | awk '
        FNR == NR {                                     # README.md: `SBORA_A`, `SBORA_A_*`, `SBORA_A`, `_B`
            while (match($0, /_[A-Z0-9_]+\*?|SBORA_[A-Z0-9_]+\*?/)) {
                word = substr($0, RSTART, RLENGTH)
                $0 = substr($0, RSTART + RLENGTH)
                if (word ~ /^_/) sub(/_[A-Z0-9]+$/, word, full)     # the last part of the name before
                else full = word
                if (full ~ /\*$/) prefix[substr(full, 1, length(full) - 1)]
                else known[full]
            }
            next
        }
        {
            if ($0 in known) next
            for (p in prefix) if (index($0, p) == 1) next
            print $0 " is not in include/sbora/README.md"
            failed = 1
        }
        END { exit failed }' README.md -
