// What every computation gives, to the last bit, as hashes in golden_bits.txt: a change of results is then always a
// decision. A line is a case and its hash at each level of `recorded_levels`. SBORA_PRINT_GOLDEN=FILE writes
// that file anew, on a machine that has every level. The bits are those of every compiler and optimisation level, but
// for the scalar level of builds whose baseline has FMA.

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include <sbora/merge/merger.hpp>
#include <sbora/optimisers/adamw.hpp>
#include <sbora/optimisers/adamw_8bit.hpp>
#include <sbora/optimisers/sgd.hpp>
#include <sbora/weights/quantize.hpp>

#include "support/catch.hpp"
#include "support/layer_problem.hpp"
#include "support/levels.hpp"
#include "support/merge_problem.hpp"

using namespace sbora_tests;
using Eigen::bfloat16;
using sbora::adapter_kind;
using sbora::storage;

namespace {

constexpr std::array recorded_levels = {sbora::isa::scalar, sbora::isa::avx2, sbora::isa::avx512,
                                        sbora::isa::avx512_bf16, sbora::isa::avx512_amx};

/// FNV-1a over the bytes of all that is put in.
class bit_hash {
 public:
  template <class T>
  void put(std::span<const T> values) {
    for (const std::byte byte : std::as_bytes(values))
      state_ = (state_ ^ static_cast<std::uint64_t>(byte)) * 1099511628211U;
  }
  /// The elements alone, not what lies between rows.
  template <class T>
  void put(const padded_matrix<T>& m) {
    for (index_t row = 0; row < m.rows(); ++row) {
      put(std::span<const T>(&m(row, 0), static_cast<std::size_t>(m.cols())));
    }
  }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 14695981039346656037U;
};

/// The hashes of all cases at the level in use, by name.
using hashes = std::map<std::string, std::uint64_t>;

template <class T>
constexpr const char* name_of() {
  if constexpr (std::is_same_v<T, float>) return "f32";
  else if constexpr (std::is_same_v<T, double>) return "f64";
  else if constexpr (std::is_same_v<T, bfloat16>) return "bf16";
  else return "f16";
}

constexpr const char* name_of(adapter_kind kind) { return kind == adapter_kind::fa ? "fa" : "fb"; }
constexpr const char* name_of(storage order) { return order == storage::out_by_in ? "out_by_in" : "in_by_out"; }

/// Eval and training forward, dX, gradient.
template <adapter_kind Kind, class Activation, class Weight, class T>
void add_step(hashes& into, const std::string& weight_name, const Weight& weight, const layer_case& size,
              std::span<const sbora::weight_delta<T>> others, sbora::delta_path path) {
  layer_problem<Kind, T> p(size);
  padded_matrix<Activation> x(size.tokens, size.d_in, 1), dy(size.tokens, size.d_out, 2);
  x.randomise(11);
  dy.randomise(12);
  padded_matrix<Activation> eval_y(size.tokens, size.d_out, 3), eval_dx(size.tokens, size.d_in), y(eval_y), dx(eval_dx);
  sbora::linear layer(weight, std::span<const T>(p.bias));
  layer.set_delta_path(path);
  std::vector<sbora::weight_delta<T>> deltas(others.begin(), others.end());
  deltas.push_back(p.adapter.delta());
  std::conditional_t<Kind == adapter_kind::fa, sbora::fa_saved<T>, sbora::fb_saved<T, Activation>> saved;
  sbora::workspace memory;
  layer.forward(activation(std::as_const(x)), activation(eval_y), deltas, memory);
  layer.backward(activation(std::as_const(dy)), activation(eval_dx), deltas, memory);
  layer.forward(activation(std::as_const(x)), activation(y), p.adapter, saved, memory);
  layer.backward(activation(std::as_const(dy)), activation(dx), p.adapter, saved, memory);
  bit_hash hash;
  for (const auto* m : {&eval_y, &eval_dx, &y, &dx}) hash.put(*m);
  hash.put(std::span<const T>(p.adapter.gradient()));
  std::ostringstream name;
  name << "step " << weight_name << '/' << name_of<Activation>() << ' ' << name_of(Kind) << ' ' << size.d_out << 'x'
       << size.d_in << " tokens=" << size.tokens << " adapters=" << deltas.size()
       << (size.dropout > 0 ? " dropout" : "")
       << (path == sbora::delta_path::automatic  ? ""
           : path == sbora::delta_path::separate ? " separate"
                                                 : " rounded");
  into[name.str()] = hash.value();
}

/// One weight: every count of tokens with one adapter of each kind, some with three, on each path, with dropout.
template <class Activation, class Weight, class T>
void add_weight(hashes& into, const std::string& name, const Weight& weight, index_t d_out, index_t d_in,
                std::initializer_list<index_t> tokens) {
  const auto add = [&]<adapter_kind Kind>(std::integral_constant<adapter_kind, Kind>) {
    layer_case size = {.d_out = d_out, .d_in = d_in, .rank = 7, .bias = true};
    for (const index_t n : tokens) {
      size.tokens = n;
      add_step<Kind, Activation, Weight, T>(into, name, weight, size, {}, sbora::delta_path::automatic);
    }
    size.tokens = 21;
    const layer_problem<adapter_kind::fa, T> columns(size, 50);
    const layer_problem<adapter_kind::fb, T> rows(size, 60);
    const std::array others = {columns.adapter.delta(), rows.adapter.delta()};
    for (const auto path :
         {sbora::delta_path::automatic, sbora::delta_path::separate, sbora::delta_path::on_pack_rounded}) {
      add_step<Kind, Activation, Weight, T>(into, name, weight, size, others, path);
    }
    size.dropout = 0.25;
    add_step<Kind, Activation, Weight, T>(into, name, weight, size, {}, sbora::delta_path::automatic);
  };
  add(std::integral_constant<adapter_kind, adapter_kind::fa>());
  add(std::integral_constant<adapter_kind, adapter_kind::fb>());
}

template <class Scalar>
void add_dense(hashes& into) {
  using T = typename sbora::weight_view<Scalar>::compute_scalar;
  for (const storage order : both_orders) {
    const index_t d_out = 83, d_in = 149;
    merge_problem<Scalar> p(d_out, d_in, order);
    const std::string name = std::string(name_of<Scalar>()) + ' ' + name_of(order);
    const sbora::weight_view<const Scalar> weight(p.weight.data(), d_out, d_in, p.weight.stride(), order);
    add_weight<T, sbora::weight_view<const Scalar>, T>(into, name, weight, d_out, d_in, {1, 8, 16, 40, 200});
    if constexpr (std::is_same_v<Scalar, bfloat16>) {
      add_weight<bfloat16, sbora::weight_view<const Scalar>, T>(into, name, weight, d_out, d_in, {1, 40, 200});
    }
    const auto merge = [&]<adapter_kind Kind>(std::integral_constant<adapter_kind, Kind>) {
      sbora::merger merger(p.view());
      const auto adapter =
          p.template adapter<Kind>(sbora::sample_region(Kind == adapter_kind::fa ? d_in : d_out, 19, 5), 6);
      merger.merge(adapter);
      bit_hash hash;
      hash.put(p.weight);
      into["merge " + name + ' ' + name_of(Kind)] = hash.value();
      merger.unmerge(adapter);
      REQUIRE(p.weight_is_original());
    };
    merge(std::integral_constant<adapter_kind, adapter_kind::fa>());
    merge(std::integral_constant<adapter_kind, adapter_kind::fb>());
  }
}

void add_quantised(hashes& into) {
  const index_t d_out = 70, d_in = 256;
  padded_matrix<float> values(d_out, d_in);
  values.randomise(31);
  const sbora::weight_view<const float> dense(values.data(), d_out, d_in);
  const auto add = [&]<class View>(const std::string& name, const View& view) {
    add_weight<float, View, float>(into, name, view, d_out, d_in, {1, 8, 16, 40, 200});
    add_weight<bfloat16, View, float>(into, name, view, d_out, d_in, {1, 40});
  };
  const sbora::four_bit_weight nf4(dense, {.type = sbora::four_bit_type::nf4}),
      nested(dense, {.type = sbora::four_bit_type::nf4, .nested = true}),
      fp4(dense, {.type = sbora::four_bit_type::fp4});
  add("nf4", nf4.view());
  add("nf4 nested", nested.view());
  add("fp4", fp4.view());
  const sbora::int8_weight bytes(dense);
  add("int8", bytes.view());
}

/// Twenty steps, parameters at the end.
template <class Optimiser, class T>
void add_optimiser(hashes& into, const std::string& name, Optimiser optimiser, index_t count) {
  std::vector<T> parameters = random_vector<T>(count, 71);
  for (int step = 0; step < 20; ++step) {
    const std::vector<T> gradient = random_vector<T>(count, 72 + static_cast<std::uint64_t>(step));
    optimiser.step(std::span<T>(parameters), std::span<const T>(gradient),
                   {.learning_rate = 1e-2 / (step + 1), .gradient_scale = 0.5});
  }
  bit_hash hash;
  hash.put(std::span<const T>(parameters));
  into["optimiser " + name] = hash.value();
}

hashes computed() {
  hashes all;
  add_dense<float>(all);
  add_dense<double>(all);
  add_dense<bfloat16>(all);
  add_dense<Eigen::half>(all);
  add_quantised(all);
  const index_t count = 1043;
  add_optimiser<sbora::adamw<float>, float>(all, "adamw f32", sbora::adamw<float>(count), count);
  add_optimiser<sbora::adamw<double>, double>(all, "adamw f64", sbora::adamw<double>(count), count);
  add_optimiser<sbora::adamw_8bit<float>, float>(all, "adamw_8bit", sbora::adamw_8bit<float>(count), count);
  add_optimiser<sbora::sgd<float>, float>(all, "sgd f32", sbora::sgd<float>(count, {.momentum = 0.9}), count);
  add_optimiser<sbora::sgd<double>, double>(all, "sgd f64",
                                            sbora::sgd<double>(count, {.momentum = 0.9, .nesterov = true}), count);
  return all;
}

#if defined(__FMA__)
constexpr bool scalar_has_fma = true;
#else
constexpr bool scalar_has_fma = false;
#endif

/// By case, the hash of each recorded level.
using recording = std::map<std::string, std::array<std::uint64_t, recorded_levels.size()>>;

recording read_recording(const std::string& file) {
  recording all;
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t tab = line.find('\t');
    std::istringstream numbers(line.substr(tab + 1));
    for (auto& hash : all[line.substr(0, tab)]) numbers >> std::hex >> hash;
  }
  return all;
}

