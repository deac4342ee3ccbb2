#!/bin/sh
# What can be said of the sources without compiling them. `sh tests/lint.sh --help`.
set -eu
cd "$(dirname "$0")/.."
. cmake/scripts/common.sh

usage() {
    cat <<'END'
usage: sh tests/lint.sh [--format]

  --format    rewrite the C++ files as clang-format-16 has them, and check nothing

Checks: C++ as clang-format-16 has it (.clang-format); scripts by shellcheck (.shellcheckrc); no line over 120
columns; what READMEs link to and name is there; every header is used or named in a README as one to include; the API
reference (cmake/Doxyfile, in build/reference/html) is made without a warning; packages have the library's version.
The last line is "N passed, M failed".
END
}

need_packages clang-format-16 doxygen git perl shellcheck

cpp_files() { git ls-files '*.hpp' '*.cpp' '*.inl' '*.h' '*.c'; }

case ${1:-} in
'') ;;
--format) cpp_files | xargs clang-format-16 -i; exit 0 ;;
--help | -h) usage; exit 0 ;;
*) usage >&2; die "unknown option $1" ;;
esac

# Each place once, without the lines of code.
format() {
    cpp_files | xargs clang-format-16 --dry-run -Werror >"$scratch/format" 2>&1 && return
    sed -n 's/: error: .*/: sh tests\/lint.sh --format would change it/p' "$scratch/format" | sort -u -t: -k1,2
    return 1
}

# What git says has a first line with a shell in it, and scripts that are sourced.
scripts() { { git ls-files '*.sh'; git grep -lE '^#!/bin/(ba)?sh'; } | sort -u | xargs shellcheck -x; }

# In characters. Tables can't be broken, nor can literals: what is around one counts.
width() {
    git ls-files '*.hpp' '*.cpp' '*.inl' '*.h' '*.c' '*.sh' '*.py' '*.cmake' '*.awk' '*CMakeLists.txt' '*.md' .ci/run |
        xargs perl -CSD -Mutf8 -lne '
            my $rest = $_;
            $rest =~ s/R"\(.*?\)"//g;
            $rest =~ s/"[^"]{40,}"|\x27[^\x27]{40,}\x27|\x60[^\x60]{40,}\x60//g;
            if (length > 120 && length $rest > 80 && !/^\|/) { print "$ARGV:$.: ", length, " columns"; $bad = 1 }
            close ARGV if eof;
            END { exit $bad }'
}

# Links, and names of files and folders in back quotes, with * for any letters: from the README, from the root, from
# include/, or the end of a path.
readmes() {
    git ls-files >"$scratch/files"
    git ls-files '*.md' | xargs perl -CSD -lne '
        BEGIN {
            open my $in, "<", $ENV{FILES} or die;
            chomp(my @files = <$in>);
            my %folders;
            for (@files) { my $path = $_; $folders{"$path/"} = 1 while $path =~ s|/[^/]*$||; }
            $all = join "\n", "", @files, sort(keys %folders), "";
        }
        sub known {
            my ($name, $folder) = @_;
            $name =~ s|/\.$|/|;
            my $pattern = join "[^/\n]*", map { quotemeta } split /\*/, $name, -1;
            return $all =~ m|\n(?:[^\n]*/)?$pattern/?\n| if $name !~ m|^\.\.?/|;
            my $path = "$folder/$name";
            1 while $path =~ s|/\./|/| || $path =~ s|[^/]+/\.\./||;
            return -e $path;
        }
        (my $folder = $ARGV) =~ s|/?[^/]*$||;
        $folder = "." if $folder eq "";
        $old = 1 if /^## Changes/;  # names that were
        next if $old && !eof;
        $code = !$code if /^```/;
        while (!$code && /\]\(([^)#\s]+)[^)]*\)/g) {
            next if $1 =~ /^[a-z]+:/ || -e "$folder/$1";
            print "$ARGV:$.: no $1 to link to"; $bad = 1;
        }
        my @names = (m|\x60([\w.*/-]+\.(?:hpp\|cpp\|inl\|sh\|py\|md\|awk\|cmake))\x60|g,
                     m|\x60([\w.*-][\w.*/-]*/)\x60|g,
                     m|\b(?:sh\|python3) ([\w./-]+\.(?:sh\|py))|g);
        for (@names) {
            s/NAME/*/;
            next if $made{$_} || m|^build/| || known($_, $folder);
            print "$ARGV:$.: no $_ here"; $bad = 1;
        }
        if (eof) { close ARGV; $code = $old = 0 }
        BEGIN { $made{$_} = 1 for split " ", $ENV{MADE} }
        END { exit $bad }'
}

headers() {
    git grep -hoE '#[[:space:]]*include <sbora/[^>]+>' -- include | sed 's/.*<//; s/>//' | sort -u >"$scratch/included"
    git ls-files '*.md' | xargs grep -hoE '[`/<](sbora/)?[a-z0-9_/]+\.h(pp)?' |
        sed 's/^.//; s/^sbora.//; s/^/sbora\//' | sort -u >"$scratch/named"
    git ls-files 'include/*.hpp' 'include/*.h' 'include/*.inl' | sed 's/^include.//' | sort |
        comm -23 - "$scratch/included" | comm -23 - "$scratch/named" >"$scratch/unused"
    sed 's/$/: no header includes it and no README names it/' "$scratch/unused"
    [ ! -s "$scratch/unused" ]
}

# Packages for others say version.hpp's.
versions() {
    version=$(sed -n 's/^#define SBORA_VERSION_[A-Z]* //p' include/sbora/version.hpp | paste -sd.)
    for file in cmake/packaging/vcpkg/sbora/vcpkg.json examples/python/pyproject.toml; do
        grep -Eq "^ *\"?version\"? ?[:=] \"$version\"" "$file" || { echo "$file: not version $version"; return 1; }
    done
}

# Each warning, or its error.
reference() {
    mkdir -p build/reference
    doxygen cmake/Doxyfile >"$scratch/reference" 2>&1 || echo "doxygen failed" >>"$scratch/reference"
    cat "$scratch/reference"
    [ ! -s "$scratch/reference" ]
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What READMEs name and a program or a user makes.
export FILES="$scratch/files" MADE="finetune.py kernels.cpp peft/ merged/ cache/"
passed=0 failed=0
for check in format scripts width readmes headers versions reference; do
    if $check >"$scratch/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        say "$check"
        head -n 40 "$scratch/out"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
