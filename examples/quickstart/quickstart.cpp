// An SBoRA-FA adapter over a matrix of one's own: trained, merged, undone to the last bit.

#include <cstdio>
#include <cstring>

#include <Eigen/Core>
#include <sbora/sbora.hpp>

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
  const sbora::index_t tokens = 64, d_in = 48, d_out = 32, rank = 8;
  matrix w = matrix::Random(d_out, d_in);  // the frozen weight: 32 outputs, 48 inputs
  const matrix original = w;
  sbora::linear layer{sbora::weight_view{w}};

  // Only 8 of the 48 columns of W are adapted; trained are 32 x 8 numbers, zero at first.
  sbora::fa_adapter<float> adapter(d_out, d_in, sbora::sample_region(d_in, rank, /*seed=*/1));

  // The task: the same layer with those columns changed.
  const matrix x = matrix::Random(tokens, d_in);
  matrix wanted = w;
  for (const auto column : adapter.target().indices()) wanted.col(column).setOnes();
  const matrix target = x * wanted.transpose();

  sbora::adamw<float> optimiser(adapter.parameter_count(), {.learning_rate = 3e-2});
  sbora::fa_saved<float> saved;
  sbora::workspace workspace;
  matrix y(tokens, d_out);
  for (int step = 0; step <= 200; ++step) {
    layer.forward(x, y, adapter, saved, workspace);
    const matrix dy = (y - target) / tokens;
    if (step % 50 == 0) std::printf("step %3d  loss %.6f\n", step, (y - target).squaredNorm());
    adapter.zero_gradient();
    layer.backward(dy, sbora::no_dx, adapter, saved, workspace);
    optimiser.step(adapter.parameters(), adapter.gradient());
  }

  layer.forward(x, y, adapter, workspace);
  sbora::merger merger{sbora::weight_view{w}};
  merger.merge(adapter);
  std::printf("merged: plain x * W^T is off by %.1e\n", (x * w.transpose() - y).cwiseAbs().maxCoeff());
  merger.unmerge(adapter);
  const bool same = std::memcmp(w.data(), original.data(), sizeof(float) * d_out * d_in) == 0;
  std::printf("undone: W is %s\n", same ? "bit for bit what it was" : "CHANGED");
  return same ? 0 : 1;
}
