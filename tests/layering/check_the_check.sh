#!/bin/sh
# Each tree below breaks one rule; $check must object with the words expected.
set -eu
here=$(dirname "$0")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0 check=check.sh

# breaks WORDS FILE LINE: a tree that has LINE in FILE.
breaks() {
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree/$(dirname "$2")" "$scratch/tree/common" "$scratch/tree/llama"
    printf '%s\n' "$3" >"$scratch/tree/$2"
    if found=$(sh "$here/$check" "$scratch/tree") || ! printf '%s\n' "$found" | grep -Fq "$1"; then
        echo "not found: '$3' in $2"
        status=1
    fi
}

breaks 'must not include merge/' layers/a.hpp '#include <sbora/merge/merger.hpp>'
breaks 'must not include kernels/' simd/a.hpp '  #  include <sbora/kernels/k.hpp>'
breaks 'must not include simd/' executors/a.hpp '#include <sbora/simd/isa.hpp>'
breaks 'must not include io/' adapters/a.hpp '#include <sbora/io/file.hpp>'
breaks 'must not include io/' model/a.hpp '#include <sbora/io/tensor.hpp>'
breaks 'must not include io/safetensors/' io/a.hpp '#include <sbora/io/safetensors/file.hpp>'
breaks 'must not include io/merge/' io/adapter/a.hpp '#include <sbora/io/merge/file.hpp>'
breaks 'io/nowhere/ has no place in the layers' io/nowhere/a.hpp ''
breaks 'must not include plugs/' io/a.hpp '#include <sbora/plugs/plugged_layer.hpp>'
breaks 'must not include plugs/' model/a.hpp '#include <sbora/plugs/c.h>'
breaks 'names an instruction-set level' products/a.hpp '  if (level == isa::avx2) return;'
breaks 'names an instruction-set level' layers/a.hpp 'const auto& table = detail::avx512_bf16::entries;'
breaks 'names an instruction-set level' weights/a.hpp '#if defined(SBORA_HAS_AVX2)'
breaks 'Eigen is known by name alone' kernels/body/a.inl '#include <Eigen/Core>'
breaks 'Eigen is known by name alone' core/a.hpp '#include <Eigen/Core>'
breaks 'not part of sbora.hpp' sbora.hpp '#include <sbora/io/file.hpp>'
breaks 'a header must not include the definitions' io/a.hpp '#include <sbora/io/tensor_index.inl>'
breaks 'umbrella' layers/a.hpp '#include <sbora/sbora.hpp>'
breaks 'a crossover between products' layers/a.hpp 'if (tokens <= stream_dot_rows) return;'
breaks 'asks whether an adapter is FA' io/adapter/a.hpp 'const bool fa = kind == adapter_kind::fa;'
breaks 'asks whether an adapter is FA' model/a.hpp 'if (sbora::adapter_kind::fb != *config.kind) return;'
breaks 'asks whether an adapter is FA' merge/a.hpp 'case adapter_kind::fa: return rows;'
breaks 'asks whether an adapter is FA' adapters/a.hpp 'using enum adapter_kind; return kind == fa;'
breaks 'no place in the layers' extras/a.hpp ''
breaks 'not "kernels.hpp"' kernels/a.hpp '#include "kernels.hpp"'
breaks 'longer than 400 lines' core/a.hpp "$(yes '//' | head -401)"

check=check_llama.sh
breaks 'model/ must not include data/' llama/model/a.hpp '#include "data/dataset.hpp"'
breaks 'common/ must not include text/' common/a.hpp '#include "text/tokenizer.hpp"'
breaks 'include "ROOM/..."' llama/data/a.cpp '#include "dataset.hpp"'
breaks 'no place in the layers' llama/extras/a.hpp ''

check=check_lifetimes.sh
accessors() { printf 'class set {\n public:\n  %s\n};' "$1"; }
breaks 'set::all' model/a.hpp "$(accessors 'std::span<const T> all() const noexcept { return all_; }')"
breaks 'set::at' model/a.hpp "$(accessors 'const T& at(int i) const& { return all_[i]; }')"
breaks 'set::find' model/a.hpp "$(accessors 'SBORA_IN_IO_INSTANCES T* find(std::string_view name);')"

exit $status
