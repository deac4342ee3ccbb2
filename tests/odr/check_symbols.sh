#!/bin/sh
# check_symbols.sh OBJECT: an object full of sbora, compiled with NDEBUG, refers to nothing that prints
# or ends the process. Output and the end of the process are the application's.
set -eu
undefined=$(nm --undefined-only "$1" | awk '{ print $NF }')
if ! printf '%s\n' "$undefined" | grep -Eq '^(_Znwm|malloc)'; then
    echo "$1: not even an allocation in it, this is no object full of sbora"
    exit 1
fi
if printf '%s\n' "$undefined" |
    grep -Ex 'abort|exit|_Exit|quick_exit|__assert_fail|__assert|(__)?v?f?printf(_chk)?|puts|putchar|fputs|fwrite|stdout|stderr|_ZSt4(cout|cerr|clog).*|.*ios_base4InitC1Ev'
then
    echo "$1: the symbols above must not be there"
    exit 1
fi
