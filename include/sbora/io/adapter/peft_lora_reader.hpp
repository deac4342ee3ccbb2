#pragma once

#include <sbora/io/adapter/full_tensors.hpp>
#include <sbora/io/adapter/one_hot.hpp>

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
        full_(read_full_tensors<T>(file.others, file.halves, config_, problems)),
        found_(std::move(file.halves)) {
    problems.set_cause(one_cause(tensors, found_, modules, config_, [&](const std::string& module) {
      return !rules_.chooses() || rules_.matches(module);
    }));
    for (std::size_t i = 0; i < modules.size(); ++i) positions_.emplace(modules[i].name, i);
  }

 public:
  std::optional<model_adapter<T>> read() {
    for (const auto& [module, tensors] : found_) read_module(module, tensors);
    for (const model_module& module : modules_) {
      if (found_.count(module.name) > 0 || !rules_.matches(module.name)) continue;
      left_out_ = true;
      for (const char* half : {".lora_A.weight", ".lora_B.weight"}) {
        problems_.refuse_or_skip("missing tensor '" + adapter_key(module.name, half) + "'");
      }
    }
    if (lines_.empty() && problems_.empty()) problems_.add("there is no module with all that it takes");
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
  struct halves {
    std::string module;
    index_t d_out, d_in, rank;
    std::vector<T> a, b;
    one_hot_result<T> fa, fb;  ///< of lora_A's rows, of lora_B's columns
  };

  void read_module(const std::string& module, const module_tensors& tensors) {
    if (rules_.chooses() && !rules_.matches(module)) {  // PEFT leaves them out without a word
      problems_.refuse_or_skip("tensors of module '" + module + "', which the config doesn't choose");
      return;
    }
    std::vector<std::string> wrong;
    for (const tensor_view* indices : {tensors.a_indices, tensors.b_indices}) {
      if (indices != nullptr) wrong.push_back("unexpected tensor '" + indices->name + "'");
    }
    if (tensors.a == nullptr) wrong.push_back("missing tensor '" + adapter_key(module, ".lora_A.weight") + "'");
    if (tensors.b == nullptr) wrong.push_back("missing tensor '" + adapter_key(module, ".lora_B.weight") + "'");
    if (wrong.empty()) check_shapes(module, *tensors.a, *tensors.b, wrong);
    for (const std::string& problem : wrong) problems_.refuse_or_skip(problem);
    if (!wrong.empty()) {
      left_out_ = true;
      return;
    }
    halves read = {module, tensors.b->shape[0], tensors.a->shape[1], tensors.a->shape[0], {}, {}, {}, {}};
    read.a.resize(static_cast<std::size_t>(tensors.a->elements()));
    read.b.resize(static_cast<std::size_t>(tensors.b->elements()));
    copy_exactly<T>(*tensors.a, read.a);
    copy_exactly<T>(*tensors.b, read.b);
    read.fa = read_one_hot<T>({read.a.data(), read.rank, read.d_in, true});
    read.fb = read_one_hot<T>({read.b.data(), read.rank, read.d_out, false});
    if (read.fa.refusal.empty() || read.fb.refusal.empty()) {
      lines_.push_back(std::move(read));
    } else {
      problems_.add("module '" + module + "' is no SBoRA adapter: lora_A: " + read.fa.refusal +
                    "; lora_B: " + read.fb.refusal);
    }
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
    model_adapter<T> adapter(usual, std::move(config_), std::move(parts));
    std::size_t i = 0;
    adapter.for_each([&](const std::string&, auto& part) {
      const std::vector<T>& trained = trains_b(part.kind) ? lines_[i].b : lines_[i].a;
      std::copy(trained.begin(), trained.end(), part.parameters().begin());
      ++i;
    });
    adapter.set_full_tensors(std::move(full_));
    return adapter;
  }

  adapter_config config_;
  target_rules rules_;
  std::span<const model_module> modules_;
  problem_list& problems_;
  std::vector<full_tensor<T>> full_;
  std::map<std::string, module_tensors> found_;
  std::unordered_map<std::string, std::size_t> positions_;
  std::vector<halves> lines_;
  bool left_out_ = false;
};

}  // namespace sbora::inline SBORA_ABI::detail
