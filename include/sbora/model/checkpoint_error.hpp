#pragma once

#include <string>
#include <vector>

#include <sbora/core/compiled_once.hpp>
#include <sbora/core/errors.hpp>

namespace sbora::inline SBORA_ABI {

/// Everything that is wrong with a checkpoint, at once: problems() has all of it, what() at most 20 lines.
class checkpoint_error : public error {
 public:
  /// `cause`: what all problems come from and what helps, where that is known; what() then says it in their place.
  SBORA_IN_MODEL_INSTANCES checkpoint_error(const std::string& what, std::vector<std::string> problems,
                                            const std::string& cause = {});
  const std::vector<std::string>& problems() const& noexcept { return problems_; }
  const std::vector<std::string>& problems() const&& = delete;  // would dangle: name the object
  /// Empty where there is no one cause.
  const std::string& cause() const& noexcept { return cause_; }
  const std::string& cause() const&& = delete;  // would dangle: name the object

 private:
  std::vector<std::string> problems_;
  std::string cause_;
};

}  // namespace sbora::inline SBORA_ABI
