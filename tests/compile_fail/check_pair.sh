#!/bin/sh
# check_pair.sh SOURCE COMPILER [FLAGS...]
# SOURCE must compile; with -DSBORA_COMPILE_FAIL it must fail with an error that matches the extended
# regular expression of its first line, `// expect: REGEX`. Without the valid twin and the message, a
# typo would pass as a rejection.
set -eu
export LC_ALL=C # untranslated messages
source=$1
shift

expected=$(sed -n '1s|^// expect: ||p' "$source")
if [ -z "$expected" ]; then
    echo "$source: the first line must be '// expect: REGEX'"
    exit 1
fi

if ! "$@" "$source"; then
    echo "$source: must compile without SBORA_COMPILE_FAIL"
    exit 1
fi

if messages=$("$@" -DSBORA_COMPILE_FAIL "$source" 2>&1); then
    echo "$source: compiles with SBORA_COMPILE_FAIL"
    exit 1
fi
# Error lines only: quoted source would match anything.
if ! printf '%s\n' "$messages" | grep ': error: ' | grep -Eq -e "$expected"; then
    printf '%s\n' "$messages"
    echo "$source: no error matches '$expected'"
    exit 1
fi
