#!/bin/sh
# check_llama.sh EXAMPLES: the rooms of examples/llama are layers, and includes point to the ones before only; common/
# knows none of them. Prints every violation; exit 1 if there is one.
set -eu
cd "$1"

find common llama -name '*.?pp' | LC_ALL=C sort | xargs awk '
    BEGIN {
        count = split("common text weights model data training program", rooms, " ")
        for (i = 1; i <= count; i++) rank[rooms[i]] = i
    }
    FNR == 1 {
        room = FILENAME
        sub(/^llama\//, "", room)
        sub(/\/.*/, "", room)
        if (room ~ /\.cpp$/) room = "program"       # beside the rooms
        if (!(room in rank)) { print FILENAME ": " room "/ has no place in the layers"; failed = 1 }
        files++
    }
    /^#include "/ {
        target = $2
        gsub(/"/, "", target)
        if (!sub(/\/.*/, "", target) || !(target in rank)) {
            print FILENAME ":" FNR ": include \"ROOM/...\", not " $2; failed = 1
        } else if (rank[target] > rank[room]) {
            print FILENAME ":" FNR ": " room "/ must not include " target "/"; failed = 1
        }
    }
    END {
        if (!files) { print "no sources found"; failed = 1 }
        exit failed
    }'
