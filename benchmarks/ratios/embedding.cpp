/// embedding_of_bw    bytes of table rows gathered per second, 32 tokens at random of a table of 256 MiB, f32, over
///                    those of a sweep that only reads the table, eight pages at a time
/// One thread, rows of 4096 features; the result stays in the L2 cache.

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <sbora/core/random.hpp>
#include <sbora/layers/embedding.hpp>

#include "../peers/peers.hpp"
#include "../support/memory.hpp"
#include "../support/random.hpp"
#include "registry.hpp"

namespace bench {

double embedding_of_bw() {
  using sbora::index_t;
  constexpr index_t vocabulary = 16384, features = 4096, tokens = 32;
  buffer<float> table(static_cast<std::size_t>(vocabulary * features)), y(static_cast<std::size_t>(tokens * features));
  fill_uniform(table.span(), 81);
  const sbora::embedding layer{sbora::weight_view<const float>(table.data(), vocabulary, features)};
  sbora::random_stream random(82);
  std::vector<index_t> ids(tokens);
  const auto forward = [&] { layer.forward(ids, sbora::activation_view<float>(y.data(), tokens, features)); };
  const auto others = [&] {
    for (index_t& id : ids) id = random.below(vocabulary);
  };
  others();
  forward();
  for (index_t t = 0; t < tokens; ++t) {
    const float* const row = table.data() + ids[static_cast<std::size_t>(t)] * features;
    if (std::memcmp(y.data() + t * features, row, features * sizeof(float)) != 0) {
      throw std::runtime_error("the embedding's row " + std::to_string(t) + " is wrong");
    }
  }
  volatile std::uint64_t sink = 0;
  const auto* const words = static_cast<const std::uint64_t*>(static_cast<const void*>(table.data()));
  const auto sweep = [&] { sink = read_words(words, table.size() / 2); };
  constexpr double row_bytes = static_cast<double>(features * index_t{sizeof(float)});
  const alternation measured = alternate([&] { return arm(row_bytes * vocabulary, arm_seconds, sweep); },
                                         [&] { return arm(row_bytes * tokens, arm_seconds, forward, others); });
  note(measured, "read", "gathered", 1e9, "s/GB");
  return measured.ratio();
}

}  // namespace bench
