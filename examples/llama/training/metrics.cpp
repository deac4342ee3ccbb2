#include "training/metrics.hpp"

#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include <sbora/io/atomic_file.hpp>

namespace llama {

namespace {

/// The complete records of a file; a line that a killed process left half written isn't one.
std::vector<nlohmann::json> read_records(const std::filesystem::path& path) {
  std::vector<nlohmann::json> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("step")) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

metrics_file::metrics_file(std::filesystem::path path, index_t resumed_step) : path_(std::move(path)) {
  std::vector<nlohmann::json> kept;
  if (resumed_step > 0) {
    for (nlohmann::json& record : read_records(path_)) {
      if (record["step"].get<index_t>() <= resumed_step) kept.push_back(std::move(record));
    }
  }
  std::string text;
  for (const nlohmann::json& record : kept) text += record.dump() + '\n';
  sbora::atomic_file start(path_);  // killed here, a resumed run still has its history
  start.write(text);
  start.commit();
  file_.open(path_, std::ios::app);
  if (!file_) throw sbora::file_error("opening", path_, errno);
}

void metrics_file::write(const nlohmann::json& record) {
  file_ << record.dump() << '\n' << std::flush;
  if (!file_) throw sbora::file_error("writing", path_, errno);
}

curve read_curve(const std::filesystem::path& path, const std::string& key) {
  curve result;
  for (const nlohmann::json& record : read_records(path)) {
    const auto value = record.find(key);
    if (value == record.end() || !value->is_number()) continue;
    result.steps.push_back(record["step"].get<double>());
    result.values.push_back(value->get<double>());
  }
  return result;
}

}  // namespace llama
