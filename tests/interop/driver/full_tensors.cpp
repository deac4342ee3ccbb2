// Gradients of what is trained whole: a bias's and a weight's.

#include <Eigen/Core>
#include <sbora/layers/full_tensor_gradient.hpp>

#include "commands.hpp"
#include "files.hpp"

namespace interop {
namespace {

using sbora::index_t;
using std::filesystem::path;

template <class Scalar>
void write_gradients(index_t tokens, const path& dy_file, const path& x_file, const path& folder) {
  const auto dy = read_values<Scalar>(dy_file), x = read_values<Scalar>(x_file);
  const index_t d_out = std::ssize(dy) / tokens, d_in = std::ssize(x) / tokens;
  const sbora::activation_view out(dy.data(), tokens, d_out), in(x.data(), tokens, d_in);
  const auto zeros = [](index_t count) { return std::vector<float>(static_cast<std::size_t>(count)); };
  sbora::full_tensor<float> bias("m.bias", {d_out}, zeros(d_out));
  sbora::full_tensor<float> weight("m.weight", {d_out, d_in}, zeros(d_out * d_in));
  sbora::workspace memory;
  sbora::add_bias_gradient(bias, out);
  sbora::add_weight_gradient(weight, out, in, memory);
  write_values<float>(folder / "bias_gradient", bias.gradient());
  write_values<float>(folder / "weight_gradient", weight.gradient());
}

/// SCALAR TOKENS DY X FOLDER: writes bias_gradient and weight_gradient there, in f32.
void full_tensor_gradients(arguments words) {
  const index_t tokens = std::stol(words[1]);
  if (words[0] == "bf16") write_gradients<Eigen::bfloat16>(tokens, words[2], words[3], words[4]);
  else write_gradients<float>(tokens, words[2], words[3], words[4]);
}

}  // namespace

void add_full_tensor_commands(command_table& table) { table["full-tensor-gradients"] = full_tensor_gradients; }

}  // namespace interop
