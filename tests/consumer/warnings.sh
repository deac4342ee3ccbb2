#!/bin/sh
# warnings.sh SOURCE SCRATCH COMPILER INCLUDE_DIR...: sbora by -I, as many users have it, under the warnings that they
# turn on, as errors: every header with the kernels of all types, and the programs of the README.
set -eu
source=$1 scratch=$2 compiler=$3
shift 3
others=
for directory in "$@"; do others="$others -isystem $directory"; done

common="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wfloat-conversion -Wdouble-promotion -Wshadow \
    -Wold-style-cast -Wcast-qual -Wundef -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi \
    -Wzero-as-null-pointer-constant -Wredundant-decls -Wmissing-declarations -Wformat=2 -Wimplicit-fallthrough"
gcc="-Wcast-align=strict -Wuseless-cast -Wduplicated-cond -Wlogical-op -Wctor-dtor-privacy -Wsuggest-override"
clang="-Wcast-align -Wctad-maybe-unsupported -Wcomma -Wshadow-all -Wunreachable-code -Wmissing-prototypes \
    -Wheader-hygiene -Wextra-semi-stmt"

rm -rf "$scratch"
mkdir -p "$scratch"
for page in "$source/README.md" "$source"/include/sbora/*.md; do
    awk -v "to=$scratch/$(basename "$page" .md)_" -f "$source/tests/readme/extract.awk" "$page"
done
(cd "$source/include" && find sbora -name '*.hpp' ! -name openmp.hpp ! -path 'sbora/plugs/torch*' | sort |
    sed 's/.*/#include <&>/') \
    >"$scratch/all.cpp"
grep -v '<sbora/kernels/instan' "$scratch/all.cpp" >"$scratch/all_but_kernels.cpp"
# All programs in one unit, for the time that their headers take, each in a namespace.
{
    cat "$scratch"/*_[0-9]*.cpp | grep '^#include' | sort -u
    echo '#define main program_main(); int program_main'
    for program in "$scratch"/*_[0-9]*.cpp; do
        echo "namespace $(basename "$program" .cpp) {"
        sed '/^#include/d' "$program"
        echo '}'
    done
} >"$scratch/programs.cpp"

failed=0
case $("$compiler" --version) in
*clang*) warnings="$common $clang" ;;
*) warnings="$common $gcc" ;;
esac
check() {
    # shellcheck disable=SC2086
    "$compiler" -std=c++20 -fsyntax-only -Werror $warnings -I "$source/include" $others "$@" || failed=1
}
check -UNDEBUG -DSBORA_SEPARATE_KERNELS "$scratch/all.cpp"
check -DNDEBUG -DJSON_USE_IMPLICIT_CONVERSIONS=0 -DEIGEN_DEFAULT_DENSE_INDEX_TYPE=int -DSBORA_SEPARATE_KERNELS \
    "$scratch/all_but_kernels.cpp"
cat >"$scratch/int.cpp" <<'END'
#include <Eigen/Core>
#include <sbora/io.hpp>
#include <sbora/sbora.hpp>
inline long elements(const sbora::tensor_view& tensor) { return tensor.as_matrix<float>().size(); }
inline long elements(sbora::fa_adapter<float>& adapter, const sbora::fa_adapter<float>& other) {
  return adapter.matrix().size() + adapter.gradient_matrix().size() + other.matrix().size() +
         other.gradient_matrix().size();
}
END
check -DEIGEN_DEFAULT_DENSE_INDEX_TYPE=int -DSBORA_SEPARATE_KERNELS \
    "$scratch/int.cpp"
check -DSBORA_SEPARATE_KERNELS -Wno-return-type "$scratch/programs.cpp"  # main returns 0 by itself
exit $failed
