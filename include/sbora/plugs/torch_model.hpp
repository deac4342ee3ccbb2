#pragma once

#include <map>
#include <set>

#include <torch/nn/modules/container/sequential.h>

#include <sbora/model/make_adapter.hpp>
#include <sbora/plugs/torch_linear.hpp>

namespace sbora::inline SBORA_ABI {

/// A model's linear layers by PyTorch's names: what make_adapter, load_adapter and load_sbora take.
inline std::vector<model_module> torch_linears(const torch::nn::Module& model) {
  std::vector<model_module> all;
  for (const auto& item : model.named_modules("", false)) {
    const auto* const linear = item.value()->as<torch::nn::LinearImpl>();
    if (linear != nullptr) all.push_back({item.key(), linear->weight.size(0), linear->weight.size(1)});
  }
  return all;
}

}  // namespace sbora::inline SBORA_ABI

namespace sbora::inline SBORA_ABI::detail {

/// The linear layers of a model that can have adapters, by name, each with how it is given one.
class torch_places {
 public:
  explicit torch_places(torch::nn::Module& model) { add_children(model, ""); }

  /// Errors: config_error where there is no such layer, where it can't be replaced, or where it was checked under
  /// another name; what check_adapter throws.
  void check(const std::string& module, index_t d_out, index_t d_in) {
    const auto found = places_.find(module);
    if (found == places_.end()) throw config_error("the model has no linear layer of this name");
    const place& at = found->second;
    if (at.linear == nullptr && at.parent == nullptr) {
      throw config_error(
          "it is a torch::nn::Linear that its C++ code calls itself, which nothing can replace; declare "
          "it as sbora::torch_linear, which is one until it has an adapter");
    }
    const torch_linear made = at.linear != nullptr ? torch_linear(at.linear) : torch_linear(at.base);
    made->check_adapter(d_out, d_in);
    const torch::nn::LinearImpl* const layer = at.linear != nullptr ? at.linear.get() : at.base.get();
    if (!checked_.insert(layer).second) {
      throw config_error("it is the same layer as another of the adapter's modules, by a second name");
    }
  }

  /// Requires that check() throws nothing.
  template <adapter_kind Kind>
  void plug(const std::string& module, std::shared_ptr<basic_adapter<Kind, float>> adapter) {
    place& at = places_.at(module);
    if (at.linear == nullptr) {
      torch_linear made(at.base);
      made->train(at.base->is_training());
      at.parent->replace_module(at.name, made);
      *(at.parent->begin() + at.position) = torch::nn::AnyModule(made);
      at.linear = made.ptr();
    }
    at.linear->set_adapter(std::move(adapter));
  }

 private:
  struct place {
    std::shared_ptr<torch_linear_impl> linear;  ///< or else `base` in a Sequential, which calls what it holds
    torch::nn::Linear base = nullptr;
    torch::nn::SequentialImpl* parent = nullptr;
    std::string name;
    std::ptrdiff_t position = 0;
  };

  void add_children(torch::nn::Module& parent, const std::string& prefix) {
    std::ptrdiff_t position = 0;
    for (const auto& item : parent.named_children()) {
      const std::shared_ptr<torch::nn::Module>& child = item.value();
      const std::string name = prefix + item.key();
      if (auto linear = std::dynamic_pointer_cast<torch_linear_impl>(child)) {
        places_[name].linear = std::move(linear);
      } else if (auto base = std::dynamic_pointer_cast<torch::nn::LinearImpl>(child)) {
        places_[name] = {nullptr, torch::nn::Linear(base), parent.as<torch::nn::SequentialImpl>(), item.key(),
                         position};
      }
      add_children(*child, name + ".");
      ++position;
    }
  }

  std::map<std::string, place> places_;
  std::set<const torch::nn::LinearImpl*> checked_;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// Gives each of an adapter's modules in a model its part.
///
/// Effect      torch_linears take their part; torch::nn::Linears in a torch::nn::Sequential are replaced by such over
///             the same weight and bias. All other parameters of the model are frozen, as PEFT does it.
/// Requires    no layers besides: C++ modules call their own members, which nothing can replace from outside.
/// Lifetime    the model shares the adapter: saving it (save_sbora, save_peft_lora) saves what PyTorch has trained.
/// Thread      nobody may use the model meanwhile.
/// Errors      config_error and shape_error that name the module; config_error for full tensors and tokens, which this
///             doesn't train. The model is as before then.
inline void plug_adapter(torch::nn::Module& model, const std::shared_ptr<model_adapter<float>>& adapter) {
  if (!adapter->full_tensors().empty() || !adapter->tokens().empty()) {
    throw config_error(
        "sbora::plug_adapter: the adapter replaces whole tensors or tokens (bias, modules_to_save, "
        "trainable_token_indices), which a torch::nn::Module of sbora's doesn't");
  }
  detail::torch_places places(model);
  adapter->for_each([&](const std::string& module, auto& part) {
    const auto named = [&](const std::exception& e) {
      return "sbora::plug_adapter: module '" + module + "': " + e.what();
    };
    try {
      places.check(module, part.d_out(), part.d_in());
    } catch (const shape_error& e) {
      throw shape_error(named(e));
    } catch (const config_error& e) {
      throw config_error(named(e));
    }
  });
  for (at::Tensor& parameter : model.parameters()) parameter.requires_grad_(false);
  adapter->for_each([&]<adapter_kind Kind>(const std::string& module, basic_adapter<Kind, float>& part) {
    places.plug(module, std::shared_ptr<basic_adapter<Kind, float>>(adapter, &part));
  });
}

/// A new adapter over the layers that the config's rules choose, given to the model: make_adapter, then the above.
inline std::shared_ptr<model_adapter<float>> plug_adapter(torch::nn::Module& model, const adapter_config& config,
                                                          std::uint64_t seed) {
  const auto adapter = std::make_shared<model_adapter<float>>(make_adapter<float>(config, torch_linears(model), seed));
  plug_adapter(model, adapter);
  return adapter;
}

}  // namespace sbora::inline SBORA_ABI
