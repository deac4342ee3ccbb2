/// merge_fa_vs_lora, merge_fb_vs_lora   sbora::merger::merge against Eigen's W.noalias() += s * B * A
/// merge_fa_of_bw, merge_fb_of_bw       sbora::merger::merge against memcpy; byte model in
///                                      support/merge_workload.hpp
/// touch_fa_of_bw                       only reading and writing the FA merges' cache lines: the machine's
///                                      limit for merge_fa_of_bw
/// One thread, f32, 4096 x 4096, rank 64. Unmerging happens between the timed passes.

#include <string>

#include "../peers/peers.hpp"
#include "../support/copy.hpp"
#include "../support/lora_workload.hpp"
#include "../support/merge_workload.hpp"
#include "registry.hpp"

namespace bench {
namespace {

constexpr merge_shape shape;
constexpr double cache_multiple = 4;

template <class Adapter>
using workload = merge_workload<float, Adapter>;

/// Seconds per `unit` (per merge: units = count; per byte: units = pass_bytes).
template <class Adapter>
double merge_arm(workload<Adapter>& merges, double units) {
  return arm(
      units, arm_seconds, [&] { merges.merge_all(); }, [&] { merges.unmerge_all(); });
}

template <class Adapter>
void note_workload(const workload<Adapter>& merges) {
  constexpr double mib = 1048576.0;
  const double bytes = merges.pass_bytes() / static_cast<double>(merges.count());
  note(std::to_string(merges.count()) + " merges over " + std::to_string(merges.weight_count()) + " weights, " +
       std::to_string(bytes / mib) + " MiB moved per merge, " + std::to_string(merges.touched_bytes() / mib) +
       " MiB touched per pass");
}

template <class Adapter>
double against_lora() {
  workload<Adapter> merges(shape, cache_multiple);
  merges.verify();
  note_workload(merges);
  lora_workload peer(shape.d_out, shape.d_in, shape.rank);
  peer.verify();
  note(std::string("peer: Eigen with ") + eigen_instruction_sets());

  const alternation measured =
      alternate([&] { return arm(static_cast<double>(peer.count()), arm_seconds, [&] { peer.merge_all(); }); },
                [&] { return merge_arm(merges, static_cast<double>(merges.count())); });
  note(measured, "LoRA merge", "sbora merge", 1e3, "ms");
  note("LoRA merge: " + std::to_string(peer.flops() / median(measured.first) * 1e-9) + " GFLOP/s");
  merges.verify();
  return measured.ratio();
}

template <class Adapter>
double against_copy() {
  workload<Adapter> merges(shape, cache_multiple);
  merges.verify();
  note_workload(merges);
  copy_arm copy;
  const alternation measured =
      alternate([&] { return copy(); }, [&] { return merge_arm(merges, merges.pass_bytes()); });
  note(measured, "memcpy", "merge", 1e9, "ns per byte");
  note("memcpy " + std::to_string(1e-9 / median(measured.first)) + " GB/s, merge " +
       std::to_string(1e-9 / median(measured.second)) + " GB/s, " +
       std::to_string(1e3 * median(measured.second) * merges.pass_bytes() / static_cast<double>(merges.count())) +
       " ms per merge");
  merges.verify();
  return measured.ratio();
}

}  // namespace

double touch_fa_of_bw() {
  workload<sbora::fa_adapter<float>> merges(shape, cache_multiple);
  note_workload(merges);
  // Without the trained halves and the originals.
  const double parameters = static_cast<double>(shape.d_out * shape.rank * 8) * static_cast<double>(merges.count());
  const double bytes = merges.pass_bytes() - parameters;
  copy_arm copy;
  const alternation measured =
      alternate([&] { return copy(); },
                [&] {
                  return arm(bytes, arm_seconds, [&] {
                    merges.for_each_region([](float* weight, auto indices) {
                      touch_columns(weight, indices.data(), shape.d_out, shape.d_in, shape.rank);
                    });
                  });
                });
  note(measured, "memcpy", "touching", 1e9, "ns per byte");
  return measured.ratio();
}

double merge_fa_vs_lora() { return against_lora<sbora::fa_adapter<float>>(); }
double merge_fb_vs_lora() { return against_lora<sbora::fb_adapter<float>>(); }
double merge_fa_of_bw() { return against_copy<sbora::fa_adapter<float>>(); }
double merge_fb_of_bw() { return against_copy<sbora::fb_adapter<float>>(); }

}  // namespace bench
