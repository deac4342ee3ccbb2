// Trainable parameters of the models that the paper reports: the table in features_and_formats.md, D,
// which is the official README's where that has no slip.

#include <sbora/adapters/adapter.hpp>
#include <sbora/regions/region.hpp>

#include <numeric>

#include "support/catch.hpp"

using sbora::index_t;

namespace {

struct shape {
  index_t d_out, d_in;
};

sbora::region first(index_t dim, index_t rank) {
  std::vector<index_t> indices(static_cast<std::size_t>(rank));
  std::iota(indices.begin(), indices.end(), index_t{0});
  return sbora::region(dim, std::move(indices));
}

struct counts {
  index_t fa, fb;
  bool operator==(const counts&) const = default;
};

std::ostream& operator<<(std::ostream& out, const counts& c) { return out << c.fa << ", " << c.fb; }

/// Of `layers` times these modules, as the adapters count them.
counts model_counts(index_t layers, index_t rank, const std::vector<shape>& modules) {
  counts total{0, 0};
  for (const shape m : modules) {
    total.fa += layers * sbora::fa_adapter<float>(m.d_out, m.d_in, first(m.d_in, rank)).parameter_count();
    total.fb += layers * sbora::fb_adapter<float>(m.d_out, m.d_in, first(m.d_out, rank)).parameter_count();
  }
  return total;
}

/// Modules of LLaMA: q, k, v, up, down, and with `all` o and gate.
std::vector<shape> llama(index_t hidden, index_t key_value, index_t inner, bool all) {
  std::vector<shape> modules = {
      {hidden, hidden}, {key_value, hidden}, {key_value, hidden}, {inner, hidden}, {hidden, inner}};
  if (all) modules.insert(modules.end(), {{hidden, hidden}, {inner, hidden}});
  return modules;
}

const auto llama_7b = [](bool all) { return llama(4096, 4096, 11008, all); };
const auto llama_13b = [](bool all) { return llama(5120, 5120, 13824, all); };
const auto llama3_8b = [](bool all) { return llama(4096, 1024, 14336, all); };

}  // namespace

TEST_CASE("parameters of LLaMA-7B, q k v up down") {
  CHECK(model_counts(32, 32, llama_7b(false)) == counts{28049408, 28049408});
  CHECK(model_counts(32, 64, llama_7b(false)) == counts{56098816, 56098816});
}

TEST_CASE("parameters of LLaMA3-8B, q k v up down") {
  CHECK(model_counts(32, 32, llama3_8b(false)) == counts{25165824, 31457280});
  CHECK(model_counts(32, 64, llama3_8b(false)) == counts{50331648, 62914560});
}

TEST_CASE("parameters of LLaMA-13B, q k v up down") {
  CHECK(model_counts(40, 32, llama_13b(false)) == counts{43909120, 43909120});
}

TEST_CASE("parameters with all seven linear layers") {
  CHECK(model_counts(32, 64, llama_7b(true)) == counts{87031808, 72876032});
  CHECK(model_counts(40, 64, llama_13b(true)) == counts{136314880, 114032640});
  CHECK(model_counts(32, 64, llama3_8b(true)) == counts{88080384, 79691776});
}

TEST_CASE("FA and FB together have LoRA's parameters, each half on a square layer") {
  for (const shape m : {shape{4096, 4096}, shape{1024, 4096}, shape{11008, 4096}}) {
    const index_t rank = 32;
    const counts c = model_counts(1, rank, {m});
    CHECK(c.fa + c.fb == rank * (m.d_out + m.d_in));
    if (m.d_out == m.d_in) CHECK(2 * c.fa == rank * (m.d_out + m.d_in));
  }
}
