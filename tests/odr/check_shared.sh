#!/bin/sh
# check_shared.sh LIBRARY OBJECT: what units of different flags share, in the namespace kernels_vX_Y, is data: its only
# functions are the look-ups kernels_at, which the library has and the unit refers to. The linker would keep one copy of
# another, maybe the one full of AVX instructions, for all.
set -eu
# functions FILE: those in that namespace which FILE defines.
functions() { nm --defined-only "$1" | awk '$2 ~ /^[TtWw]$/ && $3 ~ /^_ZNK?5sbora[0-9]+kernels_v[0-9]/ { print $3 }'; }
functions "$1" | grep -q kernels_at || { echo "$1: no look-up in it"; exit 1; }
nm --undefined-only "$2" | grep -q kernels_at || { echo "$2: looks nothing up in a library"; exit 1; }
if { functions "$1"; functions "$2"; } | grep -v kernels_at; then
    echo "the functions above would be shared by units of different flags"
    exit 1
fi
if functions "$2" | grep kernels_at; then echo "$2: has kernels of its own"; exit 1; fi
