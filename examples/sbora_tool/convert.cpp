#include <cstdio>

#include <sbora/io/adapter/gguf_lora.hpp>

#include "base_model.hpp"
#include "commands.hpp"

namespace sbora_tool {

namespace {

void say_left_out(const std::vector<std::string>& what) {
  constexpr std::size_t most = 19;
  for (std::size_t i = 0; i < what.size() && i < most; ++i) {
    std::fprintf(stderr, "left out: %s\n", sbora::detail::readable(what[i]).c_str());
  }
  if (what.size() > most) std::fprintf(stderr, "left out: %zu more\n", what.size() - most);
}

}  // namespace

int convert(const convert_options& set) {
  std::error_code ignored;
  if (!set.force && fs::exists(set.output / "adapter_config.json", ignored)) {
    throw input_error(set.output.string() + " has an adapter already; --force replaces it");
  }
  if (!set.force && set.to == layout::gguf && fs::exists(set.output, ignored)) {
    throw input_error(set.output.string() + " is there already; --force replaces it");
  }
  const base_model base(set.base);
  if (set.to == layout::gguf && base.gguf() == nullptr) {
    throw input_error("--to gguf needs --base with the model's GGUF file, of which it takes names and order of rows");
  }
  sbora::loaded_adapter<float> loaded =
      load(set.input, base, set.lenient ? sbora::strictness::lenient : sbora::strictness::strict);
  say_left_out(loaded.skipped);
  sbora::model_adapter<float>& adapter = loaded.adapter;
  if (set.record_base) {
    for (const auto& [module, fingerprint] : base.fingerprints(adapter, [](const std::string&) { return true; })) {
      adapter.set_base_fingerprint(module, fingerprint);
    }
  }
  switch (set.to) {
    case layout::native: save_sbora(adapter, set.output); break;
    case layout::official: save_sbora(adapter, set.output, sbora::sbora_layout::official); break;
    case layout::paca: save_sbora(adapter, set.output, sbora::sbora_layout::paca); break;
    case layout::peft:
      save_peft_lora(adapter, set.output, set.rslora_flag ? sbora::rslora_export::flag : sbora::rslora_export::folded);
      break;
    case layout::gguf: save_gguf_lora(adapter, sbora::gguf_names::of(*base.gguf()), set.output); break;
  }
  std::printf("SBoRA-%s adapter of %td modules, %s parameters, in %s\n", to_string(adapter.kind()), adapter.size(),
              grouped(adapter.parameter_count()).c_str(), set.output.string().c_str());
  return 0;
}

}  // namespace sbora_tool
