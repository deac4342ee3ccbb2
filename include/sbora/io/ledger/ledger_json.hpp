#pragma once

#include <sbora/io/adapter/adapter_config_json.hpp>
#include <sbora/model/region_ledger.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Of a module: a claim takes memory for each of its columns or rows.
inline constexpr index_t largest_ledger_dimension = index_t{1} << 24;

/// Reads a ledger's JSON, and collects what is wrong with it.
class ledger_reader {
 public:
  ledger_reader(const ordered_json& document, problem_list& problems) : document_(document), problems_(problems) {}

  /// Requires: an object. Errors: checkpoint_error of the ledger itself; nothing where there are problems.
  std::optional<region_ledger> read() {
    json_fields fields(document_, "", problems_);
    std::optional<std::uint64_t> format, base;
    bool crossing = false;
    fields.read("sbora_ledger", format);
    if (format && *format != 1) problems_.add("sbora_ledger: expected 1, got " + std::to_string(*format));
    require(fields, "sbora_ledger");
    if (const ordered_json* value = fields.find("base"); value != nullptr) {
      base = value->is_string() ? parse_hex(value->get_ref<const std::string&>()) : std::nullopt;
      if (!base) fields.wrong("base", "16 hexadecimal digits", *value);
    }
    require(fields, "base");
    fields.read("crossing", crossing);
    for_each(fields, "modules", "", [&](json_fields& of, const std::string& where) {
      model_module module = {read_name(of, "name", where), 0, 0};
      module.d_out = read_dimension(of, "d_out", where);
      module.d_in = read_dimension(of, "d_in", where);
      if (!dims_.emplace(module.name, std::pair(module.d_out, module.d_in)).second) {
        problems_.add(where + "name: '" + shortened(module.name) + "' comes twice");
      }
      modules_.push_back(std::move(module));
    });
    for_each(fields, "tasks", "", [&](json_fields& of, const std::string& where) { read_task(of, where); });
    refuse_unread(fields, "");
    if (!problems_.empty()) return std::nullopt;
    return region_ledger(std::move(modules_), *base, crossing, std::move(tasks_));
  }

 private:
  void require(json_fields& fields, const char* key, const std::string& where = {}) {
    if (fields.find(key) == nullptr) problems_.add(where + key + ": it isn't there");
  }
  void refuse_unread(const json_fields& fields, const std::string& where) {
    for (const std::string& key : fields.unread()) problems_.add(where + shortened(key) + ": unknown");
  }

  std::string read_name(json_fields& fields, const char* key, const std::string& where) {
    std::string name;
    fields.read(key, name);
    if (name.empty()) problems_.add(where + key + ": a name is needed");
    if (name.size() > largest_module_name) problems_.add(where + key + ": longer than 1024 bytes");
    return name;
  }
  index_t read_dimension(json_fields& fields, const char* key, const std::string& where) {
    index_t value = 0;
    fields.read_positive(key, value);
    if (value > largest_ledger_dimension) {
      problems_.add(where + key + ": " + std::to_string(value) + " is above " +
                    std::to_string(largest_ledger_dimension));
    }
    require(fields, key, where);
    return value;
  }

  /// f(fields, where) for each object of the array.
  template <class Function>
  void for_each(json_fields& fields, const char* key, const std::string& where, Function&& f) {
    const ordered_json* const list = fields.find(key);
    if (list == nullptr || !list->is_array()) {
      list == nullptr ? require(fields, key, where) : fields.wrong(key, "a list", *list);
      return;
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string at = where + key + "[" + std::to_string(i) + "].";
      if (!(*list)[i].is_object()) {
        problems_.add(at.substr(0, at.size() - 1) + ": expected an object, got " + json_fields::excerpt((*list)[i]));
        continue;
      }
      json_fields of((*list)[i], at, problems_);
      f(of, at);
      refuse_unread(of, at);
    }
  }

