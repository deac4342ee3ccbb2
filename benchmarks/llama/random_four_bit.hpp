#pragma once

/// A model of random weights, made in the form in which it is kept: linear layers in NF4 with double quantisation,
/// embedding and head in bfloat16. No float of it is ever in memory.

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sbora/core/random.hpp>
#include <sbora/weights/dynamic_map.hpp>

#include "model/model_tensors.hpp"
#include "weights/weight.hpp"

namespace bench {

class random_four_bit final : public llama::tensor_source {
 public:
  /// Cost        0.52 bytes for each weight of a linear layer, two for each of embedding and head.
  random_four_bit(const llama::model_config& config, std::uint64_t seed) {
    for (const llama::tensor_shape& each : tensors_of(config)) {
      sbora::random_stream random(seed, views_.size());
      const bool is_table = each.name.starts_with("lm_head") || each.name.starts_with("model.embed");
      if (each.shape.size() == 1) {
        keep(each, sbora::dtype::f32, each.shape, ones(each.elements()));
      } else if (is_table) {
        keep(each, sbora::dtype::bf16, each.shape, small_bf16(each.elements(), random));
      } else {
        add_codes(each, random);
      }
    }
  }

  const sbora::tensor_view* find(const std::string& name) const override {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &views_[found->second];
  }
  std::optional<sbora::model_module> find_module(std::string_view module) const override {
    const auto found = modules_.find(module);
    return found == modules_.end() ? std::nullopt : std::optional(found->second);
  }
  sbora::any_weight weight(std::string_view module) const override {
    if (const auto found = codes_.find(module); found != codes_.end()) return found->second;
    const sbora::tensor_view& table = *find(std::string(module) + ".weight");
    return sbora::weight_view(table.as_matrix<Eigen::bfloat16>());
  }

 private:
  using memory = std::vector<std::byte>;

  static memory bytes(sbora::index_t count, sbora::random_stream& random) {
    memory result(static_cast<std::size_t>(count));
    for (std::size_t at = 0; at < result.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random.next();
      std::memcpy(&result[at], &word, std::min(sizeof word, result.size() - at));
    }
    return result;
  }
  static memory ones(sbora::index_t count) {
    memory result(static_cast<std::size_t>(count) * sizeof(float));
    const float one = 1;
    for (std::size_t at = 0; at < result.size(); at += sizeof one) std::memcpy(&result[at], &one, sizeof one);
    return result;
  }
  /// Of either sign, from 2^-6 to 2^-5.
  static memory small_bf16(sbora::index_t count, sbora::random_stream& random) {
    memory result = bytes(2 * count, random);
    for (std::size_t at = 1; at < result.size(); at += 2) result[at] = (result[at] & std::byte{0x80}) | std::byte{0x3C};
    for (std::size_t at = 0; at < result.size(); at += 2) result[at] &= std::byte{0x7F};
    return result;
  }

  void keep(const llama::tensor_shape& of, sbora::dtype type, const std::vector<sbora::index_t>& shape, memory data) {
    memory_.push_back(std::move(data));
    index_[of.name] = views_.size();
    views_.push_back({of.name, type, shape, memory_.back()});
    if (of.shape.size() == 2) {
      const std::string module(llama::module_of(of.name));
      modules_.insert({module, {module, of.shape[0], of.shape[1]}});
    }
  }

  /// Of a deviation of some 0.02, as trained ones.
  void add_codes(const llama::tensor_shape& of, sbora::random_stream& random) {
    constexpr sbora::index_t blocksize = 64, nested_blocksize = 256;
    const sbora::index_t blocks = of.elements() / blocksize;
    keep(of, sbora::dtype::u8, {of.elements() / 2, 1}, bytes(of.elements() / 2, random));
    const memory& codes = memory_.back();
    memory_.push_back(bytes(blocks, random));
    const memory& scale_codes = memory_.back();
    const std::vector<float>& nested =
        nested_.emplace_back(static_cast<std::size_t>((blocks + nested_blocksize - 1) / nested_blocksize), 0.01F);
    const auto numbers = [](const memory& data) {
      return std::span(reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
    };
    sbora::four_bit_scales scales;
    scales.blocksize = blocksize;
    scales.absmax_codes = numbers(scale_codes);
    scales.nested_absmax = nested;
    scales.nested_table = sbora::detail::signed_dynamic_map;
    scales.nested_offset = 0.035F;
    const sbora::four_bit_view view(sbora::four_bit_type::nf4, numbers(codes), of.shape[0], of.shape[1], scales);
    codes_.insert({std::string(llama::module_of(of.name)), view});
  }

  std::deque<memory> memory_;
  std::deque<std::vector<float>> nested_;
  std::vector<sbora::tensor_view> views_;
  std::map<std::string, std::size_t> index_;
  std::map<std::string, sbora::model_module, std::less<>> modules_;
  std::map<std::string, sbora::any_weight, std::less<>> codes_;
};

}  // namespace bench
