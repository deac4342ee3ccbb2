#!/bin/sh
# check_pair.sh SOURCE COMPILER [FLAGS...]
# SOURCE must compile; with -DSBORA_COMPILE_FAIL it must fail with an error that matches the extended
# regular expression of its first line, `// expect: REGEX`, and that is its first and within ten lines of
# output. Without the valid twin and the message, a typo would pass as a rejection. `// flags: FLAGS`, on the
# second line, are the failing twin's alone.
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

flags=$(sed -n '2s|^// flags: ||p' "$source")
# shellcheck disable=SC2086 # several flags
if messages=$("$@" $flags -DSBORA_COMPILE_FAIL "$source" 2>&1); then
    echo "$source: compiles with SBORA_COMPILE_FAIL"
    exit 1
fi
# Error lines only: quoted source would match anything.
if ! printf '%s\n' "$messages" | grep -E ': (fatal )?error: ' | head -n 1 | grep -Eq -e "$expected"; then
    printf '%s\n' "$messages"
    echo "$source: the first error doesn't match '$expected'"
    exit 1
fi
# A user's include is a line less than one by way of the precompiled header.
lines=$(printf '%s\n' "$messages" | grep -vc '^In file included from .*/compile_fail/headers\.hpp:')
if [ "$lines" -gt 10 ]; then
    printf '%s\n' "$messages"
    echo "$source: $lines lines of errors, at most 10 are allowed"
    exit 1
fi
