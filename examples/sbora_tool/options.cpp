#include "options.hpp"

#include <string>

#include <sbora/version.hpp>

#include "common/option_checks.hpp"
#include "multi_options.hpp"

namespace sbora_tool {

namespace {

CLI::App* command(CLI::App& app, const char* name, const char* what) {
  CLI::App* const made = app.add_subcommand(name, what);
  made->get_formatter()->column_width(28);
  return made;
}

void add_path(CLI::App* app, const char* name, fs::path& into, const char* what, bool required) {
  CLI::Option* const option = app->add_option(name, into, what)->type_name("PATH")->check(check_name);
  if (required) option->required();
}

}  // namespace

options parse_options(int argc, char** argv) {
  CLI::App app(
      "Looks at, converts, merges and compares SBoRA adapters and safetensors checkpoints, and keeps many tasks in "
      "one.\n"
      "An adapter is a folder with adapter_config.json and adapter_model.safetensors: sbora's own (native), the\n"
      "official SBoRA code's (official), a PEFT LoRA one half of which is one-hot (peft), or PEFT's PaCA (paca). A\n"
      "checkpoint is a .safetensors file, an *.index.json, or a folder that has one of them; a base model may be a\n"
      "GGUF file too.\n"
      "Exit codes: 0 done, 1 failed, 2 wrong input or usage; of diff: 0 same, 1 different, 2 trouble.");
  app.name("sbora_tool");
  app.get_formatter()->column_width(28);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::to_string(SBORA_VERSION_MAJOR) + "." + std::to_string(SBORA_VERSION_MINOR) +
                                        "." + std::to_string(SBORA_VERSION_PATCH));

  inspect_options inspect;
  CLI::App* const inspecting = command(app, "inspect", "Says what an adapter or a checkpoint is.");
  add_path(inspecting, "path", inspect.path, "adapter or checkpoint", true);
  add_path(inspecting, "--base", inspect.base, "checkpoint of the base model; needed for official and PaCA ones",
           false);
  inspecting->add_flag("--list", inspect.list, "every module or tensor too");

  convert_options convert;
  CLI::App* const converting = command(app, "convert", "Writes an adapter in another layout.");
  add_path(converting, "input", convert.input, "adapter", true);
  add_path(converting, "output", convert.output, "folder to write; the file, of --to gguf", true);
  std::string to;
  converting->add_option("--to", to, "sbora's own, the official code's, a PEFT LoRA, PEFT's PaCA, or llama.cpp's")
      ->required()
      ->type_name("LAYOUT")
      ->check(one_of({"native", "official", "peft", "paca", "gguf"}));
  add_path(converting, "--base", convert.base,
           "base model; needed for official and PaCA ones, and of --to gguf its GGUF file", false);
  converting->add_flag("--lenient", convert.lenient, "leave out what is broken or unsupported, and say so");
  converting->add_flag("--rslora-flag", convert.rslora_flag, "peft: write use_rslora instead of folding it into alpha");
  converting->add_flag("--record-base", convert.record_base,
                       "native: record which weights the adapter belongs to; needs --base");
  converting->add_flag("--force", convert.force, "replace an adapter in the output folder");

  merge_options merge;
  CLI::App* const merging = command(app, "merge", "Writes a base model's weights with an adapter merged into them.");
  add_path(merging, "adapter", merge.adapter, "adapter", true);
  add_path(merging, "--base", merge.base, "checkpoint of the base model, or its GGUF file", true);
  add_path(merging, "--output", merge.output,
           "safetensors file, or with --whole of several shards a folder; of a GGUF file one", true);
  merging->add_option("--multiplier", merge.multiplier, "scales the update")->type_name("X")->check(check_finite);
  merging
      ->add_option("--blocks", merge.blocks, "of a GGUF file: what tensors of blocks become that change [requantised]")
      ->type_name("AS")
      ->check(one_of({"requantised", "f16", "f32"}));
  merging->add_flag("--whole", merge.whole, "all tensors; otherwise only those that change");
  merging->add_flag("--any-base", merge.any_base, "also where the adapter was trained on other weights");
  merging->add_flag("--force", merge.force, "replace the output");

  diff_options diff;
  CLI::App* const diffing =
      command(app, "diff", "Says which columns and rows of which tensors differ between two checkpoints or adapters.");
  add_path(diffing, "a", diff.a, "adapter or checkpoint", true);
  add_path(diffing, "b", diff.b, "another", true);
  add_path(diffing, "--base", diff.base, "checkpoint of the base model; needed for official and PaCA ones", false);
  diffing->add_flag("--all", diff.all, "every index instead of the first few");

  multi_options multi;
  add_multi(app, multi);

  if (!parse_or_help(app, [&] { app.parse(argc, argv); })) return std::monostate();
  if (inspecting->parsed()) return inspect;
  if (converting->parsed()) {
    for (const auto& [name, each] :
         {std::pair("native", layout::native), std::pair("official", layout::official), std::pair("peft", layout::peft),
          std::pair("paca", layout::paca), std::pair("gguf", layout::gguf)}) {
      if (to == name) convert.to = each;
    }
    if (convert.record_base && convert.base.empty()) throw input_error("--record-base needs --base");
    if (convert.record_base && convert.to != layout::native) throw input_error("--record-base needs --to native");
    if (convert.rslora_flag && convert.to != layout::peft) throw input_error("--rslora-flag needs --to peft");
    return convert;
  }
  if (merging->parsed()) return merge;
  if (!diffing->parsed()) return multi;
  return diff;
}

}  // namespace sbora_tool
