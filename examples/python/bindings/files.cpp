// Adapters of whole models: made by PEFT's configs and target rules, and their files.

#include <filesystem>
#include <optional>
#include <tuple>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <sbora/io/adapter/peft_lora.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_checkpoint.hpp>
#include <sbora/model/make_adapter.hpp>

#include "adapter.hpp"
#include "arrays.hpp"
#include "module.hpp"
#include "threads.hpp"

namespace python {
namespace {

using std::filesystem::path;
using shared_model = std::shared_ptr<sbora::model_adapter<float>>;
using modules = std::vector<std::tuple<std::string, index_t, index_t>>;

std::vector<sbora::model_module> as_modules(const modules& of) {
  std::vector<sbora::model_module> all;
  for (const auto& [name, d_out, d_in] : of) all.push_back({name, d_out, d_in});
  return all;
}

/// Keys of adapter_config.json as a dict, with sets for lists as PEFT's to_dict() has them, or its text.
sbora::adapter_config as_config(nb::handle config) {
  const nb::object text = nb::isinstance<nb::str>(config)
                              ? nb::borrow(config)
                              : nb::module_::import_("json").attr("dumps")(
                                    config, nb::arg("default") = nb::module_::import_("builtins").attr("sorted"));
  return sbora::parse_adapter_config(nb::cast<std::string>(text)).config;
}

struct model {
  shared_model adapter;
};

model make(nb::handle config, const modules& of, std::uint64_t seed, const std::optional<std::string>& kind) {
  sbora::adapter_config parsed = as_config(config);
  if (kind) {
    if (*kind != "FA" && *kind != "FB") throw sbora::config_error("sbora: kind is FA or FB, got '" + *kind + "'");
    parsed.kind = *kind == "FA" ? sbora::adapter_kind::fa : sbora::adapter_kind::fb;
  }
  return {std::make_shared<sbora::model_adapter<float>>(
      sbora::make_adapter<float>(std::move(parsed), as_modules(of), seed))};
}

/// The text of the adapter_config.json that load() would take.
std::string config_text(const path& folder) { return adapter_config_text(sbora::load_adapter_config(folder).config); }

/// The adapter, and what of its files was left out.
std::pair<model, std::vector<std::string>> load(const path& folder, const modules& of, bool lenient) {
  const nb::gil_scoped_release others_run;
  auto loaded = sbora::load_adapter<float>(folder, as_modules(of),
                                           lenient ? sbora::strictness::lenient : sbora::strictness::strict);
  return {{std::make_shared<sbora::model_adapter<float>>(std::move(loaded.adapter))}, std::move(loaded.skipped)};
}

void save(const model& of, const path& folder, const std::string& layout) {
  const nb::gil_scoped_release others_run;
  using enum sbora::sbora_layout;
  if (layout == "peft") return save_peft_lora(*of.adapter, folder);
  for (const auto& [name, value] :
       {std::pair("native", native), std::pair("official", official), std::pair("paca", paca)}) {
    if (layout == name) return save_sbora(*of.adapter, folder, value);
  }
  throw sbora::config_error("sbora: layout is native, official, paca or peft, got '" + layout + "'");
}

adapter part(const model& of, const std::string& module) {
  adapter found;
  found.owner = of.adapter;
  of.adapter->visit(module, [&]<sbora::adapter_kind Kind>(const sbora::basic_adapter<Kind, float>& one) {
    found.part = const_cast<sbora::basic_adapter<Kind, float>*>(&one);  // of a model that isn't const
  });
  return found;
}

/// What it replaces as a whole in the model: names of tensors, and of tables whose tokens are trained.
std::vector<std::string> replaced(const model& of) {
  std::vector<std::string> names;
  for (const auto& tensor : of.adapter->full_tensors()) names.push_back(tensor.name());
  for (const auto& tokens : of.adapter->tokens()) names.push_back(tokens.module);
  return names;
}

void merge_checkpoint(const path& base, const model& of, const path& to) {
  const nb::gil_scoped_release others_run;
  const auto from = sbora::checkpoint::open(base);
  const sbora::openmp_executor pool = threads();
  write_merged_checkpoint(from, adapter_changes(*of.adapter, from), to, {}, pool);
}

template <bool Gradient>
nb::ndarray<nb::array_api, float> numbers_of(nb::handle self) {
  auto& adapter = *nb::cast<const model&>(self).adapter;
  const std::span<float> values = Gradient ? adapter.gradient() : adapter.parameters();
  return nb::ndarray<nb::array_api, float>(values.data(), {values.size()}, self);
}

}  // namespace

void add_files(nb::module_& module) {
  nb::class_<model>(module, "ModelAdapter")
      .def_prop_ro("kind", [](const model& of) { return std::string(to_string(of.adapter->kind())); })
      .def_prop_ro("modules", [](const model& of) { return of.adapter->modules(); })
      .def_prop_ro("replaced", &replaced)
      .def_prop_ro("parameters", &numbers_of<false>)
      .def_prop_ro("gradient", &numbers_of<true>)
      .def("zero_gradient", [](const model& of) { of.adapter->zero_gradient(); })
      .def("__getitem__", &part, nb::arg("module"))
      .def("save", &save, nb::arg("folder"), nb::arg("layout") = "native");
  module.def("make_adapter", &make, nb::arg("config"), nb::arg("modules"), nb::arg("seed") = 0,
             nb::arg("kind") = nb::none());
  module.def("load_adapter", &load, nb::arg("folder"), nb::arg("modules") = modules(), nb::kw_only(),
             nb::arg("lenient") = false);
  module.def("load_config_text", &config_text, nb::arg("folder"));
  module.def("merge_checkpoint", &merge_checkpoint, nb::arg("base"), nb::arg("adapter"), nb::arg("to"));

  nb::class_<sbora::target_rules>(module, "TargetRules")
      .def("__init__",
           [](sbora::target_rules* at, nb::handle config) { new (at) sbora::target_rules(as_config(config)); })
      .def("matches", &sbora::target_rules::matches)
      .def("rank_of", &sbora::target_rules::rank_of)
      .def("alpha_of", &sbora::target_rules::alpha_of);
}

}  // namespace python
