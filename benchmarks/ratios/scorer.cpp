/// scorer_overhead    forward + dX of a block's seven layers with a gradient_scorer on each, of FA and of FB in turn,
///                    over the same without, minus 1
/// One thread, f32, the layers of SmolLM2-135M (576 wide, 1536 in between), 512 tokens.

#include <memory>
#include <vector>

#include <sbora/selection/scorers.hpp>

#include "../support/linear_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

struct scored_layer {
  linear_workload work;
  sbora::linear<sbora::weight_view<float>> layer;
  sbora::gradient_scorer columns, rows;

  scored_layer(index_t d_out, index_t d_in)
      : work({d_out, d_in, 512}),
        layer(work.view()),
        columns(sbora::adapter_kind::fa, d_out, d_in),
        rows(sbora::adapter_kind::fb, d_out, d_in) {}

  void pass(sbora::workspace& memory) {
    layer.forward(work.x(), work.y(), memory);
    layer.backward(work.dy(), work.dx(), memory);
  }

  /// The traces of the two are the same number.
  void verify(sbora::workspace& memory) {
    columns.add(work.x(), work.dy(), memory);
    rows.add(work.x(), work.dy(), memory);
    double of_columns = 0, of_rows = 0;
    for (const double sum : columns.sums()) of_columns += sum;
    for (const double sum : rows.sums()) of_rows += sum;
    if (std::abs(of_columns - of_rows) < 1e-9 * of_columns) return;
    throw std::runtime_error("the scorers' sums are wrong: " + std::to_string(of_columns) + " of columns, " +
                             std::to_string(of_rows) + " of rows");
  }
};

}  // namespace

double scorer_overhead() {
  std::vector<std::unique_ptr<scored_layer>> block;
  const auto add = [&](index_t d_out, index_t d_in) { block.push_back(std::make_unique<scored_layer>(d_out, d_in)); };
  for (const index_t d_out : {576, 192, 192, 576, 1536, 1536}) add(d_out, 576);
  add(576, 1536);
  sbora::workspace memory;
  const auto with = [&] {
    for (std::size_t i = 0; i < block.size(); ++i) {
      block[i]->pass(memory);
      (i % 2 == 0 ? block[i]->columns : block[i]->rows).add(block[i]->work.x(), block[i]->work.dy(), memory);
    }
  };
  const auto without = [&] {
    for (const auto& of : block) of->pass(memory);
  };
  for (const auto& of : block) of->verify(memory);
  const alternation measured =
      alternate([&] { return arm(1, arm_seconds, with); }, [&] { return arm(1, arm_seconds, without); });
  note(measured, "with scorers", "without", 1e3, "ms");
  return measured.ratio() - 1;
}

}  // namespace bench
