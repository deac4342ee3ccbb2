// Any bytes as an adapter_config.json: refused by an sbora::error, or read, written and read again as the same; and
// its rules then match names, or are refused.

#include <cstdlib>

#include <sbora/io/instances.hpp>
#include <sbora/io/adapter/adapter_files.hpp>
#include <sbora/model/target_rules.hpp>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_read(const sbora::adapter_config& config) {
  require(sbora::parse_adapter_config(adapter_config_text(config)).config == config);
  const sbora::target_rules rules(config);
  for (const char* name : {"", "q", "model.layers.10.self_attn.q_proj"}) {
    rules.matches(name);
    require(rules.rank_of(name) >= 1 && rules.alpha_of(name) > 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto lenient = sbora::parse_adapter_config(text, sbora::strictness::lenient);
    check_read(lenient.config);
    const auto strict = sbora::parse_adapter_config(text);
    require(strict.config == lenient.config && strict.skipped == lenient.skipped);
  } catch (const sbora::error&) {
  }
  return 0;
}
