// Compiled once per set of flags, see CMakeLists.txt. UNIT names the namespace of this unit.
#include <cstdint>
#include <span>
#include <vector>

#include <Eigen/Core>

#include "headers.hpp"
#include "unit.hpp"

// Internal linkage: code of this file must not be what the linker merges.
namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// -3 ... 3: sums of products stay exact in float.
void fill(std::span<float> values, std::uint32_t seed) {
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<int>(seed >> 16) % 7 - 3);
  }
}

matrix filled(Eigen::Index rows, Eigen::Index cols, std::uint32_t seed) {
  matrix result(rows, cols);
  fill({result.data(), static_cast<std::size_t>(result.size())}, seed);
  return result;
}

void append(std::vector<double>& to, std::span<const float> values) {
  to.insert(to.end(), values.begin(), values.end());
}

void append(std::vector<double>& to, const matrix& values) {
  append(to, std::span(values.data(), static_cast<std::size_t>(values.size())));
}

/// Forward, backward, optimiser step, merge: what a training loop instantiates.
template <class Adapter, class Saved>
void train(Adapter& adapter, unit_report& report) {
  const Eigen::Index d_out = adapter.d_out();
  const Eigen::Index d_in = adapter.d_in();
  matrix weight = filled(d_out, d_in, 1);
  const matrix x = filled(9, d_in, 2);
  const matrix dy = filled(9, d_out, 3);
  matrix y(9, d_out);
  matrix dx(9, d_in);
  fill(adapter.parameters(), 4);

  sbora::linear layer{sbora::weight_view{weight}};
  sbora::workspace memory;
  Saved saved;
  layer.forward(x, y, adapter, saved, memory);
  layer.backward(dy, dx, adapter, saved, memory);
  append(report.exact, y);
  append(report.exact, dx);
  append(report.exact, adapter.gradient());

  sbora::merger merger{sbora::weight_view{weight}};
  merger.merge(adapter);
  append(report.exact, weight);
  merger.unmerge(adapter);
  append(report.exact, weight);

  sbora::adamw<float> optimiser(adapter.parameter_count());
  optimiser.step(adapter.parameters(), adapter.gradient());
  append(report.rounded, adapter.parameters());
}

bool asserts() {
  try {
    SBORA_ASSERT(1 + 1 == 3, "a false condition");
    return false;
  } catch (const sbora::assertion_error&) {
    return true;
  }
}

}  // namespace

unit_report UNIT::report() {
  unit_report report;
  // scale() = alpha / rank = 1.
  sbora::fa_adapter<float> columns(37, 29, sbora::sample_region(29, 4, 1), {.alpha = 4});
  sbora::fb_adapter<float> rows(37, 29, sbora::sample_region(37, 4, 1), {.alpha = 4});
  train<sbora::fa_adapter<float>, sbora::fa_saved<float>>(columns, report);
  train<sbora::fb_adapter<float>, sbora::fb_saved<float>>(rows, report);
  report.asserts = asserts();
  report.isa = sbora::to_string(sbora::active_isa());
  return report;
}
