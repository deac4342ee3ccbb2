#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sbora/executors/thread_pool.hpp>
#include <sbora/model/model_adapter.hpp>
#include <sbora/weights/weight_view.hpp>

#include "common/programs.hpp"
#include "multi_task/column_scores.hpp"

namespace multi_task {

using sbora::index_t;
using adapter = sbora::model_adapter<float>;

enum class method { fa, fb, lora };

/// A linear layer that is adapted. The weight is written by merging.
struct layer {
  std::string name;
  sbora::weight_view<float> weight;
};

/// Columns (FA) or rows (FB) of every layer, in the order of the layers.
using regions = std::vector<sbora::region>;

struct training {
  std::string name;  ///< of the adapter; no two of a seed have the same
  method by;
  std::size_t task;
  regions on;  ///< of LoRA: empty
};

/// On held-out rows of a text.
struct score {
  double loss;                  ///< nats
  std::optional<double> exact;  ///< share of the answers that are given as they are, where a text has answers
};

/// The program was asked to stop, by Ctrl-C or SIGTERM.
struct stopped {};

/// A model with tasks, to ask the questions of. Its texts are those of the tasks, then the base text, which no task is
/// trained on.
///
/// Requires    start() before all that is about weights; results are a function of settings and seed alone.
class subject {
 public:
  virtual ~subject() = default;

  virtual const std::vector<std::string>& tasks() const = 0;
  /// Columns or rows that a task gets of each layer.
  virtual index_t rank() const = 0;
  /// All that decides the results, in one line.
  virtual std::string settings() const = 0;
  virtual sbora::thread_pool& pool() = 0;

  virtual void start(std::uint64_t seed) = 0;
  /// The seed's adapters aren't needed again.
  virtual void finish() {}

  virtual std::vector<layer> layers() = 0;
  /// On the weights as they are. A LoRA comes as its update, an FA adapter on all columns.
  virtual adapter train(const training& what) = 0;
  /// Of the weights as they are.
  virtual score measure(std::size_t text) = 0;
  /// Scores of every layer's columns over some batches of a text, of the part that measure() doesn't take.
  virtual std::vector<column_scores> observe(std::size_t text) = 0;
};

}  // namespace multi_task
