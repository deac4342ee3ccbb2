#pragma once

#include <sbora/merge/export_merged.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/io/merge/merge_in_place.hpp>
#include <sbora/regions/sample.hpp>

#include "io/safetensors_text.hpp"
#include "support/matrices.hpp"

namespace sbora_tests {

template <sbora::adapter_kind Kind>
sbora::basic_adapter<Kind, float> random_adapter(index_t d_out, index_t d_in, index_t rank, std::uint64_t seed) {
  const index_t dim = Kind == sbora::adapter_kind::fa ? d_in : d_out;
  sbora::basic_adapter<Kind, float> adapter(d_out, d_in, sbora::sample_region(dim, rank, seed), {.alpha = 3});
  fill_random(adapter.parameters(), seed + 1);
  return adapter;
}

inline sbora::fa_adapter<float> random_fa(index_t d_out, index_t d_in, index_t rank, std::uint64_t seed) {
  return random_adapter<sbora::adapter_kind::fa>(d_out, d_in, rank, seed);
}
inline sbora::fb_adapter<float> random_fb(index_t d_out, index_t d_in, index_t rank, std::uint64_t seed) {
  return random_adapter<sbora::adapter_kind::fb>(d_out, d_in, rank, seed);
}

inline std::vector<std::byte> bytes_of_tensor(const sbora::tensor_view& tensor) {
  return {tensor.data.begin(), tensor.data.end()};
}

/// What a merger makes of a tensor of `Scalar`.
template <class Scalar, class Adapter>
std::vector<std::byte> merged_in_memory(std::vector<Scalar> values, const Adapter& adapter,
                                        sbora::storage order = sbora::storage::out_by_in) {
  sbora::merger merger(sbora::weight_view<Scalar>(values.data(), adapter.d_out(), adapter.d_in(), 0, order));
  merger.merge(adapter);
  const auto bytes = std::as_bytes(std::span<const Scalar>(values));
  return {bytes.begin(), bytes.end()};
}

/// Two shards and their index: u8 and f32 beside weights of every type, of which two lie at odd bytes.
struct small_model {
  std::vector<std::uint8_t> odd = random_bytes(7);
  std::vector<float> w32 = random_vector<float>(48 * 40, 1);
  std::vector<Eigen::bfloat16> w16 = random_vector<Eigen::bfloat16>(48 * 40, 2);
  std::vector<Eigen::half> wh = random_vector<Eigen::half>(40 * 48, 3);

  static std::vector<std::uint8_t> random_bytes(std::size_t count) {
    sbora::random_stream random(9);
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
    return bytes;
  }

  std::vector<sbora::tensor_view> tensors() const {
    return {tensor_of("odd", odd, {7}), tensor_of("a.weight", w32, {48, 40}), tensor_of("b.weight", w16, {48, 40}),
            tensor_of("c.weight", wh, {40, 48}), tensor_of("norm", w32, {48 * 40})};
  }

  void write_single(const std::filesystem::path& path) const { write_safetensors(path, tensors(), {{"format", "pt"}}); }

  void write_shards(const std::filesystem::path& directory) const {
    const std::vector<sbora::tensor_view> all = tensors();
    write_safetensors(directory / "model-1.safetensors", std::span(all).first(2), {{"format", "pt"}});
    write_safetensors(directory / "model-2.safetensors", std::span(all).subspan(2), {{"format", "pt"}});
    write_file(
        directory / "model.safetensors.index.json",
        R"({"metadata": {}, "weight_map": {"odd": "model-1.safetensors", "a.weight": "model-1.safetensors",)"
        R"( "b.weight": "model-2.safetensors", "c.weight": "model-2.safetensors", "norm": "model-2.safetensors"}})");
  }
};

}  // namespace sbora_tests
