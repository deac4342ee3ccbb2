#pragma once

#include <sched.h>

namespace bench {

/// Undoes the pinning of run.sh for as long as it lives: for what is measured on several threads.
class all_cores {
 public:
  all_cores() {
    ::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
    ::sched_setaffinity(0, sizeof all, &all);
    cpu_set_t now;
    ::sched_getaffinity(0, sizeof now, &now);
    count_ = CPU_COUNT(&now);
  }
  all_cores(const all_cores&) = delete;
  all_cores& operator=(const all_cores&) = delete;
  ~all_cores() { ::sched_setaffinity(0, sizeof before_, &before_); }
  int count() const { return count_; }

 private:
  cpu_set_t before_;
  int count_ = 0;
};

}  // namespace bench
