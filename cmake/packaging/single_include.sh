#!/bin/sh
# sbora as one header. `sh cmake/packaging/single_include.sh --help`.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
    cat <<'END'
usage: sh cmake/packaging/single_include.sh [HEADER...] >sbora.hpp

Writes one header that has the HEADERs and all that they include of sbora; sbora/sbora.hpp if none is named. What isn't
sbora's (the standard library, Eigen, nlohmann_json) stays an include. With files, for the one unit that defines them:

  sh cmake/packaging/single_include.sh sbora/sbora.hpp sbora/io.hpp sbora/io/instances.hpp >sbora.hpp
END
}

case ${1:-} in
--help | -h) usage; exit 0 ;;
-*) usage >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- sbora/sbora.hpp
cd "$root/include"
for header in "$@"; do
    [ -f "$header" ] || { echo "single_include.sh: no $header in include/" >&2; exit 2; }
done

# Headers come once, bodies (*.inl without #pragma once) wherever they are included. A header whose first include stands
# under an #if comes again after it, and guards say which of the two a compiler sees.
awk -v headers="$*" '
    function emit(path, depth,    line, once, guard, at, lines, count, i, local, name) {
        count = 0
        while ((getline line < path) > 0) lines[++count] = line
        close(path)
        once = 0
        for (i = 1; i <= count; ++i) if (lines[i] ~ /^#pragma once/) once = 1
        if (once && done[path]) return
        guard = 0
        if (once) {
            name = "SBORA_HAS_" toupper(path)
            gsub(/[^A-Z0-9_]/, "_", name)
            guard = depth > 0 || seen[path]
            if (depth == 0) done[path] = 1
            seen[path] = 1
        }
        if (guard) print "#ifndef " name "\n#define " name
        local = 0
        for (i = 1; i <= count; ++i) {
            line = lines[i]
            if (line ~ /^#pragma once/) continue
            if (line ~ /^[ \t]*#[ \t]*if/) ++local
            if (line ~ /^[ \t]*#[ \t]*endif/) --local
            if (match(line, /^[ \t]*#[ \t]*include <sbora\/[^>]*>/)) {
                at = index(line, "<")
                emit(substr(line, at + 1, RLENGTH - at - 1), depth + guard + local)
            } else print line
        }
        if (guard) print "#endif  // " name
    }
    BEGIN {
        print "#pragma once"
        print ""
        print "// sbora as one header, made by cmake/packaging/single_include.sh of: " headers
        print "// Apache-2.0. SPDX-License-Identifier: Apache-2.0"
        count = split(headers, names, " ")
        for (i = 1; i <= count; ++i) emit(names[i], 0)
    }'
