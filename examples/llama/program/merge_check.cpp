#include "program/merge_check.hpp"

#include <cmath>
#include <cstring>

#include <sbora/adapters/adapter.hpp>
#include <sbora/merge/merger.hpp>
#include <sbora/io/checkpoint/checkpoint.hpp>

namespace llama {

namespace {

using const_map = Eigen::Map<const matrix>;

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

index_t count_different(const const_map& a, const matrix& b) {
  index_t different = 0;
  for (index_t i = 0; i < a.size(); ++i) different += same_bits(a.data()[i], b.data()[i]) ? 0 : 1;
  return different;
}

bool in_region(const adapter_slot& slot, index_t row, index_t col) {
  const index_t index = slot.method == adapter_method::sbora_fa ? col : row;
  for (const index_t chosen : slot.target->indices()) {
    if (chosen == index) return true;
  }
  return false;
}

void compare(const adapter_slot& slot, const const_map& base, const const_map& merged, merge_report& report) {
  for (index_t row = 0; row < base.rows(); ++row) {
    for (index_t col = 0; col < base.cols(); ++col) {
      if (same_bits(base(row, col), merged(row, col))) continue;
      ++report.changed;
      if (slot.target != nullptr && !in_region(slot, row, col)) ++report.outside;
    }
  }
}

template <class Adapter>
void merge_and_unmerge(const adapter_slot& slot, const adapter_plan& plan, std::span<float> trained, matrix& weight) {
  const Adapter adapter(slot.d_out, slot.d_in, *slot.target, {.alpha = plan.alpha, .rslora = plan.rslora}, trained,
                        std::span<float>());
  sbora::merger merger{sbora::weight_view{weight}};
  merger.merge(adapter);
  merger.unmerge(adapter);
}

void add_and_subtract(const adapter_slot& slot, const adapter_plan& plan, matrix& weight) {
  const auto rank = static_cast<double>(slot.rank);
  const auto scale = static_cast<float>(plan.alpha / (plan.rslora ? std::sqrt(rank) : rank));
  const const_map a(slot.a.data(), slot.rank, slot.d_in);
  const const_map b(slot.b.data(), slot.d_out, slot.rank);
  const matrix delta = scale * (b * a);
  weight += delta;
  weight -= delta;
}

}  // namespace

merge_report check_merge(const model& adapted, const std::filesystem::path& base, const std::filesystem::path& merged) {
  const auto before = sbora::checkpoint::open(base);
  const auto after = sbora::checkpoint::open(merged);
  merge_report report;
  for (const adapter_slot& slot : adapted.adapters()) {
    const const_map original = before.at(slot.module + ".weight").as_matrix<float>();
    compare(slot, original, after.at(slot.module + ".weight").as_matrix<float>(), report);
    matrix weight = original;
    switch (slot.method) {
      case adapter_method::sbora_fa:
        merge_and_unmerge<sbora::fa_adapter<float>>(slot, adapted.plan(), slot.b, weight);
        break;
      case adapter_method::sbora_fb:
        merge_and_unmerge<sbora::fb_adapter<float>>(slot, adapted.plan(), slot.a, weight);
        break;
      default: add_and_subtract(slot, adapted.plan(), weight);
    }
    report.unmerge_differences += count_different(original, weight);
  }
  return report;
}

}  // namespace llama
