#pragma once

#include <deque>

#include <sbora/io/adapter/expert_tensors.hpp>
#include <sbora/io/adapter/one_hot.hpp>
#include <sbora/io/adapter/trained_tensors.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// The tensors of a PEFT LoRA as an FA or FB adapter, where they are one.
template <class T>
class peft_lora_reader {
 public:
  peft_lora_reader(std::span<const tensor_view> tensors, adapter_config config, std::span<const model_module> modules,
                   problem_list& problems)
      : peft_lora_reader(tensors, sort_tensors(tensors, modules, problems), std::move(config), modules, problems) {}

 private:
  peft_lora_reader(std::span<const tensor_view> tensors, file_tensors file, adapter_config config,
                   std::span<const model_module> modules, problem_list& problems)
      : config_(std::move(config)),
        rules_(rules_of_file(config_, problems)),
        modules_(modules),
        problems_(problems),
        trained_(trained_tensors<T>::replaced_in(file, modules, config_, problems)),
        found_(file.halves) {
    if (config_.target_parameters.empty()) {  // which modules those are, only their tensors say
      problems.set_cause(one_cause(tensors, file, modules, config_, [&](const std::string& module) {
        return !rules_.chooses() || rules_.matches(module);
      }));
    }
    for (std::size_t i = 0; i < modules.size(); ++i) positions_.emplace(modules[i].name, i);
    split_experts<T>(found_, config_, rules_, modules, problems, made_);
  }

 public:
  std::optional<model_adapter<T>> read(bool /*in_place*/ = false) {  // between the halves are one-hot ones
    for (const auto& [module, tensors] : found_) read_module(module, tensors);
    for (const model_module& module : modules_) {
      if (found_.count(module.name) > 0 || !rules_.matches(module.name)) continue;
      left_out_ = true;
      for (const char* half : {".lora_A.weight", ".lora_B.weight"}) {
        problems_.refuse_or_skip(missing(module.name, half));
      }
    }
    if (lines_.empty() && trained_.empty() && problems_.empty())
      problems_.add("there is no module with all that it takes");
    if (!problems_.empty()) return std::nullopt;
    if (!modules_.empty()) {
      std::sort(lines_.begin(), lines_.end(), [&](const halves& one, const halves& other) {
        return positions_.at(one.module) < positions_.at(other.module);
      });
    }
    const std::optional<adapter_kind> kind = one_kind();
    if (!kind) return std::nullopt;
    return make(*kind);
  }

 private:
  static std::string missing(const std::string& module, std::string_view half) {
    return "missing tensor '" + adapter_key(module, half) + "'";
  }

  struct halves {
    std::string module;
    index_t d_out, d_in, rank;
    const tensor_view *a, *b;
    one_hot_result<T> fa, fb;  ///< of lora_A's rows, of lora_B's columns
  };

  void read_module(const std::string& module, module_tensors tensors) {
    as_linear(tensors);
    if (is_tied_copy(module, tensors)) return;
    if (rules_.chooses() && !rules_.matches(module)) {  // PEFT leaves them out without a word
      problems_.refuse_or_skip("tensors of module '" + module + "', which the config doesn't choose");
      return;
    }
    std::vector<std::string> wrong;
    for (const tensor_view* indices : {tensors.a_indices, tensors.b_indices}) {
      if (indices != nullptr) wrong.push_back("unexpected tensor '" + indices->name + "'");
    }
    const bool turned = tensors.of_embedding;
    if (tensors.a == nullptr)
      wrong.push_back(missing(module, turned ? embedding_b : std::string_view(".lora_A.weight")));
    if (tensors.b == nullptr)
      wrong.push_back(missing(module, turned ? embedding_a : std::string_view(".lora_B.weight")));
    if (wrong.empty()) check_shapes(module, *tensors.a, *tensors.b, wrong);
    for (const std::string& problem : wrong) problems_.refuse_or_skip(problem);
    if (!wrong.empty()) {
      left_out_ = true;
      return;
    }
    halves read = {module, tensors.b->shape[0], tensors.a->shape[1], tensors.a->shape[0], tensors.a, tensors.b, {}, {}};
    const auto one_hot_in = [](const tensor_view& half, index_t rank, index_t length, bool rows) {
      std::vector<T> values(static_cast<std::size_t>(half.elements()));
      copy_exactly<T>(half, std::span<T>(values));
      return read_one_hot<T>({values.data(), rank, length, rows});
    };
    read.fa = one_hot_in(*read.a, read.rank, read.d_in, true);
    read.fb = one_hot_in(*read.b, read.rank, read.d_out, false);
    if (read.fa.refusal.empty() || read.fb.refusal.empty()) {
      lines_.push_back(std::move(read));
    } else {
      problems_.add("module '" + module + "' is no SBoRA adapter: lora_A: " + read.fa.refusal +
                    "; lora_B: " + read.fb.refusal);
    }
  }

