#!/bin/sh
# check_tags.sh INCLUDE_DIR COMPILER [FLAGS...]: the compiler's own lists of architectures and options, one at a time.
# Where two choices differ in a macro, they differ in the name of sbora's namespace, unless the macro says nothing about
# the code that the compiler makes unasked.
set -eu
export LC_ALL=C
include=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What an error of the compiler's says are valid values.
values() { "$@" -E -x c++ /dev/null 2>&1 | sed -n 's/.*valid arguments are: //p; s/.*valid target CPU values are: //p' |
    sed 's/; did you mean.*//; s/,//g' | tr ' ' '\n' | sort -u; }
extensions="crypto crc lse fp16 rcpc rdma dotprod aes sha2 sha3 sm4 fp16fml sve rng memtag sb sve2 sve2-sm4 sve2-aes \
    sve2-sha3 sve2-bitperm tme i8mm f32mm f64mm bf16 flagm pauth ls64 mops sme sme2 cssc lse128 rcpc3 faminmax lut"
{
    values "$@" -march=none | sed 's/^/-march=/'
    values "$@" -mcpu=none | sed 's/^/-mcpu=/'
    for version in 1 2 3 4 5 6 7 8; do echo "-march=armv8.$version-a"; done
    for extension in $extensions; do echo "-march=armv8.6-a+$extension"; done
    echo "-march=armv8.2-a+sve -msve-vector-bits=256"
    "$@" --help=target 2>/dev/null | sed -n 's/^ *\(-m[a-z0-9.-]*\) .*/\1/p'
    printf '%s\n' -msse3 -mssse3 -msse4.1 -msse4.2 -mavx -mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mpopcnt -mmovbe \
        -mavx512f
    printf '%s\n' -ffast-math -Ofast -fno-math-errno -fno-signed-zeros -fno-trapping-math -freciprocal-math \
        "-fassociative-math -fno-signed-zeros -fno-trapping-math" -ffinite-math-only -frounding-math -fsignaling-nans \
        -funsafe-math-optimizations -funsigned-char -D_GLIBCXX_DEBUG -D_GLIBCXX_USE_CXX11_ABI=0 -DNDEBUG \
        -DSBORA_SINGLE_TARGET "-DSBORA_ASSERT(c,m)=0"
} | awk 'NF && !seen[$0]++' >"$work/choices"

# Names of processors and what is tuned for them; sizes and formats; and instructions that only intrinsics ask for.
processors=$(values "$@" -march=none | tr '-' '_' | tr '\n' '|')
harmless="(tune_.*|${processors}k8|k6.*|geode|pentium.*|i.86|slm|atom|corei7.*|core2|core_avx2|amdfam10)"
harmless="_*${harmless}_*|__FP_FAST_.*|__BIGGEST_ALIGNMENT__|__.*EVAL_METHOD.*|__FLT16_.*|__GCC_IEC_559.*|__STDC_IEC_.*"
harmless="$harmless|__GCC_(DE|CON)STRUCTIVE_SIZE|__OPTIMIZE__|__NO_INLINE__|__CLANG_CUDA.*|__SSE_MATH__"
harmless="$harmless|__(XSAVE.*|RDRND|RDSEED|RDPID|FSGSBASE|AES|VAES|SHA|SHA512|SM3|SM4|SGX|PKU|INVPCID|CLFLUSHOPT|CLWB|CLZERO)__"
harmless="$harmless|__(CLDEMOTE|MOVDIRI|MOVDIR64B|WBNOINVD|PTWRITE|MWAITX|LWP|WAITPKG|SERIALIZE|PCONFIG|KL|WIDEKL|TSXLDTRK)__"
harmless="$harmless|__(AMX_?.*|UINTR|RTM|HLE|HRESET|ENQCMD|SHSTK|CET|RAOINT|USER_MSR|PREFETCHI|MOVRS|MWAIT)__"
harmless="$harmless|__ARM_FEATURE_(SHA2|SM3|SM4|CRYPTO|RNG|TME|LS64|MEMORY_TAGGING|SVE_VECTOR_OPERATORS|BF16|LDREX)"
harmless="$harmless|__ARM_(ARCH_PROFILE|ARCH_8A|ARCH_8R|BF16_FORMAT_ALTERNATIVE|NEON_SVE_BRIDGE|STATE_.*)|__CODEGEN_.*|NAMESPACE"
harmless="$harmless|_?_?ILP32_?_?|_LP64|__LP64__"
# Those that change the ABI or the C library of the whole program: no unit could be linked with others; and one that
# prints.
abi='-m(32|x32|16|ilp32|abi=.*|long-double.*|96bit.*|128bit.*|big-endian|general-regs-only|soft-float|80387|hard-float|iamcu|android|bionic|musl|uclibc|glibc|ms-bitfields|dump-.*)'

printf '#include <sbora/core/abi.hpp>\nNAMESPACE SBORA_ABI\n' >"$work/tag.cpp"
: >"$work/base"
printf '%s\n' '' | cat - "$work/choices" | while read -r choice; do
    if printf '%s\n' "$choice" | grep -Eqx -e "$abi"; then continue; fi
    # shellcheck disable=SC2086
    "$@" -std=c++20 -I "$include" $choice -E -P "$work/tag.cpp" >"$work/out" 2>/dev/null || continue
    # shellcheck disable=SC2086
    "$@" -std=c++20 $choice -dM -E -x c++ /dev/null 2>/dev/null | sed 's/^#define //' |
        grep -Evx -e "($harmless)( .*)?" | sort >"$work/macros"
    key=$(cksum <"$work/macros" | tr ' ' '-')
    cp "$work/macros" "$work/macros-$key"
    printf '%s %s %s\n' "$(sed -n 's/^NAMESPACE //p' "$work/out")" "$key" "$choice"
done >"$work/table"

awk 'NF < 2 { bad = 1 } END { exit bad || NR < 30 }' "$work/table" ||
    { cat "$work/table"; echo "fewer than 30 choices that compile, or a name is missing"; exit 1; }
# The same name for different macros?
if ! awk '
    { if ($1 in key && key[$1] != $2) { print key[$1], $2, choice[$1] " | " $3 " " $4; bad = 1 }
      else if (!($1 in key)) { key[$1] = $2; choice[$1] = $3 " " $4 } }
    END { exit bad }' "$work/table" >"$work/clashes"
then
    while read -r one other choices; do
        echo "one name of the namespace for: $choices"
        diff "$work/macros-$one" "$work/macros-$other" | grep '^[<>]' | head -5
    done <"$work/clashes"
    exit 1
fi
awk '{ names[$1] = 1 } END { for (n in names) distinct++; print NR " choices, " distinct " names" }' "$work/table"
