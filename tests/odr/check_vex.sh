#!/bin/sh
# check_vex.sh [--expect-violations | --expect-none] OBJECT
# In an object compiled for plain x86-64, AVX instructions may be in the functions of the kernel
# namespaces avx2::, avx512::, avx512_bf16::, avx512_amx:: only, because those alone are called behind a CPU check. With
# --expect-none, not there either.
set -eu
expect=gated
case $1 in
--expect-violations | --expect-none)
    expect=${1#--expect-}
    shift
    ;;
esac

objdump -d -C --no-show-raw-insn "$1" | awk -v expect="$expect" '
    # "0000000000000000 <void sbora::avx2::scale<float>(float*, long)>:"
    /^[0-9a-f]+ <.*>:$/ {
        symbol = $0
        sub(/^[0-9a-f]+ </, "", symbol)
        sub(/>:$/, "", symbol)
        # The name alone: template arguments and parameters may mention a kernel without being one.
        name = symbol
        gsub(/\(anonymous namespace\)/, "anonymous", name)
        while (gsub(/<[^<>]*>/, "", name)) {}
        sub(/\(.*/, "", name)
        sub(/.* /, "", name)
        gated = name ~ /(^|::)(avx2|avx512|avx512_bf16|avx512_amx)::/
        functions++
        next
    }
    # "   0:  vmovups (%rdi),%ymm0"
    $2 ~ /^v/ && /%[xyz]mm[0-9]/ {
        if (gated) { inside++; next }
        if (!(symbol in outside)) order[++n] = symbol
        outside[symbol]++
        example[symbol] = $0
    }
    END {
        printf "%d functions, %d AVX instructions in kernel namespaces, %d functions with some outside\n",
            functions, inside, n
        for (i = 1; i <= n && i <= 20 && expect != "violations"; i++) {
            print "  " order[i] ": " outside[order[i]] ", such as" example[order[i]]
        }
        if (expect == "violations") exit n == 0
        if (expect == "none") exit n > 0 || inside > 0 || functions == 0
        # Without any inside there was nothing to tell apart: no kernels, or names that changed.
        exit n > 0 || inside == 0
    }'