  /// An embedding's halves as those of a linear layer of the table: its A is vocabulary × rank, and its B rank ×
  /// features, once they are transposed. Tensors that aren't such stay as they are, to be refused.
  void as_linear(module_tensors& tensors) {
    if (!tensors.of_embedding) return;
    std::swap(tensors.a, tensors.b);
    for (const tensor_view** half : {&tensors.a, &tensors.b}) {
      const tensor_view* const from = *half;
      if (from == nullptr || from->shape.size() != 2 || !is_exact_type<T>(from->type)) continue;
      const auto rows = static_cast<std::size_t>(from->shape[0]), cols = static_cast<std::size_t>(from->shape[1]);
      std::vector<T> values(rows * cols), turned(rows * cols);
      copy_exactly<T>(*from, std::span<T>(values));
      for (std::size_t i = 0; i < rows * cols; ++i) turned[i % cols * rows + i / cols] = values[i];
      tensor_pool& pool = made_.emplace_back();
      pool.add_owned(from->name, {from->shape[1], from->shape[0]}, std::move(turned));
      *half = &pool.tensors()[0];
    }
  }

  /// Whether these are a head's halves that PEFT saves once more, as it is tied to an embedding that has them.
  bool is_tied_copy(const std::string& module, const module_tensors& tensors) {
    if (!config_.ensure_weight_tying || tensors.of_embedding || positions_.count(module) > 0) return false;
    for (const auto& [name, of] : found_) {
      if (!of.of_embedding) continue;
      module_tensors turned = of;
      as_linear(turned);
      const auto same = [](const tensor_view* a, const tensor_view* b) {
        return a != nullptr && b != nullptr && same_values(*a, *b);
      };
      if (same(tensors.a, turned.a) && same(tensors.b, turned.b)) return true;
    }
    return false;
  }

  void check_shapes(const std::string& module, const tensor_view& a, const tensor_view& b,
                    std::vector<std::string>& wrong) {
    const index_t rank = rules_.rank_of(module);
    for (const tensor_view* half : {&a, &b}) {
      if (is_exact_type<T>(half->type) && half->shape.size() == 2 && half->elements() > 0) continue;
      wrong.push_back("tensor '" + half->name + "' is " + type_and_shape(*half) + ", expected F32, F16 or BF16 " +
                      (half == &a ? "[rank, d_in]" : "[d_out, rank]"));
    }
    if (!wrong.empty()) return;
    if (a.shape[0] != b.shape[1]) {
      wrong.push_back("module '" + module + "': lora_A is " + shape_text(a.shape) + " and lora_B " +
                      shape_text(b.shape) + ", their ranks differ");
    } else if (a.shape[0] != rank) {
      problems_.refuse_or_skip("tensor '" + a.name + "' is " + shape_text(a.shape) + ", the config says rank " +
                               std::to_string(rank));
    }
    if (modules_.empty()) return;
    const auto position = positions_.find(module);
    if (position == positions_.end()) {
      wrong.push_back(unknown_module(module, modules_));
      return;
    }
    const model_module& same = modules_[position->second];
    if (same.d_out != b.shape[0] || same.d_in != a.shape[1]) {
      wrong.push_back(unlike_module(same, b.shape[0], a.shape[1]));
    }
  }

  static const one_hot_result<T>& one_hot_of(const halves& of, adapter_kind kind) {
    return trains_b(kind) ? of.fa : of.fb;
  }

  /// Of modules whose kind the config doesn't say: FA where all are, FB where all are.
  std::optional<adapter_kind> one_kind() {
    std::string why = "the modules aren't all FA or all FB";
    for (const adapter_kind kind : {adapter_kind::fa, adapter_kind::fb}) {
      const auto other = std::find_if(lines_.begin(), lines_.end(), [&](const halves& of) {
        return !rules_.kind_of(of.module) && !one_hot_of(of, kind).refusal.empty();
      });
      if (other == lines_.end() && config_.kind.value_or(kind) == kind) return kind;
      if (other == lines_.end()) continue;
      why += "; '" + other->module + "' isn't " + to_string(kind) + (trains_b(kind) ? ": lora_A: " : ": lora_B: ") +
             one_hot_of(*other, kind).refusal;
    }
    problems_.add(why);
    return std::nullopt;
  }

  std::optional<model_adapter<T>> make(adapter_kind usual) {
    std::vector<adapter_part> parts;
    for (halves& of : lines_) {
      const adapter_kind kind = rules_.kind_of(of.module).value_or(usual);
      const std::string& refusal = one_hot_of(of, kind).refusal;
      if (!refusal.empty()) {
        problems_.add("module '" + of.module + "' isn't " + to_string(kind) + ", as the config says: " + refusal);
        continue;
      }
      const region_geometry geometry(kind, of.d_out, of.d_in, of.rank);
      trained_.halves.push_back(trains_b(kind) ? of.b : of.a);
      parts.push_back({of.module,
                       of.d_out,
                       of.d_in,
                       region(geometry.dim, std::vector(one_hot_of(of, kind).indices)),
                       rules_.alpha_of(of.module),
                       {},
                       kind});
    }
    if (!problems_.empty()) return std::nullopt;
    if (left_out_) choose_by_name(config_, parts);
    for (const auto& [module, of] : found_) {
      if (of.of_embedding && !is_embedding_name(module, config_.embedding_modules)) {
        config_.embedding_modules.push_back(module);
      }
    }
    return adapter_of<T>(usual, std::move(config_), std::move(parts), trained_, false);
  }

  adapter_config config_;
  target_rules rules_;
  std::span<const model_module> modules_;
  problem_list& problems_;
  trained_tensors<T> trained_;
  std::map<std::string, module_tensors> found_;
  std::unordered_map<std::string, std::size_t> positions_;
  std::vector<halves> lines_;
  std::deque<tensor_pool> made_;  ///< transposed ones of embeddings, and single experts'
  bool left_out_ = false;
};

}  // namespace sbora::inline SBORA_ABI::detail