  void read_task(json_fields& fields, const std::string& where) {
    ledger_task task = {.name = read_name(fields, "name", where)};
    std::optional<std::uint64_t> version;
    fields.read("version", version);
    task.version = version.value_or(1);
    fields.read("adapter", task.adapter);
    for_each(fields, "regions", where, [&](json_fields& of, const std::string& at) {
      const std::string module = read_name(of, "module", at);
      std::optional<adapter_kind> kind;
      if (const ordered_json* value = of.find("kind"); value != nullptr) {
        kind = read_kind(*value);
        if (!kind) of.wrong("kind", "sbora_fa or sbora_fb", *value);
      }
      require(of, "kind", at);
      const std::optional<std::vector<index_t>> indices = read_indices(of, at);
      const auto dims = dims_.find(module);
      if (!module.empty() && dims == dims_.end()) {
        problems_.add(at + "module: '" + shortened(module) + "' is none of the ledger's");
      }
      if (!kind || !indices || dims == dims_.end()) return;
      try {
        const region_geometry of_module(*kind, dims->second.first, dims->second.second, 1);
        task.regions.push_back({module, *kind, region(of_module.dim, *indices)});
      } catch (const region_error& error) {
        problems_.add(at + "indices: " + error.what());
      }
    });
    tasks_.push_back(std::move(task));
  }

  std::optional<std::vector<index_t>> read_indices(json_fields& fields, const std::string& where) {
    require(fields, "indices", where);
    const ordered_json* const list = fields.find("indices");
    if (list == nullptr) return std::nullopt;
    if (!list->is_array()) {
      fields.wrong("indices", "a list", *list);
      return std::nullopt;
    }
    std::vector<index_t> indices;
    for (const ordered_json& value : *list) {
      const bool good = value.is_number_unsigned() && value.get<std::uint64_t>() < largest_ledger_dimension;
      if (!good) {
        fields.wrong("indices", "columns or rows", value);
        return std::nullopt;
      }
      indices.push_back(value.get<index_t>());
    }
    return indices;
  }

  const ordered_json& document_;
  problem_list& problems_;
  std::vector<model_module> modules_;
  std::map<std::string, std::pair<index_t, index_t>> dims_;  // of modules_
  std::vector<ledger_task> tasks_;
};

/// One module, task or region a line.
inline std::string ledger_lines(const region_ledger& ledger) {
  const auto line = [](std::string& text, const char* indent, const ordered_json& value, bool first) {
    text += (first ? "\n" : ",\n") + std::string(indent) + value.dump();
  };
  std::string text = "{\n  \"sbora_ledger\": 1,\n  \"base\": \"" + hex_text(ledger.base()) +
                     "\",\n  \"crossing\": " + (ledger.allows_crossing() ? "true" : "false") + ",\n  \"modules\": [";
  bool first = true;
  for (const model_module& module : ledger.modules()) {
    line(text, "    ", {{"name", module.name}, {"d_out", module.d_out}, {"d_in", module.d_in}}, first);
    first = false;
  }
  text += "\n  ],\n  \"tasks\": [";
  first = true;
  for (const ledger_task& task : ledger.tasks()) {
    text += first ? "\n" : ",\n";
    first = false;
    text += "    {\"name\": " + ordered_json(task.name).dump() + ", \"version\": " + std::to_string(task.version) +
            (task.adapter.empty() ? "" : ", \"adapter\": " + ordered_json(task.adapter).dump()) + ", \"regions\": [";
    for (const owned_region& owned : task.regions) {
      const auto name = std::find_if(std::begin(kind_names), std::end(kind_names),
                                     [&](const auto& of) { return of.second == owned.kind; });
      const std::span<const index_t> indices = owned.target.indices();
      line(text, "      ",
           {{"module", owned.module},
            {"kind", name->first},
            {"indices", std::vector<index_t>(indices.begin(), indices.end())}},
           &owned == &task.regions.front());
    }
    text += "\n    ]}";
  }
  return text + (ledger.tasks().empty() ? "]\n}\n" : "\n  ]\n}\n");
}

}  // namespace sbora::inline SBORA_ABI::detail
