#pragma once

#include <algorithm>
#include <type_traits>

#include <sbora/kernels/dispatch.hpp>
#include <sbora/weights/frozen_weight.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// What one task of an export does: rows, in pieces.
inline constexpr index_t export_rows = 16;
inline constexpr index_t export_piece = 1024;

template <class Weight>
inline constexpr bool is_read_by_rows = std::is_same_v<typename Weight::compute_scalar, float>;

/// The elements of a weight of any kind as floats, whatever its storage.
template <frozen_weight Weight>
class row_reader {
  static_assert(
      is_read_by_rows<Weight>,
      "sbora: a weight is read row by row as floats (dequantize, export_merged, base_fingerprint, quantising): it "
      "has to be of float, bfloat16, half, 4-bit codes or int8, not of double");
  using storage_scalar = typename Weight::storage_scalar;

 public:
  explicit row_reader(const Weight& weight) : weight_(weight), decode_(get_kernels<decode_kernels<storage_scalar>>()) {}

  /// out[k] = element (row, begin + k), up to end.
  void read(index_t row, index_t begin, index_t end, float* out) const {
    if (weight_.order() == storage::out_by_in) {
      decode_.decode({weight_.source(), row, begin, end, out});
      return;
    }
    for (index_t k = begin; k < end; ++k) decode_.decode({weight_.source(), k, row, row + 1, out + (k - begin)});
  }

  /// out[k] = element begin + k of the matrix flattened by rows.
  void read_flat(index_t begin, index_t count, float* out) const {
    const index_t d_in = weight_.d_in();
    while (count > 0) {
      const index_t row = begin / d_in, at = begin % d_in;
      const index_t here = std::min(count, d_in - at);
      read(row, at, at + here, out);
      begin += here;
      out += here;
      count -= here;
    }
  }

 private:
  const Weight& weight_;
  const decode_kernels<storage_scalar>& decode_;
};

/// Elements [begin, end) of a row of a dense float, bfloat16 or half weight become `values`, rounded to nearest
/// even.
template <class Scalar>
void write_row(const weight_view<Scalar>& out, index_t row, index_t begin, index_t end, const float* values) {
  using storage_scalar = typename weight_view<Scalar>::storage_scalar;
  const conversion_kernels<float>& kernels = get_kernels<conversion_kernels<float>>();
  const auto put = [&](storage_scalar* to, const float* from, index_t count) {
    if constexpr (std::is_same_v<storage_scalar, bf16>) kernels.narrow_bf16(from, to, count);
    else if constexpr (std::is_same_v<storage_scalar, f16>) kernels.narrow_f16(from, to, count);
    else std::copy_n(from, count, to);
  };
  if (out.order() == storage::out_by_in) {
    put(out.storage_data() + row * out.stride() + begin, values, end - begin);
  } else {
    for (index_t k = begin; k < end; ++k) put(out.storage_data() + k * out.stride() + row, values + (k - begin), 1);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
