#pragma once

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include <sbora/io/adapter/sbora_checkpoint.hpp>
#include <sbora/io/adapter/adapter_tensors.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/model/make_adapter.hpp>

#include "io/temporary_directory.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

/// What tests of adapter files share: files made by hand, and what is compared.
namespace sbora_tests {

/// Names of everything below a folder.
inline std::vector<std::string> files_below(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    names.push_back(std::filesystem::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// An adapter's two files made by hand, tensor by tensor.
class adapter_by_hand {
 public:
  adapter_by_hand& config(std::string text) {
    config_ = std::move(text);
    return *this;
  }
  template <class Scalar>
  adapter_by_hand& tensor(const std::string& name, std::vector<index_t> shape, std::vector<Scalar> values) {
    drop(name);
    names_.push_back(name);
    pools_.emplace_back().add_owned<Scalar>(name, std::move(shape), std::move(values));
    return *this;
  }
  adapter_by_hand& drop(const std::string& name) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    if (at == names_.end()) return *this;
    pools_.erase(pools_.begin() + (at - names_.begin()));
    names_.erase(at);
    return *this;
  }

  void write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    write_file(folder / "adapter_config.json", config_);
    std::vector<sbora::tensor_view> tensors;
    for (const auto& pool : pools_) tensors.push_back(pool.tensors()[0]);
    sbora::write_safetensors(folder / "adapter_model.safetensors", tensors);
  }

 private:
  std::string config_;
  std::vector<std::string> names_;
  std::vector<sbora::detail::tensor_pool> pools_;
};

/// Computes the same, to the last bit.
template <class T>
bool same_adapter(const sbora::model_adapter<T>& a, const sbora::model_adapter<T>& b) {
  if (a.kind() != b.kind() || a.modules() != b.modules()) return false;
  bool same = same_bits(a.parameters(), b.parameters());
  for (const std::string& module : a.modules()) {
    same = same && a.visit(module, [&](const auto& one) {
      return b.visit(module, [&](const auto& other) {
        return one.target() == other.target() && one.d_out() == other.d_out() && one.d_in() == other.d_in() &&
               one.delta().scale == other.delta().scale && one.options().dropout == other.options().dropout;
      });
    });
  }
  return same;
}

/// Kills 40 processes at random points while they save again and again, and checks what each left. Returns how often
/// check() found something.
template <class Save, class Check>
int kill_savers(Save&& save, Check&& check) {
  sbora::random_stream random(1);
  int found = 0;
  for (int kill_number = 0; kill_number < 40; ++kill_number) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (int i = kill_number;; ++i) save(i);
    }
    ::usleep(static_cast<useconds_t>(random.below(40000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    found += check() ? 1 : 0;
  }
  return found;
}

template <class Function>
std::vector<std::string> problems_of(Function&& f) {
  try {
    f();
  } catch (const sbora::checkpoint_error& error) {
    return error.problems();
  }
  return {"nothing was thrown"};
}

}  // namespace sbora_tests
