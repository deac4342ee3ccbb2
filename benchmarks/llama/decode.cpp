// Greedy decoding by examples/llama, with random weights of SmolLM2-135M's shape, on all cores.
// usage: bench_llama_decode NAME FOLDER
//   decode_of_bw, decode_nf4_of_bw  bytes of weights read per second, one sequence, over those of a sweep that only
//                                   reads; f32 weights, NF4 (double quantised) below an f32 embedding and head
//   decode_16_rows                  time of a step of 16 sequences over that of one, f32
// FOLDER keeps the checkpoint. What is decoded is compared with a forward of the whole first.

#include <atomic>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "../peers/peers.hpp"
#include "../support/cores.hpp"
#include "../support/memory.hpp"
#include "../support/timing.hpp"
#include "model/decoder.hpp"
#include "model/model.hpp"
#include "shapes.hpp"

namespace {

using bench::index_t;
using bench::now;
using bench::random_tokens;
using bench::smollm2;

constexpr index_t prompt = 128, room = 512;

/// Decoding of some sequences, begun anew where the room ends.
class decoding {
 public:
  decoding(llama::model& net, sbora::thread_pool& pool, index_t sequences)
      : decoder_(net, pool), prompts_(random_tokens(smollm2(), sequences, prompt)) {}

  /// Seconds of a step.
  double operator()() {
    constexpr int steps = 8;
    if (left_ < steps) {
      next_ = llama::greedy(decoder_.prefill(prompts_, room));
      left_ = room;
    }
    const double start = now();
    for (int i = 0; i < steps; ++i) next_ = llama::greedy(decoder_.step(next_));
    left_ -= steps;
    return (now() - start) / steps;
  }

 private:
  llama::decoder decoder_;
  llama::token_batch prompts_;
  std::vector<std::int32_t> next_;
  index_t left_ = 0;
};

/// That cached steps give the logits of the whole. 30 layers of sums in another order: 1e-5 was seen.
void verify(llama::model& net, sbora::thread_pool& pool) {
  constexpr index_t length = 24, steps = 4;
  const llama::token_batch whole = random_tokens(smollm2(), 1, length);
  const llama::matrix expected = net.logits(whole, pool);
  llama::token_batch first = whole;
  first.length = length - steps;
  first.tokens.resize(static_cast<std::size_t>(first.length));
  first.mask.resize(static_cast<std::size_t>(first.length));
  llama::decoder decoder(net, pool);
  decoder.prefill(first, steps);
  for (index_t at = first.length; at < length; ++at) {
    const std::int32_t token = whole.tokens[static_cast<std::size_t>(at)];
    const llama::matrix& logits = decoder.step({&token, 1});
    const float off = (logits.row(0) - expected.row(at)).cwiseAbs().maxCoeff();
    if (!(off < 1e-4F * expected.row(at).cwiseAbs().maxCoeff())) throw std::runtime_error("decoding is wrong");
  }
}

/// Seconds a byte of only reading, all threads at once.
class reading {
 public:
  explicit reading(sbora::thread_pool& pool) : pool_(pool), words_(chunk * static_cast<std::size_t>(pool.threads())) {}
  double operator()() {
    const double start = now();
    double bytes = 0;
    do {
      pool_.parallel_for(pool_.threads(), [&](index_t i) {
        sink_ = read_words(words_.data() + static_cast<std::size_t>(i) * chunk, chunk);
      });
      bytes += 8 * static_cast<double>(words_.size());
    } while (now() - start < bench::arm_seconds);
    return (now() - start) / bytes;
  }

 private:
  static constexpr std::size_t chunk = std::size_t{256} << 17;  // 256 MiB
  sbora::thread_pool& pool_;
  bench::buffer<std::uint64_t> words_;
  std::atomic<std::uint64_t> sink_ = 0;
};

int run(const std::string& name, const std::filesystem::path& folder) {
  const bench::all_cores cores;
  sbora::thread_pool pool(cores.count());
  llama::load_options options;
  options.bits = name == "decode_nf4_of_bw" ? 4 : 16;
  llama::model net = bench::load(smollm2(), folder / "smollm2", options, pool);
  verify(net, pool);
  const auto bytes = static_cast<double>(net.memory().weights);
  decoding one(net, pool, 1);
  bench::alternation measured;
  double ratio = 0;
  if (name == "decode_16_rows") {
    measured = bench::alternate(decoding(net, pool, 16), one);
    std::fprintf(stderr, "  a step of 16 %.4g ms, of 1 %.4g ms", 1e3 * bench::median(measured.first),
                 1e3 * bench::median(measured.second));
  } else {
    measured = bench::alternate(reading(pool), [&] { return one() / bytes; });
    std::fprintf(stderr, "  read %.4g GB/s, weights of %.4g MB %.4g GB/s, %.4g ms a token",
                 1e-9 / bench::median(measured.first), 1e-6 * bytes, 1e-9 / bench::median(measured.second),
                 1e3 * bytes * bench::median(measured.second));
  }
  ratio = measured.ratio();
  std::fprintf(stderr, ", %d threads, %s; pairs: %zu, spread of the ratio %.2g\n", pool.threads(),
               sbora::to_string(sbora::active_isa()), measured.first.size(), measured.spread());
  std::printf("ratio %s %.4g\n", name.c_str(), ratio);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) {
    std::fputs("usage: bench_llama_decode decode_of_bw|decode_nf4_of_bw|decode_16_rows FOLDER\n", stderr);
    return 2;
  }
  try {
    return run(words[1], words[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_llama_decode: %s\n", error.what());
    return 1;
  }
}
