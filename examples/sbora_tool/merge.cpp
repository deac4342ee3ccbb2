#include <algorithm>
#include <cstdio>

#include <sbora/io/file_access.hpp>
#include <sbora/io/merge/merge_gguf.hpp>

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

/// What was rounded, of all tensors together.
void report_rounding(const std::vector<sbora::gguf_merge_report>& reports) {
  index_t blocks = 0, all_blocks = 0;
  double elements = 0, error = 0, update = 0, max_error = 0;
  for (const sbora::gguf_merge_report& each : reports) {
    const sbora::ggml_merge_report& rounding = each.rounding;
    const auto count = static_cast<double>(rounding.blocks * sbora::detail::layout_of(each.from).elements);
    blocks += rounding.blocks;
    all_blocks += rounding.all_blocks;
    elements += count;
    error += count * rounding.mean_error;
    update += count * rounding.mean_update;
    max_error = std::max(max_error, rounding.max_error);
  }
  if (blocks == 0) return;
  std::printf("%s of %s blocks changed: their elements are %.3g off in the mean, %.3g at most; the update is %.3g\n",
              grouped(blocks).c_str(), grouped(all_blocks).c_str(), error / elements, max_error, update / elements);
  if (error < update / 2) return;
  std::fprintf(stderr, "sbora_tool: much of the update is lost in rounding; --blocks f16 keeps it\n");
}

int merge_gguf(const merge_options& set, const sbora::gguf_file& base, const sbora::model_adapter<float>& adapter) {
  if (set.output.extension() != ".gguf") throw input_error("--output: a name that ends with .gguf is needed");
  std::error_code ignored;
  if (!set.force && fs::exists(set.output, ignored)) {
    throw input_error(set.output.string() + " is there already; --force replaces it");
  }
  for (const std::string& module : adapter.modules()) {
    if (set.any_base || !adapter.base_fingerprint(module)) continue;
    throw input_error(set.adapter.string() +
                      " says which weights it was trained on, which can't be told of a GGUF "
                      "file's; --any-base merges it");
  }
  const auto blocks = set.blocks == "f16"   ? sbora::gguf_merge::f16
                      : set.blocks == "f32" ? sbora::gguf_merge::f32
                                            : sbora::gguf_merge::requantised;
  progress shown("merging");
  const auto show = [&](std::uint64_t done, std::uint64_t total) { shown.update_bytes(done, total); };
  const auto reports = write_merged_gguf(base, adapter, set.output, blocks, show);
  std::printf("%zu tensors merged, in %s\n", reports.size(), set.output.string().c_str());
  report_rounding(reports);
  return 0;
}

}  // namespace

int merge(const merge_options& set) {
  const base_model base(set.base);
  sbora::model_adapter<float> adapter = load(set.adapter, base).adapter;
  adapter.set_multiplier(set.multiplier);
  if (base.gguf()) return merge_gguf(set, *base.gguf(), adapter);
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
