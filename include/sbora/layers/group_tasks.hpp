#pragma once

#include <sbora/core/executor.hpp>
#include <sbora/core/workspace.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Multiplications from which a group's product is shared by the threads; those of smaller groups go to a thread each.
inline constexpr index_t shared_group_work = index_t{1} << 22;

/// work(i, frame, executor) for the groups i in [0, count) that have multiplications: multiplications_of(i) > 0.
/// Requires: groups that write different memory.
template <class MultiplicationsOf, class Work>
void for_each_group(index_t count, const MultiplicationsOf& multiplications_of, workspace_frame frame,
                    any_executor pool, const Work& work) {
  workspace_frame rest = frame;
  auto* const small = rest.take<index_t>(count);
  auto* const frames = rest.take<workspace_frame>(count);
  index_t smalls = 0;
  for (index_t i = 0; i < count; ++i) {
    const index_t multiplications = multiplications_of(i);
    if (multiplications == 0 || multiplications >= shared_group_work) continue;
    if (!frame.counts()) {
      small[smalls] = i;
      frames[smalls] = rest;
    }
    ++smalls;
    rest.take<std::byte>(
        static_cast<index_t>(scratch_of([&](workspace_frame its, any_executor idle) { work(i, its, idle); })));
  }
  pool.parallel_for(smalls, [&](index_t i) { work(small[i], frames[i], any_executor()); });
  for (index_t i = 0; i < count; ++i) {
    if (multiplications_of(i) >= shared_group_work) work(i, frame, pool);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
