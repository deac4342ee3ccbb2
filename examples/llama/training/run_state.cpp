#include "training/run_state.hpp"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include <fmt/core.h>

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

#include "common/error.hpp"

namespace llama {

namespace {

constexpr std::string_view prefix = "checkpoint-";
constexpr std::string_view suffix = ".safetensors";
constexpr const char* format_name = "sbora-run-4";

/// Why checkpoints of that format can't be gone on from, or null where it isn't a former one.
const char* former_format(const std::string& name) {
  // Told bases apart by the first bytes of each weight.
  if (name == "sbora-run-2") {
    return "which didn't record enough to tell whether --base_model is still the same, and counted losses otherwise";
  }
  if (name == "sbora-run-3") return "which kept AdamW's moments under names of its own";
  return nullptr;
}

const std::string option_prefix = "option.";

/// The step in a file's name, or -1 where it isn't a checkpoint's.
index_t step_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return -1;
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size() - suffix.size();
  index_t step = -1;
  const auto [parsed, status] = std::from_chars(begin, end, step);
  return parsed == end && status == std::errc() ? step : -1;
}

sbora::tensor_view tensor(std::string name, const std::vector<float>& values) {
  return {std::move(name), sbora::dtype::f32, {std::ssize(values)}, std::as_bytes(std::span(values))};
}

const std::string& field(const sbora::safetensors_file& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw input_error(file.path().string() + ": not a checkpoint of a run: no \"" + key + "\" in its metadata");
  }
  return found->second;
}

template <class Number>
Number number_field(const sbora::safetensors_file& file, const std::string& key) {
  const std::string& text = field(file, key);
  Number value{};
  const auto [parsed, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed != text.data() + text.size() || status != std::errc()) {
    throw input_error(file.path().string() + ": \"" + key + "\" is \"" + text + "\", not a number");
  }
  return value;
}

/// One line with everything that differs.
void check_options(const sbora::safetensors_file& file, const run_options& now) {
  std::string differences;
  const auto differs = [&](const std::string& name, const std::string& then, const std::string& today) {
    differences += (differences.empty() ? "" : ", ") + name + " was " + then + " and is " + today;
  };
  for (const auto& [name, value] : now) {
    const auto saved = file.metadata().find(option_prefix + name);
    if (saved == file.metadata().end()) {
      differs(name, "unknown", value);
    } else if (saved->second != value) {
      differs(name, saved->second, value);
    }
  }
  if (differences.empty()) return;
  throw input_error("--resume_from_checkpoint: " + file.path().string() +
                    " is of a run with other options: " + differences);
}

std::vector<float> read(const sbora::safetensors_file& file, const char* name, std::size_t count) {
  std::vector<float> values = file.at(name).copy<float>();
  if (values.size() != count) {
    throw input_error(file.path().string() + ": " + std::to_string(values.size()) + " numbers in '" + name +
                      "', this run has " + std::to_string(count));
  }
  return values;
}

}  // namespace

checkpoint_folder::checkpoint_folder(std::filesystem::path directory, int kept)
    : directory_(std::move(directory)), kept_(static_cast<std::size_t>(std::max(1, kept))) {}

std::filesystem::path checkpoint_folder::file_of(index_t step) const {
  return directory_ / (std::string(prefix) + std::to_string(step) + std::string(suffix));
}

std::vector<std::filesystem::path> checkpoint_folder::list() const {
  std::vector<std::filesystem::path> files;
  std::error_code none;  // a folder that doesn't exist has no checkpoints
  for (const auto& entry : std::filesystem::directory_iterator(directory_, none)) {
    if (step_of(entry.path()) >= 0) files.push_back(entry.path());
  }
  std::ranges::sort(files, {}, step_of);
  return files;
}

std::optional<std::filesystem::path> checkpoint_folder::latest() const {
  const std::vector<std::filesystem::path> files = list();
  if (files.empty()) return std::nullopt;
  return files.back();
}

std::optional<std::filesystem::path> checkpoint_folder::unfinished() const {
  auto newest = latest();
  if (!newest) return std::nullopt;
  const auto file = sbora::safetensors_file::open(*newest);
  const bool finished = number_field<index_t>(file, "step") >= number_field<index_t>(file, "total_steps") &&
                        number_field<int>(file, "evaluation_due") == 0;
  return finished ? std::nullopt : newest;
}

void checkpoint_folder::remove_leftovers() const {
  std::error_code ignored;  // rubbish that stays is no reason to stop
  for (const auto& entry : std::filesystem::directory_iterator(directory_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') && name.ends_with(".tmp")) std::filesystem::remove(entry.path(), ignored);
  }
}

void checkpoint_folder::clear() const {
  for (const std::filesystem::path& file : list()) std::filesystem::remove(file);
}

void checkpoint_folder::save(const run_state& state, const sbora::optimiser_tensors& optimiser,
                             const run_options& options) const {
  std::map<std::string, std::string> metadata = {{"format", format_name},
                                                 {"step", std::to_string(state.step)},
                                                 {"total_steps", std::to_string(state.total_steps)},
                                                 {"best_step", std::to_string(state.best_step)},
                                                 {"best_loss", fmt::format("{:.17g}", state.best_loss)},
                                                 {"evaluation_due", state.evaluation_due ? "1" : "0"}};
  for (const auto& [name, value] : options) metadata[option_prefix + name] = value;
  metadata.insert(optimiser.metadata.begin(), optimiser.metadata.end());
  std::vector<sbora::tensor_view> tensors = optimiser.tensors;
  tensors.push_back(tensor("parameters", state.parameters));
  if (!state.best_parameters.empty()) tensors.push_back(tensor("best_parameters", state.best_parameters));
  sbora::write_safetensors(file_of(state.step), tensors, metadata);

  const std::vector<std::filesystem::path> files = list();
  for (std::size_t i = 0; i + kept_ < files.size(); ++i) {
    std::error_code ignored;  // one checkpoint too many is no reason to stop
    std::filesystem::remove(files[i], ignored);
  }
}

void require_checkpoint(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored)) return;
  throw input_error("--resume_from_checkpoint: " + path.string() + ": no such file; name a " + std::string(prefix) +
                    "STEP" + std::string(suffix) + ", or auto");
}

run_state checkpoint_folder::load(const std::filesystem::path& path, const run_options& options,
                                  std::size_t parameter_count) const {
  require_checkpoint(path);
  try {
    const auto file = sbora::safetensors_file::open(path);
    if (const char* const reason = former_format(field(file, "format"))) {
      throw input_error("--resume_from_checkpoint: " + path.string() + ": written by an earlier version (format \"" +
                        field(file, "format") + "\"), " + reason +
                        "; finish the run with that version, or start anew in another --output_dir");
    }
    if (field(file, "format") != format_name) {
      throw input_error(path.string() + ": a checkpoint of format \"" + field(file, "format") + "\", expected \"" +
                        format_name + "\"");
    }
    check_options(file, options);
    run_state state;
    state.file = path;
    state.step = number_field<index_t>(file, "step");
    state.total_steps = number_field<index_t>(file, "total_steps");
    state.best_step = number_field<index_t>(file, "best_step");
    state.best_loss = number_field<double>(file, "best_loss");
    state.evaluation_due = number_field<int>(file, "evaluation_due") != 0;
    state.parameters = read(file, "parameters", parameter_count);
    if (file.find("best_parameters") != nullptr) {
      state.best_parameters = read(file, "best_parameters", parameter_count);
    }
    return state;
  } catch (const sbora::format_error& error) {
    throw input_error(std::string("--resume_from_checkpoint: ") + error.what());
  }
}

}  // namespace llama
