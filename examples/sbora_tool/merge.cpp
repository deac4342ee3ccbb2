#include <algorithm>
#include <cstdio>

#include <sbora/io/file_access.hpp>

#include "base_model.hpp"
#include "commands.hpp"
#include "common/progress.hpp"

namespace sbora_tool {

namespace {

/// Where the adapter says which weights it was trained on, these have to be the ones.
void check_base(const base_model& base, const sbora::model_adapter<float>& adapter) {
  const auto recorded = base.fingerprints(
      adapter, [&](const std::string& module) { return adapter.base_fingerprint(module).has_value(); });
  if (recorded.empty()) return;
  sbora::require_same_base(adapter, [&](const std::string& module) { return recorded.at(module); });
}

/// A merged head that some readers take the embedding for: transformers 5 takes the head where the two differ, and
/// says so; transformers 4 drops it. And an embedding that is replaced, with which the head changes.
void say_where_head_is_tied(const base_model& base, const sbora::weight_changes& changes) {
  const auto is = [](const std::string& tensor, const std::string& name) {
    return tensor == name || tensor.ends_with("." + name);
  };
  for (const auto& [tensor, change] : changes) {
    const std::string module(sbora::detail::module_of(tensor));
    if (is(tensor, "lm_head.weight") && base.is_tied()) {
      std::fprintf(
          stderr,
          "sbora_tool: the base's config.json has tie_word_embeddings: true, and %s is merged alone: set it to "
          "false in the merged model's, or transformers 4 takes the embedding for the head\n",
          module.c_str());
    } else if ((change.full != nullptr || change.tokens != nullptr) && is(tensor, "embed_tokens.weight") &&
               base.is_tied()) {
      std::fprintf(stderr,
                   "sbora_tool: the base's config.json has tie_word_embeddings: true: with %s, which the adapter "
                   "replaces, the head changes too\n",
                   module.c_str());
    }
  }
}

/// The files that will be written.
std::vector<fs::path> outputs_of(const merge_options& set, const sbora::checkpoint& base) {
  const bool is_file = set.output.extension() == ".safetensors", sharded = !base.index().empty();
  if (!set.whole && !is_file) throw input_error("--output: a name that ends with .safetensors is needed, or --whole");
  if (is_file && set.whole && sharded) {
    throw input_error("--output: the base is " + base.index().filename().string() + " and its shards; name a folder");
  }
  if (is_file) return {set.output};
  if (!sharded) return {set.output / base.shards().front().filename()};
  std::vector<fs::path> outputs = {set.output / base.index().filename()};
  for (const fs::path& shard : base.shards()) {
    outputs.push_back(set.output / shard.lexically_relative(base.index().parent_path()));
  }
  return outputs;
}

/// Errors: input_error for what is there already, and for a single file that would be taken for the model beside
/// shards.
void check_free(const merge_options& set, const std::vector<fs::path>& outputs) {
  std::error_code status;
  for (const fs::path& output : outputs) {
    if (set.force || !fs::exists(output, status)) continue;
    throw input_error(output.string() + " is there already; --force replaces it");
  }
  const fs::path single = set.output / "model.safetensors";
  if (outputs.size() > 1 && fs::exists(single, status)) {
    throw input_error(single.string() + " is there, which readers take before shards; move it away");
  }
}

}  // namespace

int merge(const merge_options& set) {
  const base_model base(set.base);
  sbora::model_adapter<float> adapter = load(set.adapter, base).adapter;
  adapter.set_multiplier(set.multiplier);
  if (!set.any_base) check_base(base, adapter);
  const sbora::weight_changes changes = adapter_changes(adapter, base.checkpoint());
  say_where_head_is_tied(base, changes);
  const std::vector<fs::path> outputs = outputs_of(set, base.checkpoint());
  check_free(set, outputs);
  progress shown("merging");
  std::uint64_t bytes = 0;
  const auto show = [&](std::uint64_t done, std::uint64_t total) { shown.update_bytes(done, bytes = total); };
  if (set.whole) {
    sbora::detail::made_directories made;
    if (outputs.front() != set.output) made.make(set.output);  // else it is the file
    write_merged_checkpoint(base.checkpoint(), changes, set.output, show);
    made.keep();
  } else {
    write_merged_tensors(base.checkpoint(), changes, set.output, {{"format", "pt"}}, show);
  }
  std::printf("%zu tensors merged, %s bytes in %s\n", changes.size(), grouped(static_cast<index_t>(bytes)).c_str(),
              set.output.string().c_str());
  return 0;
}

}  // namespace sbora_tool
