#pragma once

/// Problems that take turns, so that none finds its weight in a cache: products of one token.

#include <cstddef>
#include <memory>
#include <vector>

namespace bench {

template <class Problem>
class in_turn {
 public:
  /// So many of one token that their weights, `bytes` each, are 256 MiB together.
  explicit in_turn(std::size_t bytes) {
    const std::size_t count = ((std::size_t{256} << 20) + bytes - 1) / bytes;
    for (std::size_t i = 0; i < count; ++i) problems_.push_back(std::make_unique<Problem>(1));
  }

  Problem& next() { return *problems_[next_++ % problems_.size()]; }

 private:
  std::vector<std::unique_ptr<Problem>> problems_;
  std::size_t next_ = 0;
};

}  // namespace bench
