/// monotone    the worst time of n tokens over the least time of any more of them, same storage, direction and shape
/// narrow      the worst time over a narrower storage over f32's, same tokens, direction and shape
/// One thread, over every storage, both directions, 1 to 128 tokens; three shapes, five with SBORA_BENCH_FULL=1. What a
/// sweep finds is measured again, alternately, before it counts. Tables are noted.

#include <cstdio>
#include <cstdlib>

#include "../support/layer_times.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr std::array<index_t, 17> swept_tokens = {1, 2, 3, 4, 6, 8, 9, 12, 16, 17, 24, 32, 48, 64, 65, 96, 128};
constexpr std::array directions = {direction::forward, direction::dx};
/// Rounds of a sweep, whose least times are compared, and how many of each shape's findings are measured again.
constexpr int rounds = 4;
constexpr std::size_t confirmed = 6;

struct shape {
  index_t d_out, d_in;
};

/// One layer's least times by direction and tokens.
struct sweep {
  std::unique_ptr<timed_layer> layer;
  std::array<std::array<double, swept_tokens.size()>, directions.size()> seconds;
};

/// Two times of one shape and direction, that of `slow` too long for that of `fast`.
struct violation {
  double ratio;
  direction which;
  const sweep *slow, *fast;
  index_t slow_tokens, fast_tokens;
};

std::vector<sweep> sweep_shape(const shape& s) {
  std::vector<sweep> all;
  for (const char* storage : timed_storages) {
    all.push_back({make_timed_layer(storage, s.d_out, s.d_in, std::size_t{128} << 20), {}});
    for (auto& row : all.back().seconds) row.fill(1e30);
    for (const direction which : directions) {
      for (const index_t tokens : swept_tokens) all.back().layer->verify(which, tokens);
    }
  }
  for (int round = 0; round < rounds; ++round) {
    for (sweep& one : all) {
      for (std::size_t d = 0; d < directions.size(); ++d) {
        for (std::size_t n = 0; n < swept_tokens.size(); ++n) {
          double& least = one.seconds[d][n];
          least = std::min(least, one.layer->seconds(directions[d], swept_tokens[n]));
        }
      }
    }
  }
  return all;
}

void note_table(const shape& s, const std::vector<sweep>& all) {
  std::fprintf(stderr, "  %tdx%td, ms:\n  %-12s", s.d_out, s.d_in, "tokens");
  for (const index_t tokens : swept_tokens) std::fprintf(stderr, "%7td", tokens);
  for (std::size_t d = 0; d < directions.size(); ++d) {
    for (const sweep& one : all) {
      std::fprintf(stderr, "\n  %-4s %-7s", one.layer->storage().c_str(), d == 0 ? "forward" : "dx");
      for (const double seconds : one.seconds[d]) std::fprintf(stderr, "%7.2f", 1e3 * seconds);
    }
  }
  std::fputc('\n', stderr);
}

/// What the sweep says, worst first.
template <class Find>
std::vector<violation> found(const std::vector<sweep>& all, Find find) {
  std::vector<violation> violations;
  for (std::size_t d = 0; d < directions.size(); ++d) {
    for (const sweep& one : all) find(violations, all, one, d);
  }
  std::sort(violations.begin(), violations.end(), [](const auto& a, const auto& b) { return a.ratio > b.ratio; });
  return violations;
}

void find_falling(std::vector<violation>& into, const std::vector<sweep>&, const sweep& one, std::size_t d) {
  const auto& seconds = one.seconds[d];
  for (std::size_t n = 0; n + 1 < seconds.size(); ++n) {
    const auto least = std::min_element(seconds.begin() + static_cast<std::ptrdiff_t>(n) + 1, seconds.end());
    into.push_back({seconds[n] / *least, directions[d], &one, &one, swept_tokens[n],
                    swept_tokens[static_cast<std::size_t>(least - seconds.begin())]});
  }
}

void find_wide(std::vector<violation>& into, const std::vector<sweep>& all, const sweep& one, std::size_t d) {
  const sweep& f32 = all.front();
  for (std::size_t n = 0; &one != &f32 && n < swept_tokens.size(); ++n) {
    into.push_back(
        {one.seconds[d][n] / f32.seconds[d][n], directions[d], &one, &f32, swept_tokens[n], swept_tokens[n]});
  }
}

/// The ratio of both, measured in turn; the median is of times that are each the least of some.
double measured_again(const violation& v) {
  const auto least = [&](const sweep& of, index_t tokens) {
    double seconds = 1e30;
    for (int i = 0; i < 3; ++i) seconds = std::min(seconds, of.layer->seconds(v.which, tokens));
    return seconds;
  };
  const double ratio =
      alternate([&] { return least(*v.slow, v.slow_tokens); }, [&] { return least(*v.fast, v.fast_tokens); }, 9)
          .ratio();
  char text[160];
  std::snprintf(text, sizeof text, "%s, %td tokens of %s over %td of %s: %.3f, in the sweep %.3f",
                v.which == direction::forward ? "forward" : "dx", v.slow_tokens, v.slow->layer->storage().c_str(),
                v.fast_tokens, v.fast->layer->storage().c_str(), ratio, v.ratio);
  note(text);
  return ratio;
}

template <class Find>
double worst_of_all_shapes(Find find) {
  std::vector<shape> shapes = {{4096, 4096}, {1024, 4096}, {576, 576}};
  if (std::getenv("SBORA_BENCH_FULL") != nullptr) shapes.insert(shapes.end(), {{11008, 4096}, {49152, 576}});
  double worst = 0;
  for (const shape& s : shapes) {
    const std::vector<sweep> all = sweep_shape(s);
    note_table(s, all);
    const std::vector<violation> violations = found(all, find);
    for (std::size_t i = 0; i < confirmed; ++i) worst = std::max(worst, measured_again(violations[i]));
  }
  return worst;
}

}  // namespace

double monotone() { return worst_of_all_shapes(find_falling); }
double narrow() { return worst_of_all_shapes(find_wide); }

}  // namespace bench