void write_recording(const std::string& file) {
  recording all;
  for (std::size_t i = 0; i < recorded_levels.size(); ++i) {
    REQUIRE(sbora::is_supported(recorded_levels[i]));
    sbora::force_isa(recorded_levels[i]);
    for (const auto& [name, hash] : computed()) all[name][i] = hash;
  }
  std::ofstream out(file);
  for (const auto& [name, by_level] : all) {
    out << name;
    const char* before = "\t";
    for (const std::uint64_t hash : by_level) out << before << std::hex << hash, before = " ";
    out << '\n';
  }
  REQUIRE(out.good());
}

}  // namespace

TEST_CASE("every result has the bits that were recorded") {
  const sbora::isa at_first = sbora::active_isa();
  if (const char* file = std::getenv("SBORA_PRINT_GOLDEN")) {
    write_recording(file);
    sbora::force_isa(at_first);
    return;
  }
  const recording expected = read_recording(GOLDEN_BITS);
  REQUIRE(expected.size() > 200);
  for (std::size_t i = 0; i < recorded_levels.size(); ++i) {
    const sbora::isa level = recorded_levels[i];
    const char* const forced = std::getenv("SBORA_FORCE_ISA");
    if (level == sbora::isa::scalar && scalar_has_fma) continue;
    if (!sbora::is_supported(level) || (forced != nullptr && sbora::isa_from_string(forced) != level)) continue;
    sbora::force_isa(level);
    const hashes got = computed();
    CAPTURE(sbora::to_string(level));
    CHECK(got.size() == expected.size());
    for (const auto& [name, hash] : got) {
      INFO(name);
      const auto found = expected.find(name);
      CHECK(found != expected.end());
      if (found != expected.end()) CHECK(found->second[i] == hash);
    }
  }
  sbora::force_isa(at_first);
}
