# awk -v to=PATH -f extract.awk PAGE.md: writes block N of ```cpp to PATHN.cpp.
# A block with `int main` is a program as it is; others get their #includes, and sbora's, above a main
# with the rest in it. #line makes compiler messages point into the page.

function end_of_block(    path) {
    path = to (++blocks) ".cpp"
    if (is_program) {
        printf "#line %d \"%s\"\n%s", first_line, FILENAME, all > path
    } else {
        printf "#include <array>\n#include <cstdint>\n#include <iostream>\n#include <vector>\n" > path
        printf "#include <Eigen/Core>\n#include <sbora/sbora.hpp>\n%s", includes > path
        printf "int main() {\n#line %d \"%s\"\n%s}\n", first_line, FILENAME, body > path
    }
    close(path)
}

/^[ \t]*```/ {
    if (inside) {
        end_of_block()
        inside = 0
    } else if (other) {
        other = 0
    } else if ($1 == "```cpp") {
        inside = 1
        is_program = 0
        all = includes = body = ""
        first_line = FNR + 1
    } else {
        other = 1
    }
    next
}

inside {
    all = all $0 "\n"
    if (/(^|[ \t])int main[ \t]*\(/) is_program = 1
    if (/^[ \t]*#[ \t]*include/) {
        includes = includes $0 "\n"
        body = body "\n"     # keeps the line numbers
    } else {
        body = body $0 "\n"
    }
}

END {
    if (inside) {
        print FILENAME ": a ```cpp block without an end" > "/dev/stderr"
        exit 1
    }
}
