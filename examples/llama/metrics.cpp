#include "metrics.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "input_error.hpp"

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
  file_.open(path_, std::ios::trunc);
  if (!file_) throw input_error("can't write " + path_.string());
  for (const nlohmann::json& record : kept) write(record);
}

void metrics_file::write(const nlohmann::json& record) {
  file_ << record.dump() << '\n' << std::flush;
  if (!file_) throw input_error("writing to " + path_.string() + " failed");
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
