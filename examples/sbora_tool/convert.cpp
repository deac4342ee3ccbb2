#include <cstdio>

#include "base_model.hpp"
#include "commands.hpp"

namespace sbora_tool {

int convert(const convert_options& set) {
  std::error_code ignored;
  if (!set.force && fs::exists(set.output / "adapter_config.json", ignored)) {
    throw usage_error(set.output.string() + " has an adapter already; --force replaces it");
  }
  const base_model base(set.base);
  sbora::loaded_adapter<float> loaded =
      load(set.input, base, set.lenient ? sbora::strictness::lenient : sbora::strictness::strict);
  for (const std::string& skipped : loaded.skipped) std::fprintf(stderr, "left out: %s\n", skipped.c_str());
  sbora::model_adapter<float>& adapter = loaded.adapter;
  if (set.record_base) {
    for (const std::string& module : adapter.modules()) {
      adapter.set_base_fingerprint(module, base.fingerprint(adapter, module));
    }
  }
  switch (set.to) {
    case layout::native: save_sbora(adapter, set.output); break;
    case layout::official: save_sbora(adapter, set.output, sbora::sbora_layout::official); break;
    case layout::peft:
      save_peft_lora(adapter, set.output,
                     set.rslora_flag ? sbora::rslora_export::flag : sbora::rslora_export::folded);
      break;
  }
  std::printf("SBoRA-%s adapter of %td modules, %s parameters, in %s\n", to_string(adapter.kind()), adapter.size(),
              grouped(adapter.parameter_count()).c_str(), set.output.string().c_str());
  return 0;
}

}  // namespace sbora_tool
