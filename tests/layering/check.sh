#!/bin/sh
# check.sh INCLUDE_SBORA: the folders of the library are layers, and includes point downward only; instruction-set
# levels are named in simd/ and kernels/ alone.
# Prints every violation; exit 1 if there is one.
set -eu
cd "$1"

find . -name '*.hpp' -o -name '*.h' -o -name '*.inl' | LC_ALL=C sort | xargs awk '
    # Each folder, and what it may include besides itself.
    BEGIN {
        below["core"]       = ""
        below["simd"]       = "core"
        below["kernels"]    = "core simd"
        below["regions"]    = "core simd kernels"
        below["weights"]    = "core simd kernels"
        below["products"]   = "core simd kernels regions weights"
        below["adapters"]   = "core simd kernels regions weights products"
        below["layers"]     = "core simd kernels regions weights products adapters"
        below["selection"]  = "core simd kernels regions weights products adapters layers"
        below["optimisers"] = "core simd kernels regions weights products adapters layers"
        below["merge"]      = "core simd kernels regions weights products adapters layers optimisers"
        below["model"]      = "core simd kernels regions weights products adapters"
        below["io"]         = "core simd kernels regions weights products adapters layers optimisers merge model"
        below["io/safetensors"]  = below["io"] " io"
        below["io/bitsandbytes"] = below["io"] " io"
        below["io/gguf"]         = below["io"] " io"
        below["io/checkpoint"]   = below["io"] " io io/safetensors io/bitsandbytes"
        below["io/adapter"]      = below["io"] " io io/safetensors io/gguf"
        below["io/merge"]        = below["io"] " io io/safetensors io/bitsandbytes io/checkpoint io/gguf"
        below["io/ledger"]       = below["io/merge"] " io/adapter io/merge"
        below["io/optimiser"]    = below["io"] " io io/safetensors"
        below["executors"]  = "core"
        below["plugs"]      = below["merge"] " merge model io executors"
    }

    # The folder that a file is in, as the table has it: io is divided further.
    function folder_of(path) {
        if (path ~ /^io\/.*\//) sub(/^io\//, "io:", path)
        if (!sub(/\/.*/, "", path)) path = ""
        sub(/:/, "/", path)
        return path
    }

    function violation(what) {
        sub(/^\.\//, "", file)
        print file ":" FNR ": " what
        failed = 1
    }

    FNR == 1 {
        file = FILENAME
        sub(/^\.\//, "", file)
        folder = folder_of(file)
        if (folder != "" && !(folder in below)) violation("folder " folder "/ has no place in the layers")
        headers++
    }

    # By the list of them in simd/isa.hpp, or as a member of the enumeration. Comments may.
    BEGIN {
        levels = "avx2 avx512 avx512_bf16 avx512_amx neon"
        while ((getline line < "simd/isa.hpp") > 0) {
            if (sub(/^#define SBORA_ISA_LEVELS\(LEVEL\)/, "", line)) {
                gsub(/LEVEL\(scalar\)|LEVEL\(|\)/, " ", line)
                levels = line
            }
        }
        gsub(/^ +| +$/, "", levels)
        gsub(/ +/, "|", levels)
        level_name = "(^|[^A-Za-z0-9_])(" levels "|isa::[a-z0-9_]+)($|[^A-Za-z0-9_])"
    }
    folder !~ /^(simd|kernels)$/ {
        code = $0
        sub(/\/\/.*/, "", code)
        if (code ~ level_name || code ~ /SBORA_(HAS_)?(AVX|NEON)/)
            violation("names an instruction-set level, which is for simd/ and kernels/")
    }

    FNR == 401 { violation("longer than 400 lines") }

    /^[ \t]*#[ \t]*include/ {
        if (match($0, /[<"][^>"]*[>"]/) == 0) next      # include of a macro
        target = substr($0, RSTART + 1, RLENGTH - 2)
        if (substr($0, RSTART, 1) == "\"") violation("include <sbora/...>, not \"" target "\"")

        if (target ~ /^(unsupported\/)?Eigen\// && folder != "io")
            violation("Eigen is known by name alone (core/eigen_names.hpp): who uses its types includes it")

        if (target !~ /^sbora\//) next
        sub(/^sbora\//, "", target)
        if (target == "sbora.hpp") violation("nothing includes the umbrella header")
        if (file == "sbora.hpp" && target ~ /^(io|executors)\//)
            violation(target " is an include of its own, not part of sbora.hpp")
        if (folder == "" || target == "version.hpp") next
        # What is compiled once: instances.hpp has the definitions of all of its folder, other headers have none.
        if (file ~ /\/instances\.hpp$/ && target ~ /\.inl$/) next
        if (file ~ /^(io|model)\/.*\.hpp$/ && file !~ /\/instances\.hpp$/ && target ~ /\.inl$/)
            violation("a header must not include the definitions in " target)
        room = folder_of(target)
        if (room != folder && index(" " below[folder] " ", " " room " ") == 0)
            violation(folder "/ must not include " target)
    }

    # What depends on an adapter being FA or FB.
    {
        code = $0
        sub(/\/\/.*/, "", code)
        fa_or_fb = "([a-z]+::)*adapter_kind::f[ab]"
        if (file != "adapters/region_geometry.hpp" &&
            code ~ "(==|!=) *" fa_or_fb "|" fa_or_fb " *(==|!=)|case +" fa_or_fb "|kind *(==|!=) *f[ab]($|[^a-z0-9_])")
            violation("asks whether an adapter is FA, which adapters/region_geometry.hpp answers")
    }

    # How a product is computed is decided in one place; kernels may know the sizes that they are made for.
    /stream_(dot|axpy|codes)_(rows|columns)|few_(tokens|columns)/ &&
        file != "products/product_plan.hpp" && folder != "kernels" {
        violation("a crossover between products is named outside products/product_plan.hpp")
    }

    END {
        if (!headers) { print "no headers found"; failed = 1 }
        exit failed
    }'
